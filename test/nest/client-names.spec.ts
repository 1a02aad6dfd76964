import { describe, expect, it } from '@jest/globals';
import { join, resolve } from 'node:path';
import ts from 'typescript';

const root = resolve(import.meta.dirname, '../..');
const AUGMENTED =
  "declare module 'nestjs-oauth-client' { interface OAuthClientNames { buoy: true; lab: true } }\n";
const IMPORTS = `import * as lib from 'nestjs-oauth-client';
import { OAuthClientTestingModule } from 'nestjs-oauth-client/testing';
type Kit = Parameters<typeof OAuthClientTestingModule.forRoot>[0];
declare const tokens: lib.OAuthTokenService;
declare const indicator: import('nestjs-oauth-client/terminus').OAuthClientHealthIndicator;
declare const interceptor: lib.OAuthAxiosInterceptor;
declare const http: import('@nestjs/axios').HttpService;
`;

const uses: [string, (name: string) => string][] = [
  ['InjectOAuthClient', (name) => `lib.InjectOAuthClient(${name});`],
  ['InjectOAuthHttp', (name) => `lib.InjectOAuthHttp(${name});`],
  ['InjectOAuthFetch', (name) => `lib.InjectOAuthFetch(${name});`],
  ['getOAuthClientToken', (name) => `lib.getOAuthClientToken(${name});`],
  ['getOAuthHttpToken', (name) => `lib.getOAuthHttpToken(${name});`],
  ['getOAuthFetchToken', (name) => `lib.getOAuthFetchToken(${name});`],
  ['UseOAuthClient', (name) => `lib.UseOAuthClient(${name});`],
  ['OAuthToken', (name) => `lib.OAuthToken(${name});`],
  ['forFeature', (name) => `lib.OAuthClientModule.forFeature('buoy', ${name});`],
  ['getToken', (name) => `void tokens.getToken(${name});`],
  ['token$', (name) => `tokens.token$(${name});`],
  ['invalidate', (name) => `tokens.invalidate(${name});`],
  ['client', (name) => `tokens.client(${name});`],
  ['attach', (name) => `interceptor.attach(http, ${name});`],
  ['httpService', (name) => `interceptor.httpService(${name});`],
  ['isHealthy', (name) => `indicator.isHealthy('oauth', { clients: [${name}] });`],
  ['oauth of an Axios request', (name) => `http.get('/x', { oauth: { client: ${name} } });`],
  [
    'clients',
    (name) => `void (${name} satisfies keyof NonNullable<lib.OAuthClientModuleOptions['clients']>);`,
  ],
  ['a list for the kit', (name) => `OAuthClientTestingModule.forRoot(['buoy', ${name}]);`],
  ['the kit', (name) => `void (${name} satisfies keyof Exclude<Kit, readonly string[]>);`],
  ['oauth of fetch', (name) => `void fetch('/x', { oauth: { client: ${name} } });`],
];

/** What the compiler says of each use, one a line, by the line's number. */
function problemsOf(before: string, name: string): Map<number, string> {
  const path = join(root, 'test/nest/uses-of-names.ts');
  const code = `${uses.map(([, use]) => use(name)).join('\n')}\n${before}${IMPORTS}`;
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), (file) => ts.sys.readFile(file)) as {
    config: object;
  };
  const { options } = ts.parseJsonConfigFileContent({ ...config, include: [], files: [] }, ts.sys, root);
  const host = ts.createCompilerHost({ ...options, noEmit: true });
  const { fileExists, readFile } = host;
  host.fileExists = (file) => file === path || fileExists.call(host, file);
  host.readFile = (file) => (file === path ? code : readFile.call(host, file));
  const program = ts.createProgram([path], { ...options, noEmit: true }, host);
  const found = ts.getPreEmitDiagnostics(program, program.getSourceFile(path));
  return new Map(
    found.map(({ file, start = 0, messageText }) => [
      file?.getLineAndCharacterOfPosition(start).line ?? -1,
      ts.flattenDiagnosticMessageText(messageText, ' '),
    ]),
  );
}

describe('The names of clients', () => {
  it('are any text while nobody augments OAuthClientNames', () => {
    expect([...problemsOf('', "'nobody'")]).toEqual([]);
  });

  it('are accepted everywhere when OAuthClientNames has them', () => {
    expect([...problemsOf(AUGMENTED, "'lab'")]).toEqual([]);
  });

  it('may be some of those in clients, and in a record whose names are known at run time only', () => {
    const records = `const records: Record<string, lib.OAuthClientOptions> = {};
      lib.OAuthClientModule.forRoot({ clients: records });
      lib.OAuthClientModule.forRoot({ clients: { lab: {} }, defaults: (client: string) => records[client] });
      OAuthClientTestingModule.forRoot({ lab: 'token' });\n`;
    expect([...problemsOf(AUGMENTED + records, "'lab'")]).toEqual([]);
  });

  it('are refused everywhere when it has others', () => {
    const problems = problemsOf(AUGMENTED, "'lap'");
    const unnoticed = uses.filter((_, line) => !problems.get(line)?.includes('"lap"'));
    expect(unnoticed.map(([what]) => what)).toEqual([]);
    expect(problems.size).toBe(uses.length);
  });
});
