/**
 * `bad-config`: a flag. `bad-input`: a file of the user's. Both have one sentence that names the flag
 * or file, what was found and what would be right. Kernels, initrds, firmware and the size of memory
 * give the firmware layer's LoadError instead, of the same kind as `bad-input`.
 */
export type MachineErrorCode = 'bad-config' | 'bad-input';

export class MachineError extends Error {
  override readonly name = 'MachineError';
  constructor(
    readonly code: MachineErrorCode,
    message: string,
    options?: { cause: unknown },
  ) {
    super(message, options);
  }
}
