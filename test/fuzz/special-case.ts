/** A guest written for one special case: hot code first, then what translators of code get wrong. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { type Jit, jitModes, softEngine } from '../engine/jit.js';
import { Assembler, type Place } from './assembler.js';
import * as P from './program-layout.js';
import { buildProgram, ProgramVm } from './program-vm.js';

/** Rounds after which code is surely translated. */
export const HOT = 3000;

/** An event as the guest's handlers logged it. */
export interface Event {
  readonly vector: number;
  readonly error: number;
  readonly rip: number;
  readonly flags: number;
  readonly cr2: number;
  readonly dr6: number;
}

const MOST_RUNS = 200;

export class SpecialCase {
  readonly a: Assembler;
  vm!: ProgramVm;
  private readonly mode: P.ProgramMode;

  /** `mode` by its name; see {@link P.programModes}. */
  constructor(
    readonly jit: Jit,
    mode: string,
  ) {
    this.mode = P.programModes.find(({ name }) => name === mode)!;
    this.a = new Assembler(this.mode.width, P.CODE);
  }

  /** Loads what was assembled, to be run from label `start` or the first byte. */
  load(edit?: (ram: DataView) => void): this {
    const code = this.a.finish();
    let start: number = P.CODE;
    try {
      start = this.address('start');
    } catch {
      // The first byte, then.
    }
    const program = buildProgram(1, this.mode, { code, start });
    edit?.(new DataView(program.ram.buffer));
    this.vm ??= new ProgramVm(softEngine(this.jit));
    this.vm.load(program);
    return this;
  }

  address(place: string | Place): number {
    return this.a.addressOf(typeof place === 'string' ? { label: place } : place);
  }

  /** To the guest's HLT. */
  finish(): this {
    for (let runs = 0; runs < MOST_RUNS; runs++) {
      const exit = this.vm.run(1_000_000);
      if (exit.kind === 'hlt') return this;
      assert.equal(exit.kind, 'intr', JSON.stringify(exit));
    }
    throw new Error(`the guest goes on and on, at ${this.vm.rip.toString(16)}`);
  }

  reg(n: number): number {
    return Number(this.vm.vcpu.getRecord().registers.gpr[n]);
  }

  get ram(): DataView {
    const { buffer, byteOffset, byteLength } = this.vm.ram;
    return new DataView(buffer, byteOffset, byteLength);
  }

  u32(at: number): number {
    return this.ram.getUint32(at, true);
  }

  /** How many events were logged, and the last of them in order. */
  get logged(): number {
    return this.u32(P.VARS.logged);
  }
  get events(): Event[] {
    const { logged } = this;
    const first = Math.max(0, logged - P.LOG_ENTRIES);
    return Array.from({ length: logged - first }, (_, i) => {
      const at = P.LOG + ((first + i) % P.LOG_ENTRIES) * 64;
      const word = (n: number): number => this.u32(at + n);
      const limit = this.mode.width === 16 ? 0xffff : 0xffff_ffff;
      return {
        vector: word(0) & 0xff,
        error: (word(8) & limit) >>> 0,
        rip: (word(16) & limit) >>> 0,
        flags: (word(32) & limit) >>> 0,
        cr2: word(48),
        dr6: word(56),
      };
    });
  }
}

/** One test, once with the JIT and once without. */
export function special(name: string, mode: string, body: (guest: SpecialCase) => void): void {
  for (const jit of jitModes) {
    test(`${name} (${mode}, jit ${jit})`, () => {
      const guest = new SpecialCase(jit, mode);
      body(guest);
      const { translated } = guest.vm;
      // 16-bit code is left to the interpreter.
      if (jit === 'off' || mode === 'real') assert.equal(translated, 0);
      else assert.ok(translated > HOT / 10, `${translated} instructions in translated code`);
    });
  }
}
