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

This page is generated from the option types.

## How do I configure a client?

In code, each client is a member of \`clients\`. In the environment, \`OAUTH_CLIENTS\` lists the names, separated by commas, and each
client \`x\` reads \`OAUTH_X_…\`. Characters that a variable cannot have become underscores: \`my-api\` reads \`OAUTH_MY_API_…\`. If the
names of two clients begin alike, a variable belongs to the longest that fits. Options that are functions, such as \`tenants\`,
have no variable: set them in code, in the module's \`defaults\`, for all clients or by name.

Variables are read like this:

- Lists are separated by commas, \`scope\` by spaces. Durations are milliseconds.
- \`PARAMETERS\`, \`GRANT_PARAMETERS\`, \`TOKEN_REQUEST_HEADERS\`, \`HTTP_HEADERS\`, \`ASSERTION_HEADER\`, \`ASSERTION_CLAIMS\` and
  \`GRANT_CLAIMS\` are query strings or JSON objects.
- Files are read without their trailing newline.
- An empty variable counts as absent.
- An unknown variable of a listed client fails the boot, and the error suggests the closest name.
- A schema of ConfigModule (Zod, Joi, any Standard Schema) may turn variables into numbers, booleans, URLs and lists, and into
  objects where JSON or a query string may stand. \`null\` counts as absent, and any other type fails the boot.
- Pass an issuer that ends in a slash after its host as a text: a URL object always has one there, so it is taken off.

The client's own options win over its preset, and the preset wins over the module's \`defaults\`.

## Which presets are there?

\`OAUTH_X_PARTNER\` selects a preset. Some presets have settings of their own; a setting of another partner fails the boot.
[Partners](partners.md) has an example of each.

| partner | settings |
| --- | --- |
${[...PRESETS].map(([name, { settings }]) => `| \`${name}\` | ${settings.map((setting) => `\`${variableOf('X', setting)}\``).join(', ') || '–'} |`).join('\n')}

\`OAUTH_X_ENVIRONMENT\` is \`production\` or, for Buoy, \`sandbox\`.

## Which options does a client have?

| option | variable | meaning |
| --- | --- | --- |
${rows.join('\n')}

## Which options does the module have?

| option | meaning |
| --- | --- |
${[...membersOf('lib/options/module-options.ts', 'OAuthClientModuleOptions')].map(([name, text]) => `| \`${name}\` | ${text} |`).join('\n')}
| \`isGlobal\` | Whether the services are visible in every module. Default true. If it is false, \`forFeature\` finds nothing: pass \`clients\` to \`forRoot\`, and import what it returns. |

Register the module once in an application. A second registration has clients and tokens of its own, and it depends on the module
which of the two is injected.
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
