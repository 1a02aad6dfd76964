import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';

/** Whether there is a `script` (util-linux), which gives a command a terminal. */
export const hasTerminals = /util-linux/.test(spawnSync('script', ['--version']).stdout?.toString() ?? '');

/** How a command is run. */
interface Run {
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  /** What is typed, once the command has written something. */
  typed?: string;
}

/** What a command wrote, and how it ended. */
export interface Written {
  stdout: string;
  stderr: string;
  code: number;
}

/** Runs a command that is piped. */
export async function piped([command = '', ...args]: string[], { typed, ...options }: Run): Promise<Written> {
  const child = spawn(command, args, { ...options, stdio: ['pipe', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  // A terminal whose input ends hangs up.
  if (typed === undefined && command !== 'script') child.stdin.end();
  else child.stdout.once('data', () => child.stdin.write(typed ?? ''));
  const [code] = (await once(child, 'close')) as [number];
  return { stdout, stderr, code };
}

/** Runs a command on a terminal of so many columns; `stdout` has all that the terminal shows. */
export function onTerminal(command: string[], columns: number, options: Run): Promise<Written> {
  const line = `stty cols ${columns}; ${command.map((word) => `'${word}'`).join(' ')}`;
  return piped(['script', '--quiet', '--return', '--command', line, '/dev/null'], options);
}
