import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { transformFile } from '@swc/core';

const repository = resolve(import.meta.dirname, '../..');

/** The library and a script of the tests as plain JavaScript, so that a child process can run them. */
export class CompiledCopy {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** @param scripts paths from the repository's root */
  static async of(...scripts: string[]): Promise<CompiledCopy> {
    const copy = new CompiledCopy(await mkdtemp(join(tmpdir(), 'oauth-compiled-')));
    const lib = await readdir(join(repository, 'lib'), { recursive: true });
    const sources = lib.filter((path) => path.endsWith('.ts')).map((path) => join('lib', path));
    await Promise.all([...sources, ...scripts].map((source) => copy.#compile(source)));
    await writeFile(join(copy.#folder, 'package.json'), '{"type":"module"}');
    await symlink(join(repository, 'node_modules'), join(copy.#folder, 'node_modules'));
    return copy;
  }

  path(script: string): string {
    return join(this.#folder, script.replace(/\.ts$/, '.js'));
  }

  async remove(): Promise<void> {
    await rm(this.#folder, { recursive: true });
  }

  async #compile(source: string): Promise<void> {
    const { code } = await transformFile(join(repository, source), {
      swcrc: false,
      module: { type: 'es6' },
      jsc: {
        target: 'es2022',
        parser: { syntax: 'typescript', decorators: true },
        transform: { legacyDecorator: true, decoratorMetadata: true },
      },
    });
    await mkdir(dirname(this.path(source)), { recursive: true });
    await writeFile(this.path(source), code);
  }
}
