import type { Exit, InlineBus } from '../engine.js';

/** Thrown through wasm frames to leave with an exit. */
export const LEAVE = { reason: 'exit' };

/**
 * Ports and MMIO of a vCPU that has no bus beside it: each access leaves `run` with an exit, and the
 * instruction is executed again when `run` is called with the answer. An instruction may make
 * several accesses; those already answered are replayed.
 */
export class BusExits implements InlineBus {
  /** The exit that {@link LEAVE} left with. */
  exit: Exit | undefined;
  private asked: { data: Uint8Array; read: boolean } | undefined;
  private answers: number[] = [];
  private at = 0;
  private instruction = '';

  /** `identify` tells one execution of an instruction from the next. */
  constructor(private readonly identify: () => string) {}

  /** At the start of `run`: true when an instruction has to be completed before all else. */
  begin(): boolean {
    this.at = 0;
    const { asked } = this;
    if (asked === undefined) return false;
    this.asked = undefined;
    this.answers.push(asked.read ? littleEndian(asked.data) : 0);
    return true;
  }

  /** Forgets an access whose instruction will not be completed. */
  drop(): void {
    this.asked = undefined;
    this.answers = [];
  }

  portRead(port: number, size: 1 | 2 | 4): number {
    return this.access(true, size, 0, (data) => ({
      kind: 'io',
      port,
      size,
      direction: 'in',
      count: 1,
      data,
    }));
  }

  portWrite(port: number, size: 1 | 2 | 4, value: number): void {
    this.access(false, size, value, (data) => ({
      kind: 'io',
      port,
      size,
      direction: 'out',
      count: 1,
      data,
    }));
  }

  mmioRead(gpa: number, size: 1 | 2 | 4): number {
    return this.access(true, size, 0, (data) => ({ kind: 'mmio', gpa, direction: 'read', data }));
  }

  mmioWrite(gpa: number, size: 1 | 2 | 4, value: number): void {
    this.access(false, size, value, (data) => ({ kind: 'mmio', gpa, direction: 'write', data }));
  }

  private access(
    read: boolean,
    size: number,
    value: number,
    make: (data: Uint8Array) => Exit,
  ): number {
    const instruction = this.identify();
    if (instruction !== this.instruction) {
      this.instruction = instruction;
      this.answers = [];
      this.at = 0;
    }
    if (this.at < this.answers.length) return this.answers[this.at++]!;
    const data = new Uint8Array(size);
    for (let i = 0; i < size; i++) data[i] = read ? 0xff : value >>> (8 * i);
    this.asked = { data, read };
    this.exit = make(data);
    throw LEAVE;
  }
}

function littleEndian(data: Uint8Array): number {
  let value = 0;
  for (let i = 0; i < data.length; i++) value |= data[i]! << (8 * i);
  return value >>> 0;
}
