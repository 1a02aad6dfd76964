import { appendFileSync, existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { prefixOf } from '../options/environment.js';
import { splitList } from '../options/kinds.js';

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
  const content = existsSync(env) ? readFileSync(env, 'utf8') : '';
  const { addition, count, notes, names } = additionTo(content, name, wanted);
  const isNew = !existsSync(spec);
  const toEnv = existsSync(join(dir, '.env'))
    ? `add what is new to the .env that is there, and ${name} to its OAUTH_CLIENTS`
    : 'copy .env.example to .env';
  if (isNew) writeFileSync(spec, specOf(name), { flag: 'wx' });
  try {
    if (count > 0) appendFileSync(env, addition);
  } catch (error) {
    if (isNew) rmSync(spec);
    throw error;
  }
  return [
    `${env}: variables added: ${count}`,
    `${spec}: ${isNew ? 'written' : 'is there already, and stays as it is'}`,
    ...notes,
    `\nPaste into your application's module:\n\n${moduleOf(names)}`,
    `Then ${toEnv}, fill in the values, and keep .env out of version control.`,
    `Check them: npx nestjs-oauth-client check --env-file .env --client ${name}`,
    'If Jest cannot load the package, see "Tests" in docs/getting-started.md of its repository.',
  ].join('\n');
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

function additionTo(content: string, name: string, wanted: ReadonlyMap<string, string>) {
  const there = new Set(content.match(/(?<=^\s*(export\s+)?)\w+(?=\s*=)/gm));
  const values = parseEnv(content);
  const variables = [...wanted].map(([suffix, text]) => [prefixOf(name) + suffix, text] as const);
  const lines = variables
    .filter(([variable, text]) => !there.has(variable) && !(text === '' && there.has(`${variable}_FILE`)))
    .map(([variable, text]) => lineOf(variable, text));
  const notes = variables
    .filter(([variable, text]) => text !== '' && there.has(variable) && values[variable] !== text)
    .map(([variable]) => `${variable} is there already with another value, and stays as it is.`);
  const list = splitList(values['OAUTH_CLIENTS'] ?? '');
  const names = [...new Set([...list, name])];
  const isFirst = !there.has('OAUTH_CLIENTS');
  if (!isFirst && !list.includes(name))
    notes.push(`Add it to the list that is there: OAUTH_CLIENTS=${names.join(',')}`);
  const count = lines.length + Number(isFirst);
  if (lines.length > 0) lines.unshift(`# OAuth client ${name}: the values that are empty are still to come`);
  if (isFirst) lines.unshift(`OAUTH_CLIENTS=${name}`);
  const eol = content.includes('\r\n') ? '\r\n' : '\n';
  const gap = content === '' ? '' : content.endsWith('\n') ? eol : eol + eol;
  return { addition: gap + lines.map((line) => line + eol).join(''), count, notes, names };
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

function moduleOf(names: readonly string[]): string {
  return `import { Module } from '@nestjs/common';
import { ConfigModule } from '@nestjs/config';
import { OAuthClientModule } from 'nestjs-oauth-client';

@Module({
  imports: [
    ConfigModule.forRoot(),
    OAuthClientModule.forRoot(),
    OAuthClientModule.forFeature(${names.map((name) => `'${name}'`).join(', ')}),
  ],
})
export class AppModule {}
`;
}

/** As prettier has it by default, with single quotes. */
function specOf(name: string): string {
  return `import type { HttpService } from '@nestjs/axios';
import { Test } from '@nestjs/testing';
import { getOAuthHttpToken } from 'nestjs-oauth-client';
import {
  OAuthClientTestingModule,
  type FixedAnswer,
} from 'nestjs-oauth-client/testing';
import { firstValueFrom } from 'rxjs';

describe('The OAuth client ${name}', () => {
  it('sends its token to its API', async () => {
    // Answers in place of the API: nothing reaches the network.
    const answer: FixedAnswer = ({ headers }) => headers.get('Authorization');
    const module = await Test.createTestingModule({
      imports: [
        OAuthClientTestingModule.forRoot({
          ${/^\w+$/.test(name) ? name : `'${name}'`}: { answer },
        }),
      ],
    }).compile();
    const http: HttpService = module.get(getOAuthHttpToken('${name}'), {
      strict: false,
    });
    const { data } = await firstValueFrom(http.get<string>('/things'));
    expect(data).toBe('Bearer test-token');
    await module.close();
  });
});
`;
}
