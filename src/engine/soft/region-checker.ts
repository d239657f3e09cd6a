/**
 * `--check-jit`: every translated region that is run is checked against the interpreter, on the same vCPU.
 * The region runs first; what it stored is noted and undone, and the state it began with comes back; the
 * interpreter runs exactly as many instructions; then registers, flags and what was stored must be the
 * same. Regions never reach a device, so nothing outside sees the code run twice. A store that a region
 * leaves out is only seen by what it makes different later. For VMs with one vCPU.
 */
import { WasmModule } from '../../cpu/emit/module.js';
import * as R from '../../cpu/interp/record.js';
import type { Region } from '../../cpu/jit/region.js';
import { listRegion, regionText } from '../../cpu/jit/region-listing.js';
import * as L from '../../cpu/state/layout.js';
import type { InterpExports, RuntimeExports, SoftCode } from './soft-code.js';
import type { SoftVm } from './soft-vm.js';
import type { StateView } from './state-view.js';

/** Registers and what else a region may change; behind it are words of the runtime's own. */
const COPIED = L.RUNTIME_PRIVATE;
/** No block of the interpreter is longer: how far it may run past a budget. */
const LONGEST_BLOCK = 64;
const MOST_SHOWN = 100;

/** What must be the same after a region: places in the state and their lengths in bytes. */
const compared = [
  [L.GPR, 0x80],
  [L.RIP, 8],
  [L.EFLAGS, 4],
  [L.SEGMENTS, L.EXC_VECTOR - L.SEGMENTS],
  [L.XMM, L.MXCSR + 4 - L.XMM],
] as const;
const comparedWords = compared.flatMap(([at, bytes]) =>
  Array.from({ length: bytes / 4 }, (_, i) => at / 4 + i),
);
const names = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' ');

interface Attempt {
  readonly count: number;
  readonly status: number;
  readonly unwound: boolean;
  /** In words; undefined: all is the same. */
  readonly difference: string | undefined;
}

/** The message says all that is known. */
class JitDifference extends Error {
  override readonly name = 'JitDifference';
}

export class RegionChecker {
  /** The interpreter repeats a region: no interrupt is taken, nothing is translated. */
  busy = false;
  /** What checked regions import of "env", beside the memory and the vCPU's address. */
  readonly imports = {
    // The guest's calls go through the run loop, so that each region is checked by itself.
    guest_call: () => 0,
    log_store: (place: number, bytes: number) => this.note(place >>> 0, bytes),
  };
  private asked = false;
  private readonly bytes: Uint8Array;
  private readonly area: Uint8Array;
  private readonly words: Int32Array;
  private readonly generations: Int32Array;
  private readonly start = new Uint8Array(COPIED);
  private readonly after = new Uint8Array(COPIED);
  private readonly afterWords = new Int32Array(this.after.buffer);
  private readonly afterView = new DataView(this.after.buffer);
  private flags = 0n;
  /** The region's stores: place, length, and where in `old` and `fresh` the bytes are. */
  private readonly stores: [place: number, bytes: number, at: number][] = [];
  private old = new Uint8Array(0x1_0000);
  private fresh = new Uint8Array(0x1_0000);
  private noted = 0;
  private readonly gate: Uint8Array;

  constructor(
    private readonly vm: SoftVm,
    private readonly state: StateView,
    private readonly code: SoftCode,
    private readonly interp: InterpExports,
    private readonly runtime: RuntimeExports,
    /** What the runtime throws when the guest faults. */
    private readonly unwind: unknown,
  ) {
    const { buffer } = vm.wasmMemory;
    this.bytes = new Uint8Array(buffer);
    this.area = new Uint8Array(buffer, state.base, COPIED);
    this.words = new Int32Array(buffer, state.base, COPIED / 4);
    this.generations = new Int32Array(buffer);
    const module = new WasmModule();
    module.importFunction('env', 'checked', { params: [], results: ['i32'] });
    module.export('checked');
    this.gate = module.build();
  }

  /** Interrupts wait until the interpreter has done what the region did. */
  deferInterrupt(): boolean {
    this.asked ||= this.busy;
    return this.busy;
  }

  /** A function for the table of regions that checks `run`, the region's own. */
  wrap(region: Region, run: unknown): unknown {
    const checked = () => this.check(region, run as () => number);
    const env = { memory: this.vm.wasmMemory, cpu: this.state.base, checked };
    return this.code.instantiateBytes(this.gate, { env }).checked;
  }

  private note(place: number, bytes: number): void {
    if (this.noted + bytes > this.old.length) {
      const longer = new Uint8Array(this.old.length * 2);
      longer.set(this.old);
      this.old = longer;
      this.fresh = new Uint8Array(longer.length);
    }
    for (let i = 0; i < bytes; i++) this.old[this.noted + i] = this.bytes[place + i]!;
    this.stores.push([place, bytes, this.noted]);
    this.noted += bytes;
  }

  private get count(): number {
    return Number(this.state.u64(L.ICOUNT));
  }

  private check(region: Region, run: () => number): number {
    const { state } = this;
    if (this.busy || state.u32(L.ATTENTION) !== 0 || state.u32(L.EVENT) !== 0) {
      state.setU32(L.JIT_SKIP, 1);
      return 0;
    }
    this.start.set(this.area);
    this.busy = true;
    this.asked = false;
    try {
      const limit = state.u64(L.ICOUNT_LIMIT);
      const attempt = this.attempt(run, limit);
      if (attempt.difference !== undefined)
        throw new JitDifference(this.report(region, run, attempt));
      state.setU64(L.ICOUNT_LIMIT, limit);
      this.goOn(attempt);
      return attempt.status;
    } finally {
      this.busy = false;
    }
  }

  /** The interpreter's state stays; what the region says about itself and about events is added. */
  private goOn({ count, unwound }: Attempt): void {
    const { state, afterView } = this;
    this.area.set(this.after.subarray(L.JIT_ENTRIES, L.JIT_THRESHOLD), L.JIT_ENTRIES);
    // The interpreter finds a fault again.
    const skip = count === 0 || unwound || afterView.getUint32(L.JIT_SKIP, true) !== 0;
    state.setU32(L.JIT_SKIP, skip ? 1 : 0);
    state.setU32(L.BLOCK_REC, 0);
    const event = afterView.getUint32(L.EVENT, true) & ~L.EVENT_EXCEPTION;
    state.setU32(L.EVENT, event === 0 && !this.asked ? 0 : event | L.EVENT_RECHECK);
    if (this.asked) state.orWord(L.ATTENTION, L.ATT_INTERRUPT);
  }

  /** Both ways from `start` on; the interpreter's result is what stays. */
  private attempt(run: () => number, limit: bigint): Attempt {
    const { bytes, stores, state } = this;
    state.setU64(L.ICOUNT_LIMIT, limit);
    stores.length = 0;
    this.noted = 0;
    let [status, unwound] = [0, false];
    const before = this.count;
    try {
      status = run();
    } catch (error) {
      if (error !== this.unwind) throw error;
      this.runtime.lock_end();
      unwound = true;
    }
    const count = this.count - before;
    this.after.set(this.area);
    this.flags = this.runtime.read_flags();
    for (const [place, length, at] of stores) {
      for (let i = 0; i < length; i++) this.fresh[at + i] = bytes[place + i]!;
    }
    for (let n = stores.length - 1; n >= 0; n--) {
      const [place, length, at] = stores[n]!;
      for (let i = 0; i < length; i++) bytes[place + i] = this.old[at + i]!;
    }
    this.area.set(this.start);
    // What the region has seen go is gone: neither of these goes back.
    for (const at of [L.CODE_EPOCH, L.CODE_TAG, L.CODE_TAG + 4, L.CODE_ADDEND]) {
      state.setU32(at, this.afterView.getUint32(at, true));
    }
    const difference = this.interpret(count) ?? (this.isSame() ? undefined : 'they differ');
    return { count, status, unwound, difference };
  }

  /** Exactly so many instructions; otherwise says what happened. */
  private interpret(instructions: number): string | undefined {
    const { state } = this;
    const target = this.count + instructions;
    for (let from = -1, at = this.count; at !== target; from = at, at = this.count) {
      if (at > target || at === from) return `the interpreter is ${at - target} instructions off`;
      const left = target - at;
      const near = left <= LONGEST_BLOCK;
      const steps = near && this.blockLength() > left;
      state.setU64(L.ICOUNT_LIMIT, BigInt(near ? at + 1 : target - LONGEST_BLOCK));
      if (near) state.setU32(L.JIT_SKIP, 1);
      if (steps) state.assign(L.EVENT, L.EVENT_STEP, true);
      let exit: unknown;
      try {
        exit = this.interp.run();
      } catch (error) {
        exit = error === this.unwind ? `exception ${state.i32(L.EXC_VECTOR)}` : error;
      }
      if (steps) state.assign(L.EVENT, L.EVENT_STEP, false);
      if (exit !== L.EXIT_BUDGET) return `the interpreter leaves (${exit})`;
    }
    return undefined;
  }

  /** Instructions in the interpreter's block at RIP, where that is known without a search. */
  private blockLength(): number {
    const { state } = this;
    const linear = (state.u64(L.RIP) + state.u64(L.CODE_BASE)) & state.u64(L.LINEAR_MASK);
    if ((linear & ~0xfffn) !== state.u64(L.CODE_TAG)) return Infinity;
    const place = (Number(linear & 0xffff_ffffn) + state.i32(L.CODE_ADDEND)) >>> 0;
    const entry = L.BLOCK_HASH + ((place ^ (place >>> 11)) & (L.BLOCK_HASH_ENTRIES - 1)) * R.H_SIZE;
    const page = (L.CODE_PAGES + (place >>> 12) * L.CODE_PAGE_SIZE) / 4;
    const known =
      state.u32(entry + R.H_PLACE) === place &&
      state.u32(entry + R.H_MODE) === state.u32(L.CODE_MODE) &&
      state.i32(entry + R.H_GENERATION) === this.generations[page];
    return known ? this.bytes[state.u32(entry + R.H_RECORD) + R.R_REMAINING]! + 1 : Infinity;
  }

  private isSame(): boolean {
    if (this.flags !== this.runtime.read_flags()) return false;
    for (const word of comparedWords) if (this.words[word] !== this.afterWords[word]) return false;
    for (const [place, length, at] of this.stores) {
      for (let i = 0; i < length; i++) {
        if (this.bytes[place + i] !== this.fresh[at + i]) return false;
      }
    }
    return true;
  }

  // --- at a difference -----------------------------------------------------------------------------

  private report(region: Region, run: () => number, first: Attempt): string {
    const stores = [...this.stores].reverse();
    const old = this.old.slice();
    const restore = (): void => {
      this.area.set(this.start);
      for (const [place, length, at] of stores)
        this.bytes.set(old.subarray(at, at + length), place);
    };
    const startView = new DataView(this.start.buffer);
    const begin = startView.getBigUint64(L.ICOUNT, true);
    const rip = startView.getBigUint64(L.RIP, true);
    // A smaller budget makes the region leave at the start of a loop: the least that shows it.
    let [low, high, good, bad] = [1, first.count, 0, first];
    while (low < high) {
      const middle = (low + high) >> 1;
      restore();
      const tried = this.attempt(run, begin + BigInt(middle));
      if (tried.difference === undefined) [low, good] = [middle + 1, tried.count];
      else [high, bad] = [middle, tried];
    }
    restore();
    const { difference } = this.attempt(run, begin + BigInt(high));
    const states = this.bothStates();
    const page = (rip + startView.getBigUint64(L.CODE_BASE, true)) & ~0xfffn;
    const bytesOf = (place: number) => this.bytes.subarray(place, place + 4096);
    const blocks = listRegion(region, this.vm.tables.decoder, bytesOf, page);
    const texts = new Map(
      blocks.flatMap(({ instructions }) => instructions.map((i) => [i.address, i.text])),
    );
    const path: string[] = [];
    restore();
    this.interpret(good);
    for (let n = good; n < bad.count && path.length < MOST_SHOWN; n++) {
      const at = this.state.u64(L.RIP).toString(16);
      path.push(`  ${String(n).padStart(6)}  ${at}  ${texts.get(at) ?? ''}`);
      if (this.interpret(1) !== undefined) break;
    }
    this.state.setU32(L.BLOCK_REC, 0);
    return [
      `--check-jit: the region at ${rip.toString(16)} and the interpreter: ${difference ?? 'they differ'}`,
      `after ${bad.count} instructions (the first ${good} give the same)`,
      ...states,
      `instructions ${good} to ${bad.count}, as the interpreter runs them:`,
      ...path,
      'the region:',
      regionText(blocks),
    ].join('\n');
  }

  private bothStates(): string[] {
    const { afterView, state } = this;
    const hex = (value: bigint): string => value.toString(16).padStart(16, '0');
    const row = (name: string, mine: bigint, other: bigint): string =>
      `${mine === other ? ' ' : '*'} ${name.padEnd(12)} ${hex(mine)}  ${hex(other)}`;
    const at = (name: string, offset: number): string =>
      row(name, afterView.getBigUint64(offset, true), state.u64(offset));
    const others = comparedWords
      .filter((word) => word > L.EFLAGS / 4 && word % 2 === 0)
      .map((word) => at(placeName(word * 4), word * 4));
    const stored = this.stores.map(([place, length, from]) => {
      const text = (bytes: Uint8Array, first: number) =>
        Array.from(bytes.subarray(first, first + length), (b) => hex(BigInt(b)).slice(-2)).join(
          ' ',
        );
      const [mine, other] = [text(this.fresh, from), text(this.bytes, place)];
      return `${mine === other ? ' ' : '*'} stored at ${place.toString(16)}: ${mine} | ${other}`;
    });
    return [
      `  ${''.padEnd(12)} ${'translated'.padEnd(16)}  interpreted`,
      ...names.map((name, n) => at(name, L.GPR + n * 8)),
      at('rip', L.RIP),
      row('rflags', this.flags, this.runtime.read_flags()),
      ...[...others, ...stored].filter((line) => line.startsWith('*')).slice(0, MOST_SHOWN),
    ];
  }
}

function placeName(offset: number): string {
  const x = offset - L.XMM;
  if (x < 0 || offset >= L.X87) return `state+0x${offset.toString(16)}`;
  return `xmm${Math.floor(x / L.XMM_SIZE)}+${x % L.XMM_SIZE}`;
}
