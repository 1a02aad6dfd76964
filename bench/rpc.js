// Questions and answers between the run and its child processes.
import { fork } from 'node:child_process';

/** Serves `operations` to the parent process, which ends this one by disconnecting. */
export function answer(operations) {
  process.on('message', ({ id, operation, argument }) => {
    Promise.resolve()
      .then(() => operations[operation](argument))
      .then(
        (result) => process.send({ id, result }),
        (error) => process.send({ id, failure: error?.stack ?? String(error) }),
      );
  });
  process.on('disconnect', () => process.exit());
  process.send({ id: 0 });
}

/** A child process whose operations can be called: `await child.call('name', argument)`. */
export async function start(file, args = [], execArgv = []) {
  const process_ = fork(new URL(file, import.meta.url), args, { execArgv, serialization: 'advanced' });
  const waiting = new Map();
  let last = 0;
  const reply = (id) =>
    new Promise((resolve, reject) => {
      waiting.set(id, { resolve, reject });
    });
  process_.on('message', ({ id, result, failure }) => {
    const { resolve, reject } = waiting.get(id);
    waiting.delete(id);
    if (failure === undefined) resolve(result);
    else reject(new Error(`${file} ${args.join(' ')}: ${failure}`));
  });
  process_.on('exit', (code) => {
    for (const { reject } of waiting.values())
      reject(new Error(`${file} ${args.join(' ')} ended with ${code}`));
  });
  await reply(0);
  return {
    pid: process_.pid,
    call: (operation, argument) => {
      const answered = reply(++last);
      process_.send({ id: last, operation, argument });
      return answered;
    },
    stop: () => process_.disconnect(),
  };
}
