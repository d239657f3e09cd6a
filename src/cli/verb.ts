/** One command: a file of its own, named after it. */
export interface Verb {
  /** One line for the list of commands. */
  readonly summary: string;
  /** All that `chassis VERB --help` shows; a verb with verbs of its own looks at `argv` for one. */
  usage(argv?: readonly string[]): string;
  /** Answers the process's exit status; throws for what the user should mend. */
  run(argv: readonly string[]): Promise<number>;
}
