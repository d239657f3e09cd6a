/**
 * Whole guest programs of chance, with the structure that translators of code have to get right:
 * loops, calls and returns, recursion, jumps through tables and into the middle of instructions,
 * flags used far from where they are made, code that rewrites itself, page faults, single steps,
 * breakpoints and interrupts. A seed and a mode give the same program on every machine.
 */
import type { Random } from '../isa/random.js';
import {
  Assembler,
  AX,
  BP,
  BX,
  CC,
  CX,
  DI,
  DX,
  type Mem,
  type Place,
  SI,
  type Size,
  SP,
} from './assembler.js';
import { decodeLength } from './decode-length.js';
import { END_VECTOR } from './program-handlers.js';
import {
  ALIAS,
  CODE,
  CODE_BYTES,
  COPIES,
  COPY_WINDOW,
  DATA,
  DATA_BYTES,
  INTERRUPT_PORT,
  KERNEL_CODE,
  KERNEL_DATA,
  type ProgramMode,
  RIVAL,
  TABLE_WINDOW,
  VARS,
} from './program-layout.js';
import { type Kind, randomInstruction, type Surroundings } from './random-instruction.js';

/** Nested loops and branches. */
const DEEPEST = 3;
/** A function's code, in bytes, beyond which it gets no more. */
const LONGEST_FUNCTION = 1500;
/** Room for the function that is being written. */
const ROOM = 2600;

/** Flag makers, as bytes of 32-bit code on EAX, ECX and EDX; the same bytes are 16-bit code. */
const FLAG_MAKERS: readonly (readonly number[])[] = [
  [0x01, 0xc8],
  [0x29, 0xd1],
  [0x39, 0xc2],
  [0x85, 0xc9],
  [0x11, 0xc2],
  [0x19, 0xc8],
  [0xff, 0xc0],
  [0xff, 0xc9],
  [0xf7, 0xd8],
  [0xd1, 0xe0],
  [0xd3, 0xe8],
  [0xd3, 0xc2],
  [0xc1, 0xd0, 3],
  [0x0f, 0xaf, 0xc1],
  [0x0f, 0xa3, 0xc8],
  [0xf8],
  [0xf9],
  [0xf5],
  [0x9e],
  [0x0f, 0xa4, 0xc2, 7],
  [0x0f, 0xbc, 0xc1],
  [0x00, 0xe5],
  [0x38, 0xc4],
  [0x80, 0xfc, 0x40],
];
/** Instructions that leave the flags alone. */
const FLAG_KEEPERS: readonly (readonly number[])[] = [
  [0x89, 0xc8],
  [0x0f, 0xc8],
  [0xf7, 0xd1],
  [0x8d, 0x44, 0x24, 4],
  [0x0f, 0xb6, 0xcc],
  [0x88, 0xe1],
  [0x98],
  [0x99],
  [0x90],
  [0x87, 0xca],
];

export interface ProgramCode {
  readonly code: Uint8Array;
  readonly start: number;
}

export function randomProgram(random: Random, mode: ProgramMode): ProgramCode {
  return new ProgramWriter(random, mode).write();
}

class ProgramWriter {
  private readonly a: Assembler;
  private readonly around: Surroundings;
  private readonly functions: string[] = [];
  /** Instructions whose immediate may be rewritten, by the place of the immediate. */
  private readonly patches: { place: Place; bytes: 1 | 4 }[] = [];
  /** Places in functions without a frame of their own, with nothing pushed. */
  private readonly anchors: string[] = [];
  private depth = 0;
  private counters = 0;
  /** Writing what is run once a round: its register counters are nobody else's. */
  private main = false;
  private readonly long: boolean;
  private readonly kernel: boolean;

  constructor(
    private readonly random: Random,
    private readonly mode: ProgramMode,
  ) {
    this.a = new Assembler(mode.width, CODE);
    this.long = mode.width === 64;
    this.kernel = !mode.user;
    const pointers = this.long ? [8, 9] : [BX];
    this.around = {
      width: mode.width,
      reserved: [SP, ...pointers, ...(this.long ? [12, 13] : [BP])],
      pointers,
      data: DATA,
      // Across the end of a page, but not of the last.
      dataBytes: DATA_BYTES - 64,
      rival: mode.paging ? RIVAL : 0,
    };
  }

  write(): ProgramCode {
    const { a, random } = this;
    const wanted = 3 + random.below(8);
    for (let n = 0; n < wanted && this.hasRoom(); n++) this.function(n);
    this.main = true;
    a.bind('start');
    for (const pointer of this.around.pointers) {
      a.movImm(pointer, DATA + 0x900 + 16 * random.below(0x2e0));
    }
    this.storeVar(VARS.outer, 20 + random.below(400));
    a.bind('outer');
    this.remember('next round');
    const end = Math.min(a.bytes.length + LONGEST_FUNCTION, CODE_BYTES - 600);
    for (let n = 3 + random.below(8); n > 0 && a.bytes.length < end; n--) {
      if (random.chance(2)) a.call(random.pick(this.functions));
      else this.piece(end);
    }
    a.bind('next round');
    a.dec({ disp: VARS.outer }, 16);
    a.jcc(CC.ne, 'outer');
    a.bind('end');
    a.emit(0xcd, END_VECTOR);
    a.jmp('end');
    return { code: a.finish(), start: a.addressOf({ label: 'start' }) };
  }

  private hasRoom(): boolean {
    return this.a.bytes.length < CODE_BYTES - 2 * ROOM;
  }

  private storeVar(at: number, n: number | Place): void {
    this.a.storeImm({ disp: at }, n, this.long ? 64 : this.a.width);
  }

  /** Unmeant faults go on at `label`, on the stack as it is here. */
  private remember(label: string): void {
    this.storeVar(VARS.recover, { label });
    this.a.store({ disp: VARS.recoverStack }, SP);
  }

  private function(n: number): void {
    const { a, random } = this;
    if (random.chance(2)) a.align(random.pick([16, 64]));
    const name = a.bind(`f${n}`);
    const end = a.bytes.length + LONGEST_FUNCTION;
    const framed = random.chance(4);
    const saved = random.chance(3) ? random.pick([AX, CX, SI, DI]) : -1;
    if (framed) a.emit(0xc8, 8 + 4 * random.below(8), 0, random.chance(4) ? 1 : 0);
    if (saved >= 0) a.push(saved);
    if (!framed && saved < 0 && random.chance(3)) this.recursion();
    const plain = !framed && saved < 0;
    const anchors: string[] = [];
    for (let pieces = 2 + random.below(8); pieces > 0 && a.bytes.length < end; pieces--) {
      if (plain && random.chance(3)) anchors.push(a.mark());
      this.piece(end);
      // Into the middle of another function, whose end is this one's, too.
      if (plain && this.anchors.length > 0 && random.chance(6)) {
        a.jcc(random.below(16), random.pick(this.anchors));
      }
    }
    this.anchors.push(...anchors);
    if (saved >= 0) a.pop(saved);
    if (framed) a.emit(0xc9);
    a.emit(0xc3);
    this.functions.push(name);
  }

  /** The rest of the function is run by each level as it returns. */
  private recursion(): void {
    const { a, random } = this;
    const [again, bottom] = [a.fresh(), a.fresh()];
    const counter = this.counter();
    a.storeImm(counter, 1 + random.below(40), 16);
    a.bind(again);
    a.dec(counter, 16);
    a.jcc(CC.s, bottom);
    this.fill(1 + random.below(4));
    a.call(again);
    this.fill(random.below(4));
    a.bind(bottom);
  }

  private counter(): Mem {
    return { disp: VARS.counters + (this.counters++ % 60) * 4 };
  }

  // --- pieces --------------------------------------------------------------------------------------

  private readonly plain: readonly (() => void)[] = [
    () => this.fill(1 + this.random.below(8)),
    () => this.fill(1 + this.random.below(4)),
    () => this.flags(),
    () => this.flags(),
    () => this.partial(),
    () => this.strings(),
    () => this.stack(),
    () => this.divide(),
    () => this.software(),
    () => this.overlap(),
    () => this.prefixSkip(),
    () => this.patchAhead(),
    () => this.patchAhead(),
    () => this.patchElsewhere(),
    () => this.table(),
    () => this.oddReturn(),
    () => this.crossing(),
    () => this.locked(),
    () => this.rounding(),
  ];
  private readonly nested: readonly (() => void)[] = [
    () => this.loop(),
    () => this.loop(),
    () => this.loop(),
    () => this.branch(),
    () => this.branch(),
  ];
  private readonly privileged: readonly (() => void)[] = [
    () => this.interrupt(),
    () => this.stackShadow(),
    () => this.singleStep(),
    () => this.breakpoint(),
    () => this.flush(),
    () => this.loseAccess(),
    () => this.loseAccess(),
    () => this.moveCode(),
  ];

  private end = 0;

  private piece(end: number): void {
    const { random, a } = this;
    this.end = Math.min(end, CODE_BYTES - 700);
    if (a.bytes.length >= this.end) return;
    if (this.functions.length > 0 && random.chance(6)) {
      this.callSomewhere();
      return;
    }
    if (this.depth < DEEPEST && random.chance(3)) {
      this.depth++;
      random.pick(this.nested)();
      this.depth--;
    } else if (this.kernel && random.chance(5)) random.pick(this.privileged)();
    else random.pick(this.plain)();
  }

  private fill(count: number): void {
    const { random, a } = this;
    const kind: Kind = random.chance(4) ? random.pick(['vector', 'vector', 'x87']) : 'integer';
    for (let n = 0; n < count; n++) {
      const which = random.chance(5) ? 'integer' : kind;
      for (;;) {
        const code = randomInstruction(random, which, this.around, a.here);
        if (decodeLength(code, a.width) !== code.length) continue;
        a.emit(...code);
        break;
      }
    }
  }

  private pieces(most: number): void {
    for (let n = 1 + this.random.below(most); n > 0; n--) this.piece(this.end);
  }

  private size(): Size {
    return this.random.pick(this.long ? [8, 16, 32, 64] : [8, 16, 32]);
  }

  private loop(): void {
    const { a, random } = this;
    const count = random.chance(3) ? 40 + random.below(100) : 1 + random.below(12);
    const kind = random.below(4);
    if (kind === 0 && this.depth === 1 && this.main) {
      // A register that nothing else names.
      const counter = this.long ? 12 : BP;
      a.movImm(counter, count);
      const top = a.mark();
      this.pieces(3);
      a.dec(counter, random.pick([16, 32] as const));
      a.jcc(CC.ne, top);
    } else if (kind === 1) {
      a.movImm(CX, count);
      const top = a.mark();
      a.push(CX);
      this.pieces(2);
      a.pop(CX);
      if (random.chance(2) && a.here - a.addressOf({ label: top }) < 110) {
        a.short(random.pick([0xe2, 0xe2, 0xe1, 0xe0]), { label: top });
      } else {
        a.dec(CX, 32);
        a.jcc(CC.ne, top);
      }
    } else {
      const counter = this.counter();
      a.storeImm(counter, count, 16);
      const top = a.mark();
      this.pieces(3);
      if (random.chance(2)) {
        a.dec(counter, 16);
        a.jcc(random.pick([CC.ne, CC.g]), top);
      } else {
        a.aluImm('sub', counter, 1, 16);
        a.jcc(CC.g, top);
      }
    }
  }

  private branch(): void {
    const { a, random } = this;
    const [other, end] = [a.fresh(), a.fresh()];
    if (random.chance(2)) a.emit(...random.pick(FLAG_MAKERS));
    if (random.chance(8)) {
      const skip = a.fresh();
      a.short(0xe3, { label: skip });
      this.fill(2);
      a.bind(skip);
    }
    a.jcc(random.below(16), other);
    this.pieces(2);
    if (random.chance(2)) {
      a.jmp(end);
      a.bind(other);
      this.pieces(2);
    } else a.bind(other);
    a.bind(end);
  }

  private callSomewhere(): void {
    const { a, random, long } = this;
    const name = random.pick(this.functions);
    switch (random.below(4)) {
      case 0:
        // At its other address, too.
        a.movImm(SI, { label: name, plus: this.mode.paging && random.chance(3) ? ALIAS : 0 });
        a.indirect(2, SI);
        break;
      case 1:
        this.storeVar(VARS.scratch, { label: name });
        a.indirect(2, { disp: VARS.scratch });
        break;
      case 2: {
        // One of several, by a value.
        const names = Array.from({ length: 4 }, () => random.pick(this.functions));
        this.inTable(names, () => (mem) => a.indirect(2, mem));
        break;
      }
      default:
        a.call(name);
        if (random.chance(3)) a.emit(...(long ? [0x48, 0x8d, 0x40, 1] : [0x40]));
    }
  }

  /** A table of addresses in the code, and what is done with the entry that a register selects. */
  private inTable(labels: readonly string[], use: () => (mem: Mem) => void): void {
    const { a, random } = this;
    const [table, after] = [a.fresh(), a.fresh()];
    const index = random.pick([AX, DX, SI]);
    a.jmp(after);
    a.bind(table);
    for (const label of labels) a.value({ label }, this.long ? 8 : a.width === 32 ? 4 : 2);
    a.bind(after);
    a.aluImm('and', index, labels.length - 1, this.long ? 64 : 32);
    use()({ index, scale: this.long ? 3 : a.width === 32 ? 2 : 1, disp: { label: table } });
  }

  private table(): void {
    const { a, random } = this;
    const labels = Array.from({ length: random.pick([2, 4, 8]) }, () => a.fresh());
    this.inTable(labels, () => (mem) => {
      if (random.chance(2)) a.indirect(4, mem);
      else {
        a.load(DI, mem);
        a.indirect(4, DI);
      }
    });
    // They fall into each other.
    for (const label of labels) {
      a.bind(label);
      this.fill(1 + random.below(2));
    }
  }

  /** Flags made here are used there. */
  private flags(): void {
    const { a, random } = this;
    const make = random.pick(FLAG_MAKERS);
    if (random.chance(3) && this.long) a.emit(0x48);
    else if (random.chance(4)) a.emit(0x66);
    a.emit(...make);
    for (let n = random.below(4); n > 0; n--) a.emit(...random.pick(FLAG_KEEPERS));
    if (random.chance(4)) {
      // Across a call and its return.
      const [over, callee] = [a.fresh(), a.fresh()];
      a.jmp(over);
      a.bind(callee);
      a.emit(...random.pick(FLAG_KEEPERS), 0xc3);
      a.bind(over);
      a.call(callee);
    }
    const reg = random.pick([AX, CX, DX, SI]);
    switch (random.below(10)) {
      case 0:
        a.setcc(random.below(16), random.pick([AX, CX, DX, 4, 5]));
        break;
      case 1:
        a.cmov(random.below(16), reg, random.pick([AX, DX]), random.pick([16, 32] as const));
        break;
      case 2:
        a.alu(random.pick(['adc', 'sbb'] as const), reg, AX, this.long ? 64 : 32);
        break;
      case 3:
        a.emit(0x9c);
        a.pop(reg);
        break;
      case 4:
        a.emit(0x9f);
        break;
      case 5:
        a.op([0xd1], random.pick([2, 3]), reg, this.size() === 64 ? 64 : 32);
        break;
      case 6:
        a.setcc(random.below(16), { disp: DATA + random.below(DATA_BYTES) });
        break;
      case 7:
        if (!this.long) a.emit(random.pick([0x27, 0x2f, 0x37, 0x3f, 0xd6]));
        else a.op([random.pick([0x66, 0xf3]), 0x0f, 0x38, 0xf6], DX, AX, 32);
        break;
      default: {
        const over = a.fresh();
        // 16 bits of EIP, which is below 64 KiB; ignored in 64-bit code.
        if (a.width !== 16 && random.chance(6)) a.emit(0x66);
        a.short(0x70 | random.below(16), { label: over });
        a.inc(reg, 32);
        a.bind(over);
      }
    }
  }

  private partial(): void {
    const { a, random } = this;
    for (let n = 1 + random.below(5); n > 0; n--) {
      const high = 4 + random.below(this.long ? 4 : 3);
      switch (random.below(5)) {
        case 0:
          a.mov(high, random.below(3), 8);
          break;
        case 1:
          a.alu(random.pick(['add', 'sub', 'xor', 'cmp'] as const), random.below(3), high, 8);
          break;
        case 2:
          a.movImm(random.below(3), random.below(0x1_0000), 16);
          break;
        case 3:
          a.op([0x0f, random.pick([0xb6, 0xbe])], random.pick([AX, CX, DX, SI]), high, 32);
          break;
        default:
          a.alu('add', random.pick([AX, CX, DX]), random.pick([AX, SI, DI]), 16);
      }
    }
  }

  private strings(): void {
    const { a, random } = this;
    const long = random.chance(4);
    const count = long ? random.below(0xa00) : random.below(40);
    const rival = this.mode.paging && random.chance(4) ? RIVAL : 0;
    const at = (): number => DATA + random.below(DATA_BYTES - 0x400) + rival;
    a.movImm(SI, at());
    a.movImm(DI, random.chance(24) ? CODE + random.below(0x800) : at());
    a.movImm(CX, count);
    a.emit(random.chance(6) ? 0xfd : 0xfc);
    const plain = random.chance(4) ? [] : [random.pick([0xf3, 0xf3, 0xf2])];
    const width = random.pick([[], [], [0x66], this.long ? [0x48] : []]);
    const what = random.pick([0xa4, 0xa5, 0xaa, 0xab, 0xa6, 0xa7, 0xae, 0xaf, 0xac, 0xad]);
    a.emit(...plain, ...width, what);
    a.emit(0xfc);
  }

  private stack(): void {
    const { a, random } = this;
    const pushed: number[] = [];
    for (let n = 1 + random.below(5); n > 0; n--) {
      const reg = random.pick([AX, CX, DX, SI, DI]);
      a.push(reg);
      pushed.push(reg);
    }
    if (random.chance(2)) this.fill(1);
    switch (random.below(4)) {
      case 0:
        for (const _ of pushed) a.pop(random.pick([AX, CX, DX, SI, DI]));
        break;
      case 1:
        a.load(AX, { base: SP, disp: 0 });
        a.op([0x8d], SP, { base: SP, disp: (pushed.length * a.width) / 8 }, a.width);
        break;
      case 2:
        a.alu('add', AX, { base: SP, disp: 0 }, random.pick([8, 16, 32]));
        for (const reg of pushed.toReversed()) a.pop(reg);
        break;
      default:
        if (this.long) a.op([0x8f], 0, { disp: DATA + random.below(0x3000) }, 32);
        else a.op([0x8f], 0, { disp: DATA + random.below(0x3000) }, a.width);
        for (const _ of pushed.slice(1)) a.pop(DX);
    }
    if (!this.long && random.chance(4)) {
      a.emit(0x60);
      this.fill(1);
      a.emit(0x61);
    }
  }

  private divide(): void {
    const { a, random } = this;
    const after = a.fresh();
    this.remember(after);
    if (random.chance(2)) a.alu('xor', DX, DX, 32);
    if (random.chance(3)) a.emit(0x99);
    a.op([random.chance(4) ? 0xf6 : 0xf7], random.pick([6, 7]), random.pick([CX, SI, DI]), 32);
    this.fill(1);
    a.bind(after);
  }

  /** INT n, INT3, INTO, UD2 and a bad LOCK. */
  private software(): void {
    const { a, random } = this;
    const after = a.fresh();
    switch (random.below(5)) {
      case 0:
        a.emit(0xcc);
        break;
      case 1:
        this.remember(after);
        a.emit(0x0f, 0x0b);
        break;
      case 2:
        this.remember(after);
        a.emit(0xf0, 0x01, 0xc0);
        break;
      case 3:
        if (!this.long) a.emit(0xce);
        break;
      default:
        a.emit(0xcd, 0x20 + random.below(16));
    }
    a.bind(after);
  }

  /** An instruction whose immediate is code as well, which a branch goes to. */
  private overlap(): void {
    const { a, random } = this;
    const inner = random.pick([
      [0x90, 0x90, 0x90, 0x90],
      [0x01, 0xc8, 0xf7, 0xd0],
      [0xff, 0xc0, 0x90, 0xf5],
      [0x11, 0xc9, 0x0f, 0xc8],
      [0x88, 0xc4, 0x00, 0xe0],
      [0xeb, 0x02, 0x90, 0x90],
      [0x83, 0xd0, 0x05, 0x98],
    ]);
    const outer = a.fresh();
    a.emit(...random.pick(FLAG_MAKERS));
    const jump = random.chance(3) ? 0xeb : 0x70 | random.below(16);
    a.short(jump, { label: outer, plus: random.below(2) ? 1 : inner[0] === 0x90 ? 2 : 1 });
    a.bind(outer);
    // mov eax,imm32 or a test of it.
    if (a.width === 16) a.emit(0xb8, inner[0]!, inner[1]!, 0x25, inner[2]!, inner[3]!);
    else a.emit(random.pick([0xb8, 0xa9, 0x05]), ...inner);
  }

  /** A jump over an instruction's prefix. */
  private prefixSkip(): void {
    const { a, random } = this;
    const here = a.fresh();
    const prefix = random.pick(this.long ? [0x66, 0x48, 0xf3, 0x3e] : [0x66, 0x3e]);
    a.short(0x70 | random.below(16), { label: here, plus: 1 });
    a.bind(here);
    a.emit(
      prefix,
      ...random.pick([
        [0x01, 0xc8],
        [0xf7, 0xd0],
        [0x0f, 0xaf, 0xc1],
        [0x0f, 0xc8],
      ]),
    );
  }

  // --- code that changes ---------------------------------------------------------------------------

  /** Where a place of the code can be written: itself, or by its alias. */
  private writable({ label, plus = 0 }: Place): Mem {
    const aliased = this.mode.paging && this.random.chance(3);
    return { disp: { label, plus: plus + (aliased ? ALIAS : 0) } };
  }

  /** mov r,imm or op r,imm whose immediate others may rewrite. */
  private patchable(label: string): { place: Place; bytes: 1 | 4 } {
    const { a, random } = this;
    const bytes = random.pick([1, 4] as const);
    const reg = random.pick([AX, CX, DX, SI]);
    a.bind(label);
    const before = a.bytes.length;
    const n = random.below(127);
    if (bytes === 4 && a.width !== 16) a.movImm(reg, n + 0x1000, 32);
    else a.aluImm(random.pick(['add', 'xor', 'cmp', 'adc'] as const), reg, n, 32);
    const wide = bytes === 4 && a.width !== 16;
    const plus = a.bytes.length - before - (wide ? 4 : 1);
    return { place: { label, plus }, bytes: wide ? 4 : 1 };
  }

  /** Rewrites code a little further on, in the same block or behind a branch. */
  private patchAhead(): void {
    const { a, random } = this;
    const target = a.fresh();
    const before = a.bytes.length;
    const form = random.below(4);
    // The layout of what follows has to be known here: an immediate of one byte, at a fixed offset.
    const plus = a.width === 16 ? 3 : 2;
    const to = this.writable({ label: target, plus });
    if (form === 0) a.store(to, random.pick([AX, CX, DX]), 8);
    else if (form === 1) a.inc(to, 8);
    else if (form === 2) a.storeImm(to, random.below(128), 8);
    else {
      // add becomes sub and back: its opcode, not its immediate.
      a.aluImm('xor', this.writable({ label: target, plus: plus - 1 }), 0x28, 8);
    }
    for (let n = random.below(4); n > 0; n--) {
      if (random.chance(4)) {
        const next = a.fresh();
        a.short(0x70 | random.below(16), { label: next });
        this.fill(1);
        a.bind(next);
      } else this.fill(1);
    }
    if (a.bytes.length - before > 60 && random.chance(2)) a.align(64);
    a.bind(target);
    a.aluImm('add', random.pick([AX, CX, DX]), 5 + random.below(60), 32);
    if (form !== 3) this.patches.push({ place: { label: target, plus }, bytes: 1 });
  }

  /** Writes an immediate of another function or page, of this one, or leaves one to be written. */
  private patchElsewhere(): void {
    const { a, random } = this;
    if (this.patches.length === 0 || random.chance(3)) {
      this.patches.push(this.patchable(a.fresh()));
      return;
    }
    const { place, bytes } = random.pick(this.patches);
    const to = this.writable(place);
    const size = bytes === 1 ? 8 : 32;
    const how = random.below(3);
    if (how === 0) a.store(to, random.pick([AX, CX, DX]), size);
    else if (how === 1) a.op([0xf0, 0x0f, bytes === 1 ? 0xc0 : 0xc1], AX, to, size);
    else a.inc(to, size);
    if (random.chance(4)) a.emit(0x0f, 0xa2, ...this.restorePointers());
  }

  /** CPUID leaves its answer in EBX, too. */
  private restorePointers(): number[] {
    if (this.long) return [];
    const base = DATA + 0x1000;
    const low = [0xbb, base & 0xff, base >> 8];
    return this.a.width === 16 ? low : [...low, 0, 0];
  }

  // --- returns, locks, pages -------------------------------------------------------------------------

  /** RET to where no CALL was, RET n, IRET. */
  private oddReturn(): void {
    const { a, random } = this;
    const target = a.fresh();
    if (random.chance(3) && !this.mode.user) {
      if (this.long) {
        a.mov(AX, SP);
        a.pushImm(KERNEL_DATA);
        a.push(AX);
      }
      a.emit(0x9c);
      if (this.long) a.pushImm(KERNEL_CODE);
      else a.emit(0x0e);
      a.pushImm({ label: target });
      a.emit(...(this.long ? [0x48] : []), 0xcf);
    } else {
      const extra = random.below(3);
      for (let n = 0; n < extra; n++) a.push(AX);
      a.pushImm({ label: target });
      if (extra) a.emit(0xc2, (extra * a.width) / 8, 0);
      else a.emit(0xc3);
    }
    if (random.chance(2)) this.fill(1);
    a.bind(target);
  }

  /** Reads and writes across the ends of pages. */
  private crossing(): void {
    const { a, random } = this;
    const edge = DATA + 0x1000 * (1 + random.below(3));
    for (let n = 1 + random.below(3); n > 0; n--) {
      const size = random.pick(this.long ? ([16, 32, 64] as const) : ([16, 32] as const));
      const to = { disp: edge - 1 - random.below(size / 8 - 1) };
      const reg = random.pick([AX, CX, DX]);
      if (random.chance(2)) a.store(to, reg, size);
      else a.alu(random.pick(['add', 'xor'] as const), reg, to, size);
      if (random.chance(4)) a.op([0x0f, 0x11], random.below(4), { disp: edge - 5 }, 32);
    }
  }

  private locked(): void {
    const { a, random } = this;
    const to = { disp: DATA + random.below(DATA_BYTES - 16) };
    const size = this.long && random.chance(2) ? 64 : 32;
    const reg = random.pick([AX, CX, DX]);
    switch (random.below(5)) {
      case 0:
        a.op([0x87], reg, to, size);
        break;
      case 1:
        a.op([0xf0, 0x0f, 0xb1], reg, to, size);
        break;
      case 2:
        a.op([0xf0, 0x0f, 0xc1], reg, to, size);
        break;
      case 3:
        a.op([0xf0, 0xff], random.below(2), to, size);
        break;
      default:
        a.op([0x0f, 0xc7], 1, { disp: DATA + 16 * random.below(0x300) }, 32);
    }
  }

  /** MXCSR or the x87 control word: other rounding, DAZ and FTZ, all exceptions masked. */
  private rounding(): void {
    const { a, random } = this;
    const size = a.width === 16 ? 16 : 32;
    const to = { disp: VARS.scratch + 8 };
    const mode = random.chance(2) ? 0 : random.below(4);
    if (random.chance(3)) {
      a.storeImm(to, 0x33f | (mode << 10) | random.pick([0, 0x200, 0x300]), 16);
      a.op([0xd9], 5, to, size);
    } else {
      a.storeImm({ disp: VARS.scratch + 10 }, 0, 16);
      a.storeImm(to, 0x1f80 | (mode << 13) | random.pick([0, 0, 0x40, 0x20]), 16);
      a.op([0x0f, 0xae], 2, to, size);
    }
    this.fill(2);
  }

  // --- events (CPL 0 only) ---------------------------------------------------------------------------

  /** An interrupt asked for while IF is clear is taken after the shadow of STI, or after POPF. */
  private interrupt(): void {
    const { a, random } = this;
    a.emit(0xfa);
    for (let n = 1 + random.below(2); n > 0; n--) {
      if (random.chance(2)) this.fill(1);
      a.emit(0xe6, INTERRUPT_PORT);
    }
    this.fill(random.below(3));
    switch (random.below(4)) {
      case 0:
        // Shadow after shadow: nothing is taken before the second STI's.
        a.emit(0xfb, 0xfa, 0x90, 0xfb);
        break;
      case 1:
        a.emit(0x9c);
        a.aluImm('or', { base: SP }, 0x200, 16);
        a.emit(0x9d);
        break;
      default:
        a.emit(0xfb);
    }
    this.fill(1 + random.below(3));
  }

  private stackShadow(): void {
    const { a, random } = this;
    // mov eax,ss; [sti;] mov ss,eax; ...
    a.emit(0x8c, 0xd0);
    if (random.chance(3)) a.emit(0xfa, 0xe6, INTERRUPT_PORT, 0xfb);
    if (random.chance(2) || this.long) a.emit(0x8e, 0xd0);
    else a.emit(0x16, 0x17);
    this.fill(1 + random.below(2));
  }

  private singleStep(): void {
    const { a, random } = this;
    a.storeImm({ disp: VARS.steps }, 1 + random.below(12), a.width === 16 ? 16 : 32);
    a.emit(0x9c);
    a.aluImm('or', { base: SP }, 0x100, 16);
    a.emit(0x9d);
    if (random.chance(3)) a.emit(0x8c, 0xd0, 0x8e, 0xd0);
    this.fill(1 + random.below(4));
    if (this.functions.length > 0 && random.chance(3)) a.call(random.pick(this.functions));
  }

  /** An execution or data breakpoint for a while. */
  private breakpoint(): void {
    const { a, random } = this;
    const [n, target] = [random.below(4), a.fresh()];
    const kind = random.below(3);
    if (kind === 0) a.movImm(AX, { label: target }, 32);
    else a.movImm(AX, DATA + 4 * random.below(0x1000), 32);
    a.special(0x23, n, AX);
    const type = kind === 0 ? 0 : kind === 1 ? 0xd : 0xf;
    a.movImm(AX, (type << (16 + n * 4)) | (1 << (n * 2)) | 0x400, 32);
    a.special(0x23, 7, AX);
    this.fill(1 + random.below(3));
    a.bind(target);
    for (let i = 0; i < 3; i++) {
      this.fill(1);
      if (kind) a.store({ disp: DATA + random.below(DATA_BYTES - 8) }, AX);
    }
    a.movImm(AX, 0, 32);
    a.special(0x23, 7, AX);
  }

  private flush(): void {
    const { a, random } = this;
    if (!this.mode.paging) return;
    switch (random.below(3)) {
      case 0:
        a.special(0x20, 3, AX);
        a.special(0x22, 3, AX);
        break;
      case 1:
        a.special(0x20, 4, AX);
        a.aluImm('xor', AX, 0x80, 32);
        a.special(0x22, 4, AX);
        if (random.chance(2)) this.fill(1);
        a.special(0x20, 4, AX);
        a.aluImm('xor', AX, 0x80, 32);
        a.special(0x22, 4, AX);
        break;
      default:
        a.op([0x0f, 0x01], 7, { disp: CODE + 0x1000 * random.below(8) }, 32);
    }
  }

  /** A page of code or data becomes absent, read-only or (code) not executable; using it mends it. */
  private loseAccess(): void {
    const { a, random } = this;
    if (!this.mode.paging) return;
    const page = random.below(8);
    const alias = random.chance(4) ? ALIAS : 0;
    const linear = CODE + page * 0x1000 + alias;
    const entry = TABLE_WINDOW + (linear >>> 12) * (this.long ? 8 : 4);
    const how = random.below(3);
    if (how === 0) a.aluImm('and', { disp: entry }, ~1, 32);
    else if (how === 1 || !this.long) a.aluImm('and', { disp: entry }, ~2, 32);
    else a.aluImm('or', { disp: entry + 4 }, -0x8000_0000, 32);
    if (random.chance(3)) {
      a.special(0x20, 3, AX);
      a.special(0x22, 3, AX);
    } else {
      a.op([0x0f, 0x01], 7, { disp: linear }, 32);
      a.op([0x0f, 0x01], 7, { disp: linear + RIVAL }, 32);
    }
    if (page >= 4) {
      const to = { disp: linear + random.below(0xff0) };
      if (random.chance(2)) a.store(to, AX);
      else a.load(DX, to);
    }
    this.fill(1 + random.below(2));
  }

  /** A page of code is copied, and the copy runs in its place; or it is mapped where it was. */
  private moveCode(): void {
    const { a, random } = this;
    if (!this.mode.paging) return;
    const page = random.below(4) << 12;
    const linear = CODE + page;
    if (random.chance(2)) {
      a.movImm(SI, linear, 32);
      a.movImm(DI, COPY_WINDOW + page, 32);
      a.movImm(CX, 0x1000 / 4, 32);
      a.emit(0xfc, 0xf3, 0xa5);
    }
    const to = random.chance(3) ? linear : COPIES + page;
    a.storeImm({ disp: TABLE_WINDOW + (linear >>> 12) * (this.long ? 8 : 4) }, to | 7, 32);
    a.op([0x0f, 0x01], 7, { disp: linear }, 32);
    this.fill(1);
  }
}
