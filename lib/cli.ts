#!/usr/bin/env node
import { run } from './cli/run.js';

const terminal = process.stderr.isTTY;

try {
  const { output, code } = await run(process.argv.slice(2), process.env, (client) => {
    if (terminal) process.stderr.write(`\r\x1b[KAsking for a token of ${client} …`);
  });
  if (terminal) process.stderr.write('\r\x1b[K');
  process.stdout.write(`${output}\n`);
  process.exitCode = code;
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 2;
}
