import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, it } from '@jest/globals';
import ts from 'typescript';
import { variableOf } from '../../lib/options/environment.js';
import { PRESETS } from '../../lib/options/presets.js';
import { OPTION_SCHEMA, takesFile } from '../../lib/options/option-schema.js';

const root = resolve(import.meta.dirname, '../..');
const page = join(root, 'docs/configuration.md');

it('docs/configuration.md says what the option types say (UPDATE_DOCS=1 writes it)', () => {
  const generated = configurationPage();
  if (process.env['UPDATE_DOCS'] === '1') writeFileSync(page, generated);
  expect(readFileSync(page, 'utf8')).toBe(generated);
});

it('every option has a meaning', () => {
  const described = describedOptions();
  expect(Object.keys(OPTION_SCHEMA).filter((path) => !described.get(path))).toEqual([]);
});

it('every described option is in the schema', () => {
  const known = Object.keys(OPTION_SCHEMA);
  const described = [...describedOptions().keys()];
  expect(
    described.filter((path) => !known.some((other) => other === path || other.startsWith(`${path}.`))),
  ).toEqual([]);
});

function configurationPage(): string {
  const described = describedOptions();
  const rows = Object.entries(OPTION_SCHEMA).map(([path, kind]) => {
    const variable = kind.read === undefined ? '–' : `\`${variableOf('X', path)}\``;
    const file = takesFile(path) ? `, \`${variableOf('X', path)}_FILE\`` : '';
    const values = kind.values ? ` One of ${kind.values.map((value) => `\`${value}\``).join(', ')}.` : '';
    return `| \`${path}\` | ${variable}${file} | ${described.get(path)}${values} |`;
  });
  return `# Configuration

Generated from the option types; a test keeps it in step.

## Clients

In code each client is a member of \`clients\`; in the environment \`OAUTH_CLIENTS\` lists the names, separated by commas, and
each client \`x\` reads \`OAUTH_X_…\`. A name's other characters become underscores: \`my-api\` reads \`OAUTH_MY_API_…\`. Of names
that prefix each other the longest owns a variable. Lists are separated by commas, \`scope\` by spaces, \`PARAMETERS\`,
\`GRANT_PARAMETERS\`, \`TOKEN_REQUEST_HEADERS\` and \`HTTP_HEADERS\` are query strings, \`ASSERTION_HEADER\`, \`ASSERTION_CLAIMS\` and
\`GRANT_CLAIMS\` query strings or JSON objects, durations are milliseconds. Files are read without their trailing newline. Empty variables count as absent;
a variable of a listed client that no option knows is a problem at boot, reported with the nearest right name.

What a schema of the application's ConfigModule (Zod, Joi, any Standard Schema) made of a variable means what the text did: a
number, a boolean, a URL, a list, and an object where a query string may stand. \`null\` counts as absent. Any other type is a
problem at boot. A URL object has a slash after its origin; it is left out, so pass an issuer that ends in one as a text.

\`OAUTH_X_PARTNER\` puts a preset underneath; some have settings of their own. A setting of another partner fails the boot.

| partner | settings |
| --- | --- |
${[...PRESETS].map(([name, { settings }]) => `| \`${name}\` | ${settings.map((setting) => `\`${variableOf('X', setting)}\``).join(', ') || '–'} |`).join('\n')}

\`OAUTH_X_ENVIRONMENT\` is \`production\` or, for Buoy, \`sandbox\`. [Partners](partners.md) has an example of each. The order is: module \`defaults\`, then the preset, then the client's own options.

| option | variable | meaning |
| --- | --- | --- |
${rows.join('\n')}

## Module

| option | meaning |
| --- | --- |
${[...membersOf('lib/options/module-options.ts', 'OAuthClientModuleOptions')].map(([name, text]) => `| \`${name}\` | ${text} |`).join('\n')}
| \`isGlobal\` | Whether the services are visible in every module. Default true. Without it \`forFeature\` finds nothing: give \`clients\` to \`forRoot\`, and import what that returns. |

One registration serves an application; a second one would have clients and tokens of its own, and which of
the two is injected would depend on the module.
`;
}

/** Option paths with their JSDoc, nested ones joined by a dot. */
function describedOptions(): Map<string, string> {
  const options = membersOf('lib/options/client-options.ts', 'OAuthClientOptions');
  const nest = (name: string, members: Map<string, string>) => {
    for (const [member, text] of members) options.set(`${name}.${member}`, text);
  };
  nest('refreshAhead', membersOf('lib/core/access-token.ts', 'RefreshAheadOptions'));
  nest('retry', membersOf('lib/core/backoff.ts', 'RetryOptions'));
  nest('assertion', membersOf('lib/options/client-options.ts', 'AssertionOptions'));
  nest('unauthorized', membersOf('lib/options/client-options.ts', 'UnauthorizedOptions'));
  nest('tokenHeader', membersOf('lib/options/client-options.ts', 'TokenHeaderOptions'));
  nest('http', membersOf('lib/options/client-options.ts', 'HttpOptions'));
  nest('tls', membersOf('lib/options/client-options.ts', 'TlsOptions'));
  nest('dpop', membersOf('lib/options/client-options.ts', 'DpopOptions'));
  nest('grant', membersOf('lib/options/client-options.ts', 'GrantOptions'));
  return options;
}

/** The members of an interface, or of a union of object types, with their JSDoc on one line. */
function membersOf(file: string, name: string): Map<string, string> {
  const source = ts.createSourceFile(
    file,
    readFileSync(join(root, file), 'utf8'),
    ts.ScriptTarget.Latest,
    true,
  );
  const members = new Map<string, string>();
  const collect = (list: ts.NodeArray<ts.TypeElement>) => {
    for (const member of list) {
      const [comment] = ts.getJSDocCommentsAndTags(member);
      const text = ts.getTextOfJSDocComment(comment?.comment)?.replace(/\s+/g, ' ') ?? '';
      if (text !== '')
        members.set(
          member.name!.getText(),
          [members.get(member.name!.getText()), text].filter(Boolean).join(' '),
        );
    }
  };
  source.forEachChild((node) => {
    if (ts.isInterfaceDeclaration(node) && node.name.text === name) collect(node.members);
    if (ts.isTypeAliasDeclaration(node) && node.name.text === name && ts.isUnionTypeNode(node.type)) {
      for (const type of node.type.types) if (ts.isTypeLiteralNode(type)) collect(type.members);
    }
  });
  return members;
}
