/**
 * Words that a vCPU's thread and the machine's share. Whose turn it is is one word; what belongs to an
 * exit is in the vCPU's own page, which both have.
 */
export const word = { turn: 0, error: 1, threadId: 2 } as const;
export const MAILBOX_BYTES = 16;

export const turn = {
  /** An exit waits for the machine; also before the first entry. */
  machine: 0,
  /** The guest runs, or is about to. */
  guest: 1,
  /** The thread is to end, or has. */
  over: 2,
} as const;

/** A real-time signal that nobody else is known to use. */
export const KICK_SIGNAL = 44;

/** What the vCPU's thread gets at its start. */
export interface ThreadStart {
  readonly fd: number;
  readonly words: Int32Array;
  /** How long to look at the word of whose turn it is before sleeping on it. */
  readonly spinNs: number;
}
