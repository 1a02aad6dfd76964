import { appendFileSync, existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { variableOf } from '../options/environment.js';
import { splitList } from '../options/option-schema.js';

/**
 * Appends to `.env.example` what it lacks, and writes a spec where there is none; all of it or nothing.
 *
 * @param wanted the client's variables by the ends of their names
 * @returns what was done, and what is left to do
 * @throws {Error} with a sentence where the folder or a value cannot be used
 */
export function writeClient(name: string, dir: string, wanted: ReadonlyMap<string, string>): string {
  if (!isFolder(dir)) throw new Error(`There is no folder ${dir}; name that of the application with --dir.`);
  const env = join(dir, '.env.example');
  const spec = join(dir, isFolder(join(dir, 'src')) ? 'src' : '', `${name}.oauth.spec.ts`);
  const { addition, count, notes } = additionTo(
    existsSync(env) ? readFileSync(env, 'utf8') : '',
    name,
    wanted,
  );
  const isNew = !existsSync(spec);
  if (isNew) writeFileSync(spec, specOf(name), { flag: 'wx' });
  try {
    if (count > 0) appendFileSync(env, addition);
  } catch (error) {
    if (isNew) rmSync(spec);
    throw error;
  }
  const added = count === 1 ? '1 variable added' : `${count > 0 ? count : 'no'} variables added`;
  return [
    `${env}: ${added}`,
    `${spec}: ${isNew ? 'written' : 'is there already, and stays as it is'}`,
    ...notes,
    `\nPaste into your application's module:\n\n${moduleOf(name)}`,
    `Then put the values into .env, and run: npx nestjs-oauth-client check --env-file .env --client ${name}`,
  ].join('\n');
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

function additionTo(content: string, name: string, wanted: ReadonlyMap<string, string>) {
  const there = new Set(
    [...content.matchAll(/^\s*(?:export\s+)?(\w+)\s*=/gm)].map(([, variable]) => variable),
  );
  const values = parseEnv(content);
  const variables = [...wanted].map(([suffix, text]) => [variableOf(name, '') + suffix, text] as const);
  const lacking = variables.filter(
    ([variable, text]) => !there.has(variable) && !(text === '' && there.has(`${variable}_FILE`)),
  );
  const lines = lacking.map(([variable, text]) => lineOf(variable, text));
  const stay = variables.filter(
    ([variable, text]) => text !== '' && there.has(variable) && values[variable] !== text,
  );
  const notes = stay.map(
    ([variable]) => `${variable} is there already with another value, and stays as it is.`,
  );
  const listed = splitList(values['OAUTH_CLIENTS'] ?? '');
  const added: string[] = there.has('OAUTH_CLIENTS') ? [] : [`OAUTH_CLIENTS=${name}`];
  if (added.length === 0 && !listed.includes(name))
    notes.push(`Add it to the list that is there: OAUTH_CLIENTS=${[...listed, name].join(',')}`);
  if (lines.length > 0)
    added.push(`# OAuth client ${name}: the values that are empty are still to come`, ...lines);
  const eol = content.includes('\r\n') ? '\r\n' : '\n';
  const gap = content === '' ? '' : content.endsWith('\n') ? eol : eol + eol;
  const count = added.filter((line) => !line.startsWith('#')).length;
  return { addition: `${gap}${added.join(eol)}${eol}`, count, notes };
}

/** A line that dotenv and Node read as this value. */
function lineOf(variable: string, text: string): string {
  const isPlain = !/["'`#\\]|^\s|\s$/.test(text);
  const quote = isPlain ? '' : ["'", '"', '`'].find((one) => !text.includes(one));
  if (quote === undefined || /\p{Cc}/u.test(text) || (quote === '"' && text.includes('\\')))
    throw new Error(
      `${variable} has characters that an env file cannot hold together; set it where the application runs.`,
    );
  return `${variable}=${quote}${text}${quote}`;
}

function moduleOf(name: string): string {
  return `import { Module } from '@nestjs/common';
import { ConfigModule } from '@nestjs/config';
import { OAuthClientModule } from 'nestjs-oauth-client';

@Module({
  imports: [ConfigModule.forRoot(), OAuthClientModule.forRoot(), OAuthClientModule.forFeature('${name}')],
})
export class AppModule {}
`;
}

function specOf(name: string): string {
  return `import type { HttpService } from '@nestjs/axios';
import { Test } from '@nestjs/testing';
import { getOAuthHttpToken } from 'nestjs-oauth-client';
import { OAuthClientTestingModule, type FixedAnswer } from 'nestjs-oauth-client/testing';
import { firstValueFrom } from 'rxjs';

describe('The OAuth client ${name}', () => {
  it('gets an answer of its API, without a network', async () => {
    let authorization: unknown;
    const answer: FixedAnswer = ({ headers }) => {
      authorization = headers.get('Authorization');
      return { ok: true };
    };
    const module = await Test.createTestingModule({
      imports: [OAuthClientTestingModule.forRoot({ '${name}': { answer } })],
      // providers: [the service of yours that calls the API],
    }).compile();
    const http = module.get<HttpService>(getOAuthHttpToken('${name}'), { strict: false });
    const { data } = await firstValueFrom(http.get('/things'));
    expect(data).toEqual({ ok: true });
    expect(authorization).toBe('Bearer test-token');
    await module.close();
  });
});
`;
}
