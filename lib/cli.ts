#!/usr/bin/env node
import { run } from './cli/run.js';
import { Questions } from './cli/questions.js';

const { stdin, stderr, stdout } = process;
const questions = new Questions();

try {
  const { output, code } = await run(process.argv.slice(2), process.env, {
    columns: stdout.columns || 80, // a terminal may not know its size
    onProgress: (client) => {
      const line = `Asking for a token of ${client} …`;
      if (stderr.isTTY) stderr.write(`\r\x1b[K${line.slice(0, (stderr.columns || 80) - 1)}`);
    },
    ask: stdin.isTTY && stdout.isTTY ? (question) => questions.ask(question) : undefined,
  });
  if (stderr.isTTY) stderr.write('\r\x1b[K');
  stdout.write(`${output}\n`);
  process.exitCode = code;
} catch (error) {
  stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 2;
} finally {
  questions.close();
}
