/**
 * The JIT's builder for the instruction table: one region becomes one function. Operands are constants of
 * decoded instructions; general registers, flags and the instruction count live in locals from the
 * region's entry to its exits; branches inside the region are structured control flow.
 *
 * What translated code does not do itself it leaves to the interpreter: it exits at the instruction, with
 * JIT_SKIP set, and nothing of that instruction has happened yet.
 */
import type { Label, Value, Var } from '../emit/function-builder.js';
import type { WasmModule } from '../emit/module.js';
import type { Insn } from '../isa/decode.js';
import { variantOf } from '../isa/decode.js';
import { fieldClass, operandsOf } from '../isa/operands.js';
import { type Bits, type Operand, type RegField, RSP, type Sem, type Variant } from '../isa/sem.js';
import * as L from '../state/layout.js';
import { KIND_LAZY, KIND_MET } from './flags.js';
import type { Edge, RegionNode, RegionPage } from './region.js';
import { type Flags, RegionFlags } from './region-flags.js';

const REGISTERS = 16;
/**
 * How a region was left, one i64: bits 7..0 the form of the flags, 23..8 instructions of the block that did
 * not complete, 24 JIT_SKIP, 25 RIP stands in a local; above them RIP, counted from the entry's page.
 */
const SKIP = 1 << 24;
const COMPUTED = 1 << 25;
const RIP_FACTOR = 1 << 26;
/** Pages that were found in a block, by the register that addresses are counted from. */
const MOST_SEEN = 4;
/** All of it is to be exact in a number. */
const FURTHEST = 1 << 26;

/** Runtime functions that change no general register, no flag and no mapping. */
const QUIET = /^(x87_|sse_|aes|sha|pclmul|crc32|mul_|pdep|pext)/;
/** Those that may change registers, but neither mappings nor code nor what interrupts. */
const LOCAL = /^(div_|idiv_|rdtsc|rdrand|rdseed|pushf|pcmp|read_|cli$|lods|scas|cmps|xgetbv)/;

/** What the translator knows of the vCPU that code is for. */
export interface Target {
  /** Address of its area. */
  readonly cpu: number;
  /** CODE_KEY. */
  readonly key: number;
  /** Offset in the area of the word that says when the module was last run; 0: none. */
  readonly stamp?: number;
  /** No other vCPU shares the memory: LOCK needs no atomic. */
  readonly alone: boolean;
}

/** An access that was found in one page: its linear address and its place. */
interface Seen {
  readonly linear: Value;
  readonly pointer: Value;
}

interface State {
  registers: (Value | undefined)[];
  flags: Flags;
  seen: Seen[];
}

/** An address as what it is counted from, and how far: in 32-bit code from the register as a whole. */
function split(linear: Value): [Value, number] {
  if (linear.op === 'i64.extend_i32_u') return split(linear.args[0]!);
  if (linear.op === 'i32.wrap_i64') return [linear.args[0]!, 0];
  const [base, by] = linear.args;
  if (!linear.op.endsWith('.add') || by?.op !== 'const') return [linear, 0];
  const from = base!.op === 'i32.wrap_i64' ? base!.args[0]! : base!;
  return [from, Number(by.imm)];
}

export class RegionBuilder extends RegionFlags {
  override variant!: Variant;
  override operands!: readonly Operand[];
  override readonly cpu: Value;
  private readonly registers: (Var | undefined)[] = new Array(REGISTERS);
  private readonly written = new Set<number>();
  /** What each register holds, where a value of this path is known to be it. */
  private held: (Value | undefined)[] = new Array(REGISTERS);
  private readonly versions = new Uint32Array(REGISTERS);
  private seen: Seen[] = [];
  /** Linear address of the entry's page. */
  private page!: Value;
  private readonly count: Var;
  private readonly countAtEntry: Var;
  private readonly tlb: Var;
  private readonly epoch: Var;
  /** Bits of pages that are known to be where they were. */
  private readonly checked: Var;
  private readonly pages: RegionPage[] = [];
  private readonly exitRip: Var;
  private readonly exitCode: Var;
  private exit!: Label;
  private readonly labels = new Map<RegionNode, Label>();
  private node!: RegionNode;
  protected insn!: Insn;
  /** Address of the current instruction from the entry's page; how many of its block are before it. */
  private at = 0;
  private done = 0;
  /** Inside conditional code of one instruction. */
  /** Control has gone elsewhere: what follows is not reached. */
  private left = false;
  private unitsChecked = new Set<string>();
  private disturbed = false;
  /** Imported functions that the region calls. */
  readonly callees = new Set<string>();

  constructor(
    module: WasmModule,
    private readonly target: Target,
  ) {
    super(module);
    this.cpu = this.i32(target.cpu);
    this.count = this.variable('i64');
    this.countAtEntry = this.variable('i64');
    this.tlb = this.variable('i32');
    this.epoch = this.variable('i32');
    this.checked = this.variable('i32');
    this.exitRip = this.variable('i64');
    this.exitCode = this.variable('i64');
  }

  build(entry: RegionNode): void {
    this.page = this.fixed(this.andC(this.state('i64.load', L.RIP), -4096));
    const { stamp } = this.target;
    if (stamp) this.setState('i32.store', stamp, this.state('i32.load', L.JIT_CLOCK));
    this.later(() => this.loadRegisters());
    this.loadRest();
    this.set(this.checked, this.i32(this.bitOf(entry.page)));
    this.block((exit) => {
      this.exit = exit;
      this.tree(entry);
    });
    this.leaveRegion();
  }

  // --- control flow --------------------------------------------------------------------------------

  private tree(node: RegionNode): void {
    const merges = node.children.filter((child) => child.isMerge);
    merges.sort((a, b) => b.order - a.order);
    if (!node.isLoop) {
      this.within(node, merges, 0);
      return;
    }
    this.meet();
    this.loop((again) => {
      this.forget();
      const before = this.labels.get(node);
      this.labels.set(node, again);
      this.interrupted(node);
      this.within(node, merges, 0);
      if (before) this.labels.set(node, before);
    });
  }

  /** The node with the merge nodes it dominates behind it, the last outermost. */
  private within(node: RegionNode, merges: readonly RegionNode[], n: number): void {
    const merge = merges[n];
    if (!merge) {
      this.straight(node);
      return;
    }
    this.block((out) => {
      this.labels.set(merge, out);
      this.within(node, merges, n + 1);
    });
    this.forget();
    this.tree(merge);
  }

  /** On each turn of a loop: an interrupt, a request or the end of the budget leaves the region. */
  protected interrupted(node: RegionNode): void {
    const asked = this.ne(this.state('i64.load', L.ATTENTION), this.i64(0));
    const over = this.geU(this.get(this.count), this.state('i64.load', L.ICOUNT_LIMIT));
    this.cold(this.or(asked, over), () =>
      this.exitTo(node.flow === 'switch' ? this.get(this.exitRip) : node.at, 0),
    );
  }

  private straight(node: RegionNode): void {
    const { insn, variant, operands, at, done } = this;
    const outer = { node: this.node, depth: this.depth, units: this.unitsChecked };
    this.node = node;
    this.depth = 0;
    this.unitsChecked = new Set();
    this.at = node.at;
    this.left = false;
    this.set(this.count, this.addC(this.get(this.count), node.insns.length));
    node.insns.forEach((insn, i) => {
      this.done = i;
      this.instruction(insn);
      this.at += insn.length;
    });
    if (node.flow === 'switch') {
      this.ifTargets(this.get(this.exitRip), node.edges);
      if (!this.left) this.exitTo(this.get(this.exitRip), 0);
    }
    const follow = node.flow === 'jcc' ? node.edges[1] : node.edges[0];
    const falls = node.flow === 'jcc' || node.flow === 'next' || node.flow === 'event';
    if (falls && !this.left) {
      this.done = node.insns.length - 1;
      this.follow(follow!);
    }
    this.left = true;
    this.node = outer.node;
    this.depth = outer.depth;
    this.unitsChecked = outer.units;
    Object.assign(this, { insn, variant, operands, at, done });
  }

  private instruction(insn: Insn): void {
    this.insn = insn;
    const variant = variantOf(insn);
    this.variant = this.target.alone ? { ...variant, lock: false } : variant;
    this.operands = operandsOf(variant);
    this.disturbed = false;
    const { unit } = insn.entry.options;
    if (unit) this.unitCheck(unit);
    insn.entry.semantic(this);
    if (unit === 'mmx') this.enterMmx();
    if (this.left) return;
    if (this.node.flow === 'event' && this.done === this.node.insns.length - 1)
      this.disturbed = true;
    if (this.disturbed) this.undisturbed();
  }

  protected override following(): Insn[] {
    return this.node.insns.slice(this.done + 1);
  }

  private unitCheck(unit: 'sse' | 'mmx' | 'x87'): void {
    if (this.unitsChecked.has(unit)) return;
    this.unitsChecked.add(unit);
    const word = { sse: L.SSE_TRAP, mmx: L.MMX_TRAP, x87: L.X87_TRAP }[unit];
    this.cold(this.state('i32.load', word), () => this.leaveToInterpreter());
  }

  /** The runtime may have asked for events, or changed the code that follows. */
  protected undisturbed(): void {
    const exit = (): void =>
      this.exitTo(this.at + this.insn.length, this.node.insns.length - this.done - 1);
    this.cold(this.ne(this.state('i64.load', L.ATTENTION), this.i64(0)), exit);
    this.stillHere(exit);
  }

  /** After what may have changed the mapping of linear addresses or the code itself. */
  protected stillHere(exit: () => void): void {
    const { page } = this.node;
    const moved = this.ne(this.state('i32.load', L.CODE_EPOCH), this.get(this.epoch));
    this.cold(moved, () => {
      const linear = this.address(page.delta * 4096);
      const expected = [this.i32(page.place), this.i32(page.generation), this.i32(this.target.key)];
      this.cold(this.eqz(this.call('jit_still', [linear, ...expected], 'i32')), exit);
      this.set(this.epoch, this.state('i32.load', L.CODE_EPOCH));
      this.set(this.checked, this.i32(this.bitOf(page)));
    });
    this.set(this.tlb, this.state('i32.load', L.TLB_BASE));
  }

  private follow(edge: Edge): void {
    const { to } = edge;
    if (!to) {
      this.exitTo(edge.at, 0);
      return;
    }
    if (to.page !== this.node.page && to.flow !== 'switch') this.guard(to.page, edge.at);
    const again = to.isLoop && to.order <= this.node.order;
    if (again || to.isMerge) {
      this.meet();
      this.br(this.labels.get(to)!);
    } else {
      this.tree(to);
    }
    this.left = true;
  }

  /**
   * The page must still be where it was when it was translated, with the same bytes: looked up once, until
   * CODE_EPOCH changes.
   */
  protected guard(page: RegionPage, at: number): void {
    const bit = this.bitOf(page);
    this.cold(this.eqz(this.andC(this.get(this.checked), bit)), () => {
      // Where control goes, not the page's start: a fault has that address.
      const place = page.place + (at - page.delta * 4096);
      const expected = [this.i32(place), this.i32(page.generation)];
      const found = this.call('jit_fetch', [this.address(at), ...expected], 'i32');
      this.cold(this.eqz(found), () => this.exitTo(at, 0));
      this.set(this.checked, this.orC(this.get(this.checked), bit));
    });
  }

  private bitOf(page: RegionPage): number {
    let n = this.pages.indexOf(page);
    if (n < 0) n = this.pages.push(page) - 1;
    // There is a bit for 32 pages; others are looked up each time.
    return n < 32 ? 1 << n : 0;
  }

  /** Linear address, which is RIP too, of a place counted from the entry's page. */
  private address(at: number): Value {
    const sum = this.addC(this.page, at);
    return this.target.key & 2 ? sum : this.andC(sum, 0xffff_ffff);
  }

  override branchTarget(): Value {
    return this.address(this.at + this.insn.length + this.insn.immLow);
  }

  /** `checkTarget` would come too late to leave the instruction to the interpreter. */
  override willCall(target: Value): void {
    if (this.node.flow === 'call-indirect' && this.size === 64) super.checkTarget(target);
  }
  /** Direct targets in the page are as good as the page; 32-bit code has no limit (KEY_CODE). */
  override checkTarget(target: Value): void {
    const { flow } = this.node;
    if (flow === 'call-indirect') return;
    if (flow === 'jcc' || flow === 'jmp' || flow === 'call') {
      const to = this.at + this.insn.length + this.insn.immLow;
      if (Math.floor(to / 4096) === Math.floor(this.at / 4096)) return;
    }
    if (this.size === 64) super.checkTarget(target);
  }

  override goTo(target: Value): void {
    const { flow, edges } = this.node;
    switch (flow) {
      case 'jcc':
      case 'jmp':
        this.follow(edges[0]!);
        return;
      case 'call':
        if (edges[0]!.to?.context.parent === this.node.context) this.follow(edges[0]!);
        else this.callOut(target, edges[0]!);
        return;
      case 'call-indirect':
        this.ifTargets(target, edges.slice(0, -1));
        this.callOut(target, edges.at(-1)!);
        return;
      case 'jump-indirect':
        if (edges[0]?.to?.flow === 'switch') {
          this.set(this.exitRip, target);
          this.follow(edges[0]);
          return;
        }
        this.ifTargets(target, edges);
        break;
      case 'ret':
        if (edges[0]?.to) this.ifTargets(target, edges);
    }
    // This exit is taken often: a call for the flags is saved.
    this.materialise();
    this.exitTo(target, 0);
  }

  /** Goes on where the target is one of these. */
  private ifTargets(target: Value, edges: readonly Edge[]): void {
    const sorted = [...edges].sort((a, b) => a.at - b.at);
    const half = sorted.length >> 1;
    if (half < 2) {
      for (const edge of sorted) {
        this.if(this.eq(target, this.address(edge.at)), () => this.follow(edge));
      }
      return;
    }
    this.if(
      this.ltU(target, this.address(sorted[half]!.at)),
      () => this.ifTargets(target, sorted.slice(0, half)),
      () => this.ifTargets(target, sorted.slice(half)),
    );
  }

  /** A call of the guest is a call here: the callee's return comes back, or nothing of this region goes on. */
  private callOut(target: Value, back: Edge): void {
    this.storeState();
    this.setState('i64.store', L.RIP, target);
    const status = this.call('guest_call', [this.address(back.at)], 'i32');
    this.cold(status, () => this.return(status));
    const elsewhere = this.ne(this.state('i64.load', L.RIP), this.address(back.at));
    this.cold(elsewhere, () => this.return(this.i32(0)));
    this.stillHere(() => this.return(this.i32(0)));
    this.reloadAll();
    this.follow(back);
  }

  override next(): void {
    // An instruction after which interrupts are looked for: `undisturbed` does so.
    if (this.node.flow === 'event') return;
    this.exitTo(this.at + this.insn.length, this.node.insns.length - this.done - 1);
  }
  override restart(): void {
    this.exitTo(this.at, this.node.insns.length - this.done);
  }
  override leave(retired: boolean): void {
    if (retired) throw new Error(`${this.insn.entry.mnemonic} leaves a region`);
    this.restart();
  }
  /** The interpreter finds the fault again and raises it. */
  override fault(): void {
    this.leaveToInterpreter();
  }
  private leaveToInterpreter(): void {
    this.exitTo(this.at, this.node.insns.length - this.done, SKIP);
  }

  /** Goes to the region's exit; `unrun` instructions of the block did not complete. */
  protected exitTo(to: Value | number, unrun: number, skip = 0): void {
    const computed = typeof to !== 'number' || Math.abs(to) > FURTHEST;
    if (computed) this.set(this.exitRip, typeof to === 'number' ? this.address(to) : to);
    const code =
      this.flags.kind + unrun * 256 + skip + (computed ? COMPUTED : (to as number) * RIP_FACTOR);
    this.set(this.exitCode, this.i64(code));
    this.br(this.exit);
    this.left = true;
  }

  private leaveRegion(): void {
    this.later(() => this.storeRegisters());
    const whole = this.get(this.exitCode);
    const code = this.wrap(whole);
    const known = this.add(this.page, this.shrSC(whole, 26));
    const cut = this.target.key & 2 ? known : this.andC(known, 0xffff_ffff);
    const rip = this.select(this.andC(code, COMPUTED), this.get(this.exitRip), cut);
    this.setState('i64.store', L.RIP, rip);
    const unrun = this.zext64(this.andC(this.shrUC(code, 8), 0xffff));
    this.storeCount(this.sub(this.get(this.count), unrun));
    const atExit = this.andC(code, 0xff);
    const met = this.eq(atExit, this.i32(KIND_MET * 4));
    const kind = this.select(met, this.get(this.flagKind), atExit);
    super.if(
      kind,
      () =>
        this.call('jit_flags', [kind, this.get(this.flagResult), this.get(this.flagFirst)], null),
      () => {
        this.setState('i64.store', L.FLAG_RES, this.get(this.flagResult));
        this.setState('i32.store', L.FLAG_AUX, this.wrap(this.get(this.flagFirst)));
      },
    );
    const skip = this.andC(this.shrUC(code, 24), 1);
    this.setState('i32.store', L.JIT_SKIP, skip);
    this.return(this.i32(0));
  }

  /** Code that is rarely run and does not come back. */
  private cold(cond: Value, build: () => void): void {
    super.if(cond, build);
    this.left = false;
  }

  override if(cond: Value, then: () => void, otherwise?: () => void): void {
    if (cond.op === 'const') {
      super.if(cond, then, otherwise);
      return;
    }
    // Flags that one side sets must have the same form on the other.
    if (this.insn?.entry.options.writes) this.materialise();
    const before = this.snapshot();
    const versions = this.versions.slice();
    const { flagVersion } = this;
    let falls = false;
    const side = (build: () => void) => (): void => {
      this.restore(before);
      this.left = false;
      this.depth++;
      build();
      this.depth--;
      if (!this.left) falls = true;
    };
    super.if(cond, side(then), otherwise && side(otherwise));
    this.left = !falls && otherwise !== undefined;
    this.restore(before);
    for (let n = 0; n < REGISTERS; n++) {
      if (this.versions[n] !== versions[n]) this.held[n] = undefined;
    }
    if (this.flagVersion !== flagVersion) this.flags = { kind: before.flags.kind };
  }

  override loop(body: (again: Label) => void): void {
    const inside = this.insn !== undefined && this.depth > 0;
    if (inside) this.forgetRegisters();
    super.loop(body);
    if (inside) this.forgetRegisters();
  }

  private snapshot(): State {
    return { registers: [...this.held], flags: { ...this.flags }, seen: [...this.seen] };
  }
  private restore(state: State): void {
    this.held = [...state.registers];
    this.flags = { ...state.flags };
    this.seen = [...state.seen];
  }
  private forgetRegisters(): void {
    this.held = new Array(REGISTERS);
    this.seen = [];
  }
  /** Where paths meet nothing is known but the locals. */
  private forget(): void {
    this.forgetRegisters();
    this.flags = { kind: KIND_MET * 4 };
  }

  // --- registers and the rest of the state ---------------------------------------------------------

  private register(n: number): Var {
    this.registers[n] ??= this.variable('i64');
    return this.registers[n];
  }

  private loadRegisters(): void {
    this.registers.forEach((local, n) => {
      if (local) this.set(local, this.state('i64.load', L.GPR + n * 8));
    });
  }
  private storeRegisters(): void {
    this.registers.forEach((local, n) => {
      if (local && this.written.has(n)) this.setState('i64.store', L.GPR + n * 8, this.get(local));
    });
  }

  private loadRest(): void {
    this.set(this.count, this.state('i64.load', L.ICOUNT));
    this.set(this.countAtEntry, this.get(this.count));
    this.set(this.tlb, this.state('i32.load', L.TLB_BASE));
    this.set(this.epoch, this.state('i32.load', L.CODE_EPOCH));
    this.loadFlags();
  }
  private loadFlags(): void {
    this.set(this.flagResult, this.state('i64.load', L.FLAG_RES));
    this.set(this.flagFirst, this.state('i64.load32_u', L.FLAG_AUX));
    this.flags = { kind: KIND_LAZY };
    this.flagVersion++;
  }
  private reloadAll(): void {
    this.later(() => this.loadRegisters());
    this.forgetRegisters();
    for (let n = 0; n < REGISTERS; n++) this.versions[n]!++;
    this.set(this.count, this.state('i64.load', L.ICOUNT));
    this.set(this.countAtEntry, this.get(this.count));
    this.loadFlags();
  }

  private storeCount(count: Value): void {
    this.setState('i64.store', L.ICOUNT, count);
    const run = this.sub(count, this.get(this.countAtEntry));
    const sum = this.add(this.state('i64.load', L.JIT_RETIRED), run);
    this.setState('i64.store', L.JIT_RETIRED, sum);
  }

  /** All but RIP, after the block's last instruction. */
  private storeState(): void {
    this.later(() => this.storeRegisters());
    this.storeCount(this.get(this.count));
    this.storeFlags();
  }
  private storeFlags(): void {
    const [result, aux] = [this.lazyResult(), this.lazyAux()];
    this.setState('i64.store', L.FLAG_RES, result);
    this.setState('i32.store', L.FLAG_AUX, aux);
  }

  override sync(): void {
    this.later(() => this.storeRegisters());
    const left = this.node.insns.length - this.done;
    this.setState('i64.store', L.ICOUNT, this.addC(this.get(this.count), -left));
    this.storeFlags();
    this.setState('i64.store', L.RIP, this.rip());
    this.setState('i64.store', L.NEXT_RIP, this.nextRip());
    // No record of the interpreter's is being executed.
    this.setState('i32.store', L.BLOCK_REC, this.i32(0));
  }

  /** The high half of a product is a few instructions: no call for it. */
  override pure(name: string, ...args: Value[]): Value {
    const [a, b] = args as [Value, Value];
    if (name === 'mul_u64_hi') return this.highProduct(a, b);
    if (name !== 'mul_s64_hi') return super.pure(name, ...args);
    const negative = (x: Value, y: Value): Value => this.and(this.shrSC(x, 63), y);
    return this.sub(this.sub(this.highProduct(a, b), negative(a, b)), negative(b, a));
  }

  private highProduct(a: Value, b: Value): Value {
    const low = (v: Value): Value => this.andC(v, 0xffff_ffff);
    const high = (v: Value): Value => this.shrUC(v, 32);
    const first = high(this.mul(low(a), low(b)));
    const middle = this.add(this.mul(high(a), low(b)), first);
    const other = this.add(this.mul(low(a), high(b)), low(middle));
    return this.add(this.add(this.mul(high(a), high(b)), high(middle)), high(other));
  }

  override call(...args: Parameters<Sem['call']>): Value {
    this.callees.add(args[0]);
    return super.call(...args);
  }

  override rt(name: string, ...args: Value[]): Value {
    const value = super.rt(name, ...args);
    if (QUIET.test(name)) return value;
    if (!LOCAL.test(name)) this.disturbed = true;
    this.later(() => this.loadRegisters());
    this.forgetRegisters();
    for (let n = 0; n < REGISTERS; n++) this.versions[n]!++;
    this.loadFlags();
    return value;
  }

  /** Without REX, byte registers 4 to 7 are AH CH DH BH. [SDM 2A 2.2.1.2] */
  private place(field: RegField): { number: number; shift: 0 | 8 } {
    if (typeof field === 'number') return { number: field, shift: 0 };
    const { insn } = this;
    if (field === 'vex') return { number: insn.vvvv, shift: 0 };
    const number = field === 'reg' ? insn.reg : insn.rm;
    const byte = fieldClass(insn.entry, field === 'reg' ? 'reg' : 'rm') === 'gpr8';
    const high = byte && insn.rex === 0 && number >= 4 && number < 8;
    return high ? { number: number - 4, shift: 8 } : { number, shift: 0 };
  }

  private whole(number: number): Value {
    const local = this.register(number);
    this.held[number] ??= this.get(local);
    return this.held[number];
  }

  override readGpr(field: RegField, bits: Bits): Value {
    const { number, shift } = this.place(field);
    const whole = this.whole(number);
    if (bits === 64) return whole;
    return this.zext(this.wrap(this.shrUC(whole, shift)), bits);
  }

  override writeGpr(field: RegField, bits: Bits, value: Value): void {
    const { number, shift } = this.place(field);
    let whole: Value;
    if (bits >= 32) whole = this.zext64(value);
    else {
      const mask = bits === 8 ? 0xff : 0xffff;
      const kept = this.andC(this.whole(number), ~(mask << shift));
      whole = this.or(kept, this.shlC(this.zext64(this.andC(value, mask)), shift));
    }
    const local = this.register(number);
    this.written.add(number);
    this.set(local, whole);
    this.held[number] = whole.op === 'const' ? whole : this.get(local);
    this.versions[number]!++;
  }

  override vectorPlace(
    field: 'reg' | 'rm' | number,
    file: 'xmm' | 'mmx',
  ): { address: Value; offset: number } {
    const number = typeof field === 'number' ? field : this.insn[field];
    const offset = file === 'xmm' ? L.XMM + number * L.XMM_SIZE : L.X87 + (number & 7) * L.X87_SIZE;
    return { address: this.cpu, offset };
  }

  // --- memory --------------------------------------------------------------------------------------

  private isFlat(segment: number): boolean {
    // Code may be read, but not written through.
    if (segment === L.CS && !(this.target.key & 2)) return false;
    return (this.target.key & (L.KEY_FLAT << segment)) !== 0;
  }

  override effectiveAddress(): Value {
    const { insn } = this;
    if (insn.entry.operands.some((o) => o[0] === 'O')) return this.immediate();
    if (insn.addressSize === 32) return this.zext64(this.effectiveAddress32());
    let sum = this.i64(insn.base === -2 ? 0 : insn.displacement);
    if (insn.index >= 0) sum = this.add(this.shlC(this.readGpr(insn.index, 64), insn.scale), sum);
    if (insn.base >= 0) sum = this.add(this.readGpr(insn.base, 64), sum);
    else if (insn.base === -2) {
      sum = this.add(sum, this.address(this.at + insn.length + insn.displacement));
    }
    return insn.addressSize === 64 ? sum : this.and(sum, this.addressMask());
  }

  private effectiveAddress32(): Value {
    const { insn } = this;
    let sum = this.i32(insn.base === -2 ? 0 : insn.displacement);
    if (insn.index >= 0) sum = this.add(this.shlC(this.readGpr(insn.index, 32), insn.scale), sum);
    if (insn.base >= 0) sum = this.add(this.readGpr(insn.base, 32), sum);
    else if (insn.base === -2) {
      const to = this.at + insn.length + insn.displacement;
      sum = this.add(sum, this.wrap(this.address(to)));
    }
    return sum;
  }

  override operandSegment(): Value | null {
    return this.isFlat(this.insn.segment) ? null : super.operandSegment();
  }

  override segment(): Value {
    const { mode, segment } = this.insn;
    const flat = mode === 2 && segment !== L.FS && segment !== L.GS;
    const number = flat ? (segment === L.SS ? L.FLAT_SS : L.FLAT) : segment;
    return this.i32(L.SEGMENTS + number * L.SEGMENT_SIZE);
  }

  /** Flat segments have nothing to add or check; FS and GS of 64-bit code have no limit. */
  override linear(segment: Value | null, offset: Value, bytes: number, access: number): Value {
    if (segment === null) return offset;
    const number = ((segment.imm as number) - L.SEGMENTS) / L.SEGMENT_SIZE;
    if (number === L.FLAT || number === L.FLAT_SS || this.isFlat(number)) return offset;
    if (this.insn.mode !== 2) return super.linear(segment, offset, bytes, access);
    return this.add(this.state('i64.load', (segment.imm as number) + L.SEG_BASE), offset);
  }

  override stackSegment(): Value {
    return this.i32(L.SEGMENTS + (this.insn.mode === 2 ? L.FLAT_SS : L.SS) * L.SEGMENT_SIZE);
  }
  override spMask(): Value {
    if (this.insn.mode === 2) return this.i64(-1);
    return this.i64(this.target.key & L.KEY_STACK ? 0xffff_ffff : 0xffff);
  }
  override writeSp(value: Value): void {
    if (this.target.key & L.KEY_STACK && this.insn.mode !== 2) {
      this.writeGpr(RSP, 32, this.wrap(value));
    } else {
      super.writeSp(value);
    }
  }

  override pointerAt(
    linear: Value,
    _segment: Value | null,
    bytes: number,
    access: number,
    _readToo: boolean,
  ): Value {
    const store = access === L.ACCESS_WRITE;
    const near = store ? null : this.nearby(linear, bytes);
    if (near) return near;
    const index = this.andC(this.wrap(this.shrUC(linear, 7)), (L.TLB_ENTRIES - 1) << 5);
    const entry = this.add(this.get(this.tlb), index);
    const tag = this.load('i64.load', entry, store ? L.TLB_WRITE : L.TLB_READ);
    const page = this.andC(bytes === 1 ? linear : this.addC(linear, bytes - 1), -4096);
    const pointer = this.choose(
      this.eq(tag, page),
      () => this.add(this.wrap(linear), this.load('i32.load', entry, L.TLB_ADDEND)),
      () => {
        const found = this.call(store ? 'jit_write' : 'jit_read', [linear, this.i32(bytes)], 'i32');
        this.cold(this.eqz(found), () => this.leaveToInterpreter());
        return found;
      },
    );
    const [base] = split(linear);
    this.seen = [{ linear, pointer }, ...this.seen.filter((one) => split(one.linear)[0] !== base)];
    this.seen.length = Math.min(this.seen.length, MOST_SEEN);
    return pointer;
  }

  /**
   * Most reads are of the same page as an access before, a known number of bytes from it. (A store may
   * have been let through to a page with code: what it is allowed is no help to the next one.)
   */
  private nearby(linear: Value, bytes: number): Value | null {
    const [base, to] = split(linear);
    if (this.depth > 0 || base.op === 'const') return null;
    const seen = this.seen.find((one) => split(one.linear)[0] === base);
    if (!seen) return null;
    const distance = to - split(seen.linear)[1];
    if (Math.abs(distance) > 2048) return null;
    const place = this.wrap(seen.linear);
    const to4096 = (by: number): Value => this.xor(place, this.addC(place, by));
    const [first, last] = [distance, distance + bytes - 1];
    let apart = to4096(first < 0 ? first : last);
    if (first < 0 && last > 0) apart = this.or(apart, to4096(last));
    return this.choose(
      this.ltU(apart, this.i32(4096)),
      () => this.addC(seen.pointer, distance),
      () => {
        const found = this.call('jit_read', [linear, this.i32(bytes)], 'i32');
        this.cold(this.eqz(found), () => this.leaveToInterpreter());
        return found;
      },
    );
  }

  /** `jit_write` answers places that can be written to directly. */
  override commit(): void {}

  override updateAt(
    address: Value,
    operand: Operand & { kind: 'mem' },
    compute: (old: Value) => Value,
    atomic = this.variant.lock,
  ): { old: Value; result: Value } {
    return super.updateAt(address, operand, compute, atomic && !this.target.alone);
  }

  // --- fields --------------------------------------------------------------------------------------

  override immediate(): Value {
    const { immHigh, immLow } = this.insn;
    if (immHigh === immLow >> 31) return this.i64(immLow);
    return this.i64((BigInt(immHigh) << 32n) | BigInt(immLow >>> 0));
  }
  override immediate2(): Value {
    return this.i32(this.insn.imm2);
  }
  override fieldNumber(field: 'reg' | 'rm'): Value {
    return this.i32(this.insn[field]);
  }
  override addressMask(): Value {
    const size = this.insn.addressSize;
    return this.i64(size === 64 ? -1 : size === 32 ? 0xffff_ffff : 0xffff);
  }
  override rip(): Value {
    return this.address(this.at);
  }
  override nextRip(): Value {
    return this.address(this.at + this.insn.length);
  }
}
