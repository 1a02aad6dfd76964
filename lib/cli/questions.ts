import { createInterface, type Interface } from 'node:readline';

/** Questions on a terminal. Lines that are typed ahead, or pasted, wait for the question that they answer. */
export class Questions {
  #terminal: Interface | undefined;
  #lines: AsyncIterator<string> | undefined;

  /** @throws {Error} when the user ends the conversation instead of answering */
  async ask(question: string): Promise<string> {
    this.#terminal ??= createInterface({ input: process.stdin, output: process.stdout });
    this.#lines ??= this.#terminal[Symbol.asyncIterator]();
    this.#terminal.setPrompt(question);
    this.#terminal.prompt();
    const { value, done } = await this.#lines.next();
    if (done) throw new Error('\nCancelled; nothing is written.');
    return value.trim();
  }

  close(): void {
    this.#terminal?.close();
  }
}
