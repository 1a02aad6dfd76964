/** What is known of one message. */
export interface KnownMessage {
  /** A part of the message, as the code has it. */
  find: string;
  /** A part of the sentence that it completes, where it is not a whole one. */
  within?: string;
  /** What stands for the first `…`, where it is nearly always the same. */
  subject?: string;
  /** What stands in its place for a part that the code calls `what`. */
  what?: string;
  /** What was behind it in practice, each with what helps. */
  causes: readonly string[];
  /** Parts of other texts in the code that complete this one. */
  parts?: readonly string[];
}
