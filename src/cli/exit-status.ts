/** What the process ends with. The values from 64 are those of BSD's sysexits(3). */
export const exitStatus = {
  /** The guest powered off, or the user ended it. */
  ok: 0,
  usage: 64,
  badInput: 65,
  engineMissing: 69,
  ourBug: 70,
  guestCrashed: 75,
} as const;

/** A problem of the user's making: one sentence and the status to end with. */
export class CliError extends Error {
  override readonly name = 'CliError';
  constructor(
    readonly status: number,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

export function usageError(message: string): CliError {
  return new CliError(exitStatus.usage, message);
}
