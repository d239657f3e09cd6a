import assert from 'node:assert/strict';
import test from 'node:test';
import { R_REMAINING } from '#src/cpu/interp/record.js';
import type { CodeMode, Insn } from '#src/cpu/isa/decode.js';
import { instructionTable } from '#src/cpu/isa/index.js';
import type { Entry } from '#src/cpu/isa/table.js';
import { BLOCK_NAME, decodeLine, isInteger, translate } from '#src/cpu/jit/straight-line.js';
import * as L from '#src/cpu/state/layout.js';
import { integer } from '../isa/cases.js';
import { Random } from '../isa/random.js';
import { CPU, nothingOutside, RAM, RawCpu, tables, UNWIND } from '../isa/raw-cpu.js';

const PAGES = 16;
const CODE = 0x8000;
/** Two pages that can be written, one that cannot, and one that is absent. */
const DATA = 0xa000;
const DATA_BYTES = 0x4000;
const LONGEST = 24;
const FAMILIES = ['move', 'arithmetic', 'multiply', 'shifts', 'bits', 'bmi', 'branches', 'strings'];

const entries = instructionTable.filter(
  (entry) => [...FAMILIES, 'flags'].includes(entry.family) && isInteger(entry) && !ends(entry),
);
function ends(entry: Entry): boolean {
  return entry.options.ends === true;
}

/** Words of the state that a block may change; NEXT_RIP and BLOCK_REC are the runtime's. */
const COMPARED = [
  ...Array.from({ length: 17 }, (_, n) => L.GPR + n * 8),
  ...[L.RIP, L.FLAG_RES, L.FLAG_AUX, L.ICOUNT, L.EXC_ADDRESS],
];
const COMPARED_WORDS = [L.EVENT, L.EXC_VECTOR, L.EXC_ERROR, L.EXC_HAS_ERROR, L.TLB_BASE];

class Bench {
  readonly cpu: RawCpu;

  constructor(readonly mode: CodeMode) {
    // What follows a block is nobody's here: events stay pending.
    this.cpu = new RawCpu(PAGES, nothingOutside, () => 2);
    const { cpu } = this;
    const long = mode === 2;
    // Only data can be written, so that no block rewrites itself.
    for (let n = 0; n < PAGES; n++) {
      const page = n - (DATA >> 12);
      const flags = page === 3 ? 0 : page === 0 || page === 1 ? 3 : 1;
      if (long) cpu.setRam64(0x4000 + n * 8, (n << 12) | flags);
      else cpu.view.setUint32(RAM + 0x2000 + n * 4, (n << 12) | flags, true);
    }
    [0x1000, 0x2000, 0x3000].slice(0, long ? 3 : 1).forEach((table) => {
      cpu.setRam64(table, (table + 0x1000) | 7);
    });
    cpu.setU64(L.CR0, 0x8001_0011);
    cpu.setU64(L.CR3, 0x1000);
    cpu.setU64(L.CR4, long ? 0x20 : 0);
    cpu.setU64(L.EFER, long ? 0x500 : 0);
    cpu.segment(L.CS, 8, long ? 0xa09b : 0xc09b);
    for (const n of [L.SS, L.DS, L.FS]) cpu.segment(n, 16, 0xc093);
    cpu.segment(L.ES, 16, 0x4093, 0x40, DATA + 0x1800);
    cpu.segment(L.GS, 24, 0xc091, 0x10);
    cpu.rt.update_mode!();
  }

  /** Registers and data as `image` has them, at the start of a block. */
  load(image: Uint8Array, data: Uint8Array, flags: number): void {
    const { cpu } = this;
    cpu.bytes.set(image, CPU + L.GPR);
    cpu.bytes.set(data, RAM + DATA);
    cpu.rt.write_flags!(BigInt(flags), 0xffff_ffffn);
    cpu.rt.flush_tlb_all!();
    cpu.setU64(L.RIP, CODE);
    cpu.setU64(L.ICOUNT, 0);
    cpu.setU64(L.ICOUNT_LIMIT, 1);
    cpu.setU64(L.ATTENTION, 0);
    cpu.setU32(L.BLOCK_REC, 0);
    cpu.setU32(L.EXC_VECTOR, -1);
    cpu.setU32(L.EXC_HAS_ERROR, 0);
    cpu.setU64(L.EXC_ADDRESS, 0);
  }

  /** Runs one block; a fault leaves it. */
  enter(run: () => unknown): void {
    const { cpu } = this;
    try {
      run();
    } catch (error) {
      if (error !== UNWIND) throw error;
      // Instructions of the block that were counted and not run (see SoftVcpu).
      const record = cpu.u32(L.BLOCK_REC);
      const unrun = record ? cpu.bytes[record + R_REMAINING]! + 1 : 0;
      cpu.setU64(L.ICOUNT, cpu.u64(L.ICOUNT) - BigInt(unrun));
    }
  }

  state(): string[] {
    const { cpu } = this;
    const wide = COMPARED.map((at) => `${at.toString(16)} ${cpu.u64(at).toString(16)}`);
    const words = COMPARED_WORDS.map((at) => `${at.toString(16)} ${cpu.u32(at).toString(16)}`);
    return [...wide, ...words, `flags ${cpu.rt.read_flags!()}`];
  }
  data(): Uint8Array {
    return this.cpu.bytes.slice(RAM + DATA, RAM + DATA + DATA_BYTES);
  }
}

/** An instruction of the entry with random operands: not always one that exists. */
function encode(entry: Entry, random: Random, mode: CodeMode, at: number): number[] {
  const code: number[] = [];
  const { options } = entry;
  const memory =
    entry.hasModrm && (entry.mod === 'mem' || (entry.mod !== 'reg' && random.chance(2)));
  if (options.lock && memory && random.chance(4)) code.push(0xf0);
  if (/^(66|F2|F3)$/.test(entry.prefix) && !entry.vex) {
    code.push(Number.parseInt(entry.prefix, 16));
  } else if (random.chance(5) && !entry.vex) code.push(0x66);
  if (options.rep && random.chance(2)) code.push(random.pick([0xf2, 0xf3]));
  if (random.chance(8)) code.push(random.pick([0x67, 0x26, 0x36, 0x65]));
  let rex = mode === 2 && random.chance(2) ? 0x40 | random.below(16) : 0;
  if (options.w === 1) rex |= 0x48;
  if (entry.vex) {
    const pp = ['NP', '66', 'F3', 'F2'].indexOf(entry.prefix);
    const register = entry.operands.some((o) => o[0] === 'B') ? random.below(8) : 0;
    const bits = mode === 2 ? rex : rex & 8;
    code.push(
      0xc4,
      ((~bits & 7) << 5) | entry.map,
      ((bits & 8) << 4) | ((~register & 15) << 3) | pp,
    );
  } else {
    if (rex && mode === 2) code.push(rex);
    if (entry.map > 0) code.push(0x0f);
    if (entry.map > 1) code.push(entry.map === 2 ? 0x38 : 0x3a);
  }
  code.push(entry.opcodeReg ? entry.opcode | random.below(8) : entry.opcode);
  const absolute = DATA + random.below(0x2010);
  if (entry.hasModrm) {
    const reg = (entry.reg >= 0 ? entry.reg : random.below(8)) << 3;
    const rm = entry.rm >= 0 ? entry.rm : random.below(8);
    const kind = random.below(4);
    if (!memory) code.push(0xc0 | reg | rm);
    else if (kind < 2 && mode === 2) code.push(reg | 4, 0x25, ...word(absolute));
    else if (kind < 2 || mode === 2) {
      // RIP-relative in 64-bit code.
      code.push(reg | 5, ...word(mode === 2 && kind === 2 ? absolute - at : absolute));
    } else code.push(random.pick([0x40, 0x80]) | reg | rm);
  }
  // Immediates, and bytes that the next instruction does not start with.
  if (entry.operands.some((o) => o[0] === 'O')) code.push(...word(absolute), 0, 0, 0, 0);
  for (let i = 0; i < 8; i++) code.push(random.below(256));
  return code;
}

const word = (n: number): number[] => [
  n & 0xff,
  (n >> 8) & 0xff,
  (n >> 16) & 0xff,
  (n >> 24) & 0xff,
];

/** Writes a block, and a jump to the next instruction that ends it for the interpreter as well. */
function writeBlock(bench: Bench, random: Random): Insn[] {
  const { bytes } = bench.cpu;
  const length = 1 + random.below(LONGEST);
  let at = RAM + CODE;
  for (let count = 0; count < length; ) {
    const code = encode(random.pick(entries), random, bench.mode, at - RAM);
    bytes.set(code, at);
    const [first] = decodeLine(tables.decoder, bytes, at, at + code.length, bench.mode);
    if (!first || ends(first.entry)) continue;
    at += first.length;
    count++;
  }
  bytes.set([0xeb, 0x00], at);
  bench.cpu.forgetCode(CODE >> 12, 1);
  return decodeLine(tables.decoder, bytes, RAM + CODE, at + 2, bench.mode);
}

function image(random: Random, mode: CodeMode): Uint8Array {
  const registers = new BigUint64Array(16);
  for (let n = 0; n < 16; n++) {
    const pointer = n === 4 || random.chance(2);
    const value = pointer ? BigInt(DATA + random.below(0x2000)) : integer(random);
    registers[n] = mode === 2 ? value : n < 8 ? value & 0xffff_ffffn : 0n;
  }
  // A count of repeated string instructions.
  if (random.chance(2)) registers[1] = BigInt(random.below(40));
  return new Uint8Array(registers.buffer);
}

for (const mode of [2, 1] as const) {
  test(`straight lines of integer code, translated from the table: as the interpreter, ${
    mode === 2 ? 'long mode' : 'protected mode'
  }`, (t) => {
    const seed = Number(process.env.CHASSIS_FUZZ_SEED ?? Date.now() & 0xff_ffff);
    const blocks = Number(process.env.CHASSIS_FUZZ_CASES ?? 400);
    t.diagnostic(`seed ${seed} (CHASSIS_FUZZ_SEED repeats it)`);
    const bench = new Bench(mode);
    const { cpu } = bench;
    const met = new Map<string, number>();
    let faults = 0;
    for (let n = 0; n < blocks; n++) {
      const random = new Random(Math.imul(seed + n, 0x2545_f491));
      const line = writeBlock(bench, random);
      for (const { entry } of line) met.set(entry.family, (met.get(entry.family) ?? 0) + 1);
      const module = new WebAssembly.Module(translate(line, BigInt(CODE)));
      const instance = new WebAssembly.Instance(module, { env: cpu.env, rt: cpu.rt });
      const block = instance.exports[BLOCK_NAME] as () => void;
      // The same translation from several states: which faults and branches are met depends on them.
      for (let round = 0; round < 4; round++) {
        const registers = image(random, mode);
        const data = Uint8Array.from({ length: DATA_BYTES }, () => random.below(256));
        const flags = 2 | (random.u32() & 0x8d5) | (random.chance(4) ? 0x400 : 0);
        bench.load(registers, data, flags);
        bench.enter(() => cpu.interp.run!());
        const [state, written] = [bench.state(), bench.data()];
        bench.load(registers, data, flags);
        // A repeated instruction that is not done yet goes on with the interpreter.
        bench.enter(() => {
          block();
          cpu.interp.run!();
        });
        const what = `seed ${seed} block ${n} round ${round}:\n${listing(line)}\n`;
        assert.deepEqual(bench.state(), state, what);
        assert.ok(Buffer.compare(bench.data(), written) === 0, `${what}memory differs`);
        if (cpu.u32(L.EVENT) & L.EVENT_EXCEPTION) faults++;
      }
    }
    t.diagnostic(`${faults} of ${blocks * 4} runs ended in a fault`);
    for (const family of FAMILIES)
      assert.ok((met.get(family) ?? 0) > blocks / 40, `${family} in the blocks`);
  });
}

function listing(line: readonly Insn[]): string {
  return line
    .map(({ entry, size, length }) => `${entry.mnemonic} ${entry.operands} ${size} ${length}`)
    .join('\n');
}
