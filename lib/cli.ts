#!/usr/bin/env node
import { createInterface } from 'node:readline';
import { run } from './cli/run.js';

const { stdin, stderr, stdout } = process;
const [, , ...args] = process.argv;
const asks = args[0] === 'init' && stdin.isTTY && stdout.isTTY;
const terminal = asks ? createInterface({ input: stdin, output: stdout }) : undefined;
// Lines that are typed ahead, or pasted, wait here for the question that they answer.
const lines = terminal?.[Symbol.asyncIterator]();

try {
  const { output, code } = await run(args, process.env, {
    columns: stdout.columns || 80, // a terminal may not know its size
    onProgress: (client) => {
      const line = `Asking for a token of ${client} …`;
      if (stderr.isTTY) stderr.write(`\r\x1b[K${line.slice(0, (stderr.columns || 80) - 1)}`);
    },
    ask:
      lines &&
      (async (question) => {
        terminal?.setPrompt(question);
        terminal?.prompt();
        const { value, done } = await lines.next();
        if (done) throw new Error('\nCancelled; nothing is written.');
        return value.trim();
      }),
  });
  if (stderr.isTTY) stderr.write('\r\x1b[K');
  stdout.write(`${output}\n`);
  process.exitCode = code;
} catch (error) {
  stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 2;
}
terminal?.close();
