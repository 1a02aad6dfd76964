import { readFileSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import ts from 'typescript';

const root = resolve(import.meta.dirname, '../..');
const globals = join(root, 'test/docs/globals.d.ts');

interface Block {
  file: string;
  line: number;
  code: string;
}

const documents = ['README.md', ...readdirSync(join(root, 'docs')).map((name) => `docs/${name}`)].filter(
  (name) => name.endsWith('.md'),
);

describe('code in the documentation', () => {
  it('compiles, block by block', () => {
    const blocks = documents.flatMap(blocksOf);
    expect(blocks.length).toBeGreaterThan(10);
    expect(problemsOf(blocks)).toEqual([]);
  });

  it('is found wrong when it is', () => {
    expect(problemsOf([{ file: 'x.md', line: 7, code: "this.tokens.getTokn('buoy');" }])).toEqual([
      expect.stringContaining("x.md:8: Property 'getTokn' does not exist"),
    ]);
  });
});

/** The blocks marked `ts`, with the line that opens each. */
function blocksOf(file: string): Block[] {
  const lines = readFileSync(join(root, file), 'utf8').split('\n');
  const blocks: Block[] = [];
  for (let at = 0; at < lines.length; at++) {
    if (lines[at] !== '```ts') continue;
    const end = lines.indexOf('```', at + 1);
    blocks.push({ file, line: at + 1, code: lines.slice(at + 1, end).join('\n') });
    at = end;
  }
  return blocks;
}

/** Each block as a module of its own; statements that use `this` stand in a method. */
function problemsOf(blocks: readonly Block[]): string[] {
  const sources = new Map(
    blocks.map((block, index) => {
      const statements = !/^(import|export|@|class )/m.test(block.code);
      const code = statements ? `async function block(this: DocumentedClass) {${block.code}\n}` : block.code;
      return [join(root, `test/docs/block-${index}.ts`), { block, code: `${code}\nexport {};\n` }] as const;
    }),
  );
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), (path) => ts.sys.readFile(path)) as {
    config: { compilerOptions: ts.CompilerOptions };
  };
  const { options } = ts.parseJsonConfigFileContent({ ...config, include: [], files: [] }, ts.sys, root);
  const compilerOptions = { ...options, noEmit: true, noUnusedLocals: false, noUnusedParameters: false };
  const host = ts.createCompilerHost(compilerOptions);
  const { fileExists, readFile } = host;
  host.fileExists = (path) => sources.has(path) || fileExists.call(host, path);
  host.readFile = (path) => sources.get(path)?.code ?? readFile.call(host, path);
  const program = ts.createProgram([globals, ...sources.keys()], compilerOptions, host);
  return [...sources].flatMap(([path, { block }]) =>
    [
      ...program.getSemanticDiagnostics(program.getSourceFile(path)),
      ...program.getSyntacticDiagnostics(program.getSourceFile(path)),
    ].map(({ messageText, start, file }) => {
      const line = file && start !== undefined ? file.getLineAndCharacterOfPosition(start).line : 0;
      return `${block.file}:${block.line + 1 + line}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`;
    }),
  );
}
