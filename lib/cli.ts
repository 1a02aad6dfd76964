#!/usr/bin/env node
import { run } from './cli/run.js';

const { stderr, stdout } = process;

try {
  const { output, code } = await run(process.argv.slice(2), process.env, {
    columns: stdout.columns || 80, // a terminal may not know its size
    onProgress: (client) => {
      const line = `Asking for a token of ${client} …`;
      if (stderr.isTTY) stderr.write(`\r\x1b[K${line.slice(0, (stderr.columns || 80) - 1)}`);
    },
  });
  if (stderr.isTTY) stderr.write('\r\x1b[K');
  stdout.write(`${output}\n`);
  process.exitCode = code;
} catch (error) {
  stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 2;
}
