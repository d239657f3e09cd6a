import type { Clock } from '../../base/clock.js';
import type { Device } from '../../device/device.js';
import { allOnes, type IoFace } from '../../device/io.js';
import type { IrqLine } from '../../device/irq.js';
import type { TimerSource } from '../../device/timer.js';
import { LapicTimer } from './lapic-timer.js';
import {
  base,
  delivery,
  esr,
  icr,
  LAPIC_BASE,
  LAPIC_PAGE,
  lvt,
  lvtRegisters,
  msr,
  REGISTER_BYTES,
  reg,
  shorthand,
  svr,
  VERSION,
  writable,
} from './registers.js';
import { type LapicState, lapicCodec, PENDING_ERRORS, pageBits, word } from './state.js';
import { Vectors } from './vectors.js';
import { baseChangeAllowed, x2apicLogicalId, x2apicOffset, x2apicWritable } from './x2apic.js';

export interface LapicOptions {
  /** Initial APIC id, 0 to 254. */
  readonly id: number;
  /** The CPU that boots: id 0 unless said otherwise. */
  readonly bsp?: boolean;
  /**
   * LINT0 takes the 8259's interrupts from reset on, as any firmware leaves it. Default: on the CPU
   * that boots. [SDM 3A 11.5.1] has it masked.
   */
  readonly virtualWire?: boolean;
  /** IA32_APIC_BASE may be switched to x2APIC. Default true. */
  readonly x2apic?: boolean;
  /** Rate of the timer before its divider. Default 1 GHz: a tick a nanosecond. */
  readonly busHz?: number;
  readonly tscHz: number;
}

export interface LapicWiring {
  readonly clock: Clock;
  readonly timers: TimerSource;
  /** What RDTSC reads on this CPU. Default: the clock at `tscHz`. */
  readonly readTsc?: () => number;
  /** The CPU has something to look at: a vector, an NMI, or INIT (`reset('warm')` follows). */
  readonly signal: (what: 'interrupt' | 'nmi' | 'init') => void;
  /** Start-up IPI: the CPU, if it waits for one, starts at vector * 4096. */
  readonly startUp: (vector: number) => void;
  /** The guest wrote the ICR. */
  readonly sendIpi: (
    target: number,
    dest: number,
    logical: boolean,
    deliveryMode: number,
    vector: number,
    level: boolean,
  ) => void;
  /** A level-triggered interrupt was served: for the IOAPICs. */
  readonly broadcastEoi: (vector: number) => void;
}

const TWO32 = 2 ** 32;

/**
 * A CPU's local APIC over words that all threads of the VM may see. IRR, TMR and pending errors are
 * written by whoever delivers, with atomics; all else only by the CPU it belongs to. Any number of
 * objects may stand over the same words; words that are all zero are reset by the first.
 */
export class Lapic implements Device<LapicState> {
  readonly name: string;
  readonly stateVersion = 1;
  readonly stateCodec = lapicCodec;
  /** The page as a device on a bus; an engine calls {@link read} and {@link write}. */
  readonly io: IoFace = {
    regions: [{ name: 'lapic', space: 'mmio', sizeBytes: LAPIC_PAGE, base: LAPIC_BASE }],
    read: (region, offset, width) => {
      const shift = 8 * (offset & 3);
      if (region !== 0 || shift + 8 * width > 32) return allOnes(width);
      return ((this.read(offset & ~3) >>> shift) & allOnes(width)) >>> 0;
    },
    write: (region, offset, width, value) => {
      if (region === 0 && width === 4) this.write(offset, value);
    },
  };
  /** INTR of the 8259 pair. */
  readonly lint0: IrqLine = { set: (high) => this.setLint(0, reg.lvtLint0, high) };
  /** NMI. */
  readonly lint1: IrqLine = { set: (high) => this.setLint(1, reg.lvtLint1, high) };

  // Fixed configuration.
  private readonly bsp: boolean;
  private readonly virtualWire: boolean;
  private readonly timer: LapicTimer;
  private readonly vectors: Vectors;

  constructor(
    /** At least {@link LAPIC_WORDS} words. */
    private readonly words: Int32Array,
    private readonly options: LapicOptions,
    private readonly wiring: LapicWiring,
  ) {
    this.name = `lapic${options.id}`;
    this.bsp = options.bsp ?? options.id === 0;
    this.virtualWire = options.virtualWire ?? this.bsp;
    this.vectors = new Vectors(words);
    const { clock, timers } = wiring;
    const { tscHz, busHz = 1e9 } = options;
    const readTsc = wiring.readTsc ?? (() => (clock.nowNs() * tscHz) / 1e9);
    this.timer = new LapicTimer(
      words,
      `${this.name}-timer`,
      { clock, timers, busHz, tscHz, readTsc },
      () => this.fire(reg.lvtTimer),
    );
    if (words[reg.version >> 2] === 0) this.reset('power-on');
  }

  // Mode and identity.

  /** Not switched off by IA32_APIC_BASE. */
  get enabled(): boolean {
    return (this.words[word.baseLow] & base.enable) !== 0;
  }

  get x2apic(): boolean {
    return (this.words[word.baseLow] & base.x2apic) !== 0;
  }

  /** Where the page is, or undefined: the APIC is off, or in x2APIC mode. */
  get mmioBase(): number | undefined {
    if (!this.enabled || this.x2apic) return undefined;
    const high = this.words[word.baseHigh] >>> 0;
    return high * TWO32 + ((this.words[word.baseLow] & base.address) >>> 0);
  }

  get id(): number {
    const value = this.words[reg.id >> 2] >>> 0;
    return this.x2apic ? value : value >>> 24;
  }

  private get softwareEnabled(): boolean {
    return (this.words[reg.svr >> 2] & svr.enable) !== 0;
  }

  /** Whether a message to `dest` is for this APIC. [SDM 3A 11.6.2] */
  matches(dest: number, logical: boolean): boolean {
    if (!this.enabled) return false;
    if (!logical) return dest === this.id || dest === 0xff || dest === 0xffff_ffff;
    const ldr = this.words[reg.ldr >> 2] >>> 0;
    if (this.x2apic) {
      if (dest === 0xffff_ffff) return true;
      return dest >>> 16 === ldr >>> 16 && (dest & ldr & 0xffff) !== 0;
    }
    if (dest === 0xff || dest === 0xffff_ffff) return true;
    const own = ldr >>> 24;
    const flat = this.words[reg.dfr >> 2] >>> 28 === 0xf;
    if (flat) return (dest & own & 0xff) !== 0;
    const cluster = dest >>> 4;
    return (cluster === own >>> 4 || cluster === 0xf) && (dest & own & 0xf) !== 0;
  }

  // Interrupts in and out.

  /** Takes an interrupt; false if this APIC takes none. Callable from any thread. */
  accept(vector: number, levelTriggered: boolean): boolean {
    if (!this.enabled || !this.softwareEnabled) return false;
    if (vector < 16) {
      this.raiseError(esr.receiveVector);
      return false;
    }
    this.vectors.request(vector, levelTriggered);
    this.wiring.signal('interrupt');
    return true;
  }

  /** A message of any delivery mode that {@link matches}. ExtINT is for LINT0 only. */
  deliver(deliveryMode: number, vector: number, levelTriggered: boolean): boolean {
    switch (deliveryMode) {
      case delivery.fixed:
      case delivery.lowest:
        return this.accept(vector, levelTriggered);
      case delivery.nmi:
        this.wiring.signal('nmi');
        return true;
      case delivery.init:
        this.wiring.signal('init');
        return true;
      case delivery.startUp:
        this.wiring.startUp(vector);
        return true;
      default:
        return false;
    }
  }

  /** The highest interrupt the CPU should take now, or -1. */
  pendingVector(): number {
    return this.enabled ? this.vectors.deliverable() : -1;
  }

  /** The CPU takes `vector`. */
  acknowledge(vector: number): void {
    this.vectors.serve(vector);
  }

  /** LINT0 passes the 8259's interrupts on: with the APIC off, it is the CPU's INTR pin. */
  acceptsExtInt(): boolean {
    if (!this.enabled) return true;
    const entry = this.words[reg.lvtLint0 >> 2];
    return (entry & lvt.masked) === 0 && (entry & lvt.deliveryMode) >> 8 === delivery.extInt;
  }

  /** Priority for the choice of the lowest. [SDM 3A 11.6.2.4] */
  get ppr(): number {
    return this.vectors.processorPriority();
  }

  private endOfInterrupt(): void {
    const vector = this.vectors.end();
    if (vector < 0) return;
    if (this.vectors.isLevelTriggered(vector)) {
      this.wiring.broadcastEoi(vector);
      this.endOfLint(0, reg.lvtLint0, vector);
      this.endOfLint(1, reg.lvtLint1, vector);
    }
    this.lookAgain();
  }

  /** Something that held an interrupt back is gone. */
  private lookAgain(): void {
    if (this.pendingVector() >= 0) this.wiring.signal('interrupt');
  }

  // Local interrupts.

  /** An LVT entry's source fired. */
  private fire(register: number): void {
    const entry = this.words[register >> 2];
    if (!this.enabled || (entry & lvt.masked) !== 0) return;
    const mode = (entry & lvt.deliveryMode) >> 8;
    if (mode === delivery.extInt) this.wiring.signal('interrupt');
    else this.deliver(mode, entry & lvt.vector, false);
  }

  private setLint(line: 0 | 1, register: number, high: boolean): void {
    const bit = 1 << line;
    const before = this.words[word.lines] & bit;
    if (high) this.words[word.lines] |= bit;
    else this.words[word.lines] &= ~bit;
    if (!high) return;
    if (!this.enabled) {
      if (before === 0) this.wiring.signal(line === 0 ? 'interrupt' : 'nmi');
      return;
    }
    const entry = this.words[register >> 2];
    if (isLevelFixed(entry)) this.sampleLevel(line, register);
    else if (before === 0) this.fire(register);
  }

  /** A level-triggered LINT interrupts once until its EOI. [SDM 3A 11.5.1, remote IRR] */
  private sampleLevel(line: number, register: number): void {
    const entry = this.words[register >> 2];
    const held = (this.words[word.lines] & (1 << line)) !== 0;
    if (!held || (entry & (lvt.masked | lvt.remoteIrr)) !== 0) return;
    this.words[register >> 2] |= lvt.remoteIrr;
    this.accept(entry & lvt.vector, true);
  }

  private endOfLint(line: number, register: number, vector: number): void {
    const entry = this.words[register >> 2];
    if ((entry & lvt.remoteIrr) === 0 || (entry & lvt.vector) !== vector) return;
    this.words[register >> 2] &= ~lvt.remoteIrr;
    this.sampleLevel(line, register);
  }

  private raiseError(bit: number): void {
    const before = Atomics.or(this.words, PENDING_ERRORS >> 2, bit);
    const vector = this.words[reg.lvtError >> 2] & lvt.vector;
    // An error vector below 16 is an error itself, told once.
    if ((before & bit) === 0 && vector >= 16) this.fire(reg.lvtError);
  }

  // Registers.

  /** The register at an offset in the page, unsigned. Reserved ones read zero. */
  read(offset: number): number {
    if (!this.enabled) return 0xffff_ffff;
    if ((offset & 15) !== 0) return 0;
    switch (offset) {
      case reg.ppr:
        return this.ppr;
      case reg.apr:
        return this.vectors.arbitrationPriority();
      case reg.currentCount:
        return this.timer.currentCount();
      case reg.eoi:
      case reg.rrd:
        return 0;
    }
    if (offset < REGISTER_BYTES && offset !== PENDING_ERRORS && pageBits[offset >> 2] !== 0) {
      return Atomics.load(this.words, offset >> 2) >>> 0;
    }
    this.raiseError(esr.register);
    return 0;
  }

  write(offset: number, value: number): void {
    if (!this.enabled || (offset & 15) !== 0) return;
    const mask = writable.get(offset);
    const bits = value & (mask ?? 0);
    switch (offset) {
      case reg.tpr:
        this.words[reg.tpr >> 2] = bits;
        this.lookAgain();
        return;
      case reg.eoi:
        this.endOfInterrupt();
        return;
      case reg.dfr:
        this.words[reg.dfr >> 2] = bits | 0x0fff_ffff;
        return;
      case reg.svr:
        this.words[reg.svr >> 2] = bits;
        if (!this.softwareEnabled) this.maskAll();
        return;
      case reg.esr:
        this.words[reg.esr >> 2] = Atomics.exchange(this.words, PENDING_ERRORS >> 2, 0);
        return;
      case reg.icrLow:
        this.words[reg.icrLow >> 2] = bits;
        this.command();
        return;
      case reg.initialCount:
        this.timer.writeInitialCount(value >>> 0);
        return;
      case reg.divide:
        this.timer.writeDivide(bits);
        return;
    }
    if (mask === undefined) {
      if (offset >= REGISTER_BYTES || pageBits[offset >> 2] === 0 || offset === PENDING_ERRORS) {
        this.raiseError(esr.register);
      }
    } else if (offset >= reg.lvtTimer && offset <= reg.lvtError) {
      this.writeLvt(offset, bits);
    } else {
      this.words[offset >> 2] = bits;
    }
  }

  private writeLvt(register: number, bits: number): void {
    if (register === reg.lvtTimer) this.timer.writeMode(bits & lvt.timerMode);
    const held = isLevelFixed(bits) ? this.words[register >> 2] & lvt.remoteIrr : 0;
    this.words[register >> 2] = bits | held | (this.softwareEnabled ? 0 : lvt.masked);
    if (register === reg.lvtLint0 || register === reg.lvtLint1) {
      const line = register === reg.lvtLint0 ? 0 : 1;
      if (isLevelFixed(bits)) this.sampleLevel(line, register);
      else if (line === 0 && (this.words[word.lines] & 1) !== 0 && this.acceptsExtInt()) {
        this.wiring.signal('interrupt');
      }
    }
  }

  /** Software-disabled: LVT entries are masked and stay so. [SDM 3A 11.4.7.2] */
  private maskAll(): void {
    for (const register of lvtRegisters) this.words[register >> 2] |= lvt.masked;
  }

  /** Sends what the ICR says. [SDM 3A 11.6.1] */
  private command(): void {
    const low = this.words[reg.icrLow >> 2];
    const high = this.words[reg.icrHigh >> 2] >>> 0;
    const vector = low & icr.vector;
    const mode = (low >>> 8) & 7;
    const level = (low & icr.level) !== 0;
    const target = (low >>> icr.shorthandShift) & 3;
    // De-asserting INIT synchronised arbitration ids on old buses; nothing here has any.
    if (mode === delivery.init && level && (low & icr.assert) === 0) return;
    if ((mode === delivery.fixed || mode === delivery.lowest) && vector < 16) {
      this.raiseError(esr.sendVector);
      return;
    }
    if (target === shorthand.self) {
      if (mode === delivery.fixed) this.accept(vector, false);
      return;
    }
    const dest = this.x2apic ? high : high >>> 24;
    this.wiring.sendIpi(target, dest, (low & icr.logical) !== 0, mode, vector, false);
  }

  // Model-specific registers, by halves: 0 low, 1 high.

  /** IA32_APIC_BASE, IA32_TSC_DEADLINE and the x2APIC registers; -1 is #GP. */
  readMsr(index: number, half: 0 | 1): number {
    if (index === msr.apicBase) return this.words[word.baseLow + half] >>> 0;
    if (index === msr.tscDeadline) return this.words[word.tscLow + half] >>> 0;
    const offset = this.x2Offset(index);
    if (offset < 0 || offset === reg.eoi || offset === reg.selfIpi) return -1;
    if (offset === reg.icrLow && half === 1) return this.words[reg.icrHigh >> 2] >>> 0;
    return half === 0 ? this.read(offset) : 0;
  }

  /** False is #GP. */
  writeMsr(index: number, low: number, high: number): boolean {
    if (index === msr.apicBase) return this.writeBase(low, high);
    if (index === msr.tscDeadline) {
      this.writeTscDeadline(low, high);
      return true;
    }
    const offset = this.x2Offset(index);
    if (offset < 0 || !x2apicWritable(offset, low, high)) return false;
    if (offset === reg.selfIpi) {
      this.write(reg.icrLow, (shorthand.self << icr.shorthandShift) | low);
      return true;
    }
    if (offset === reg.icrLow) this.words[reg.icrHigh >> 2] = high | 0;
    this.write(offset, low >>> 0);
    return true;
  }

  /** IA32_TSC_DEADLINE. */
  writeTscDeadline(low: number, high: number): void {
    if (this.enabled) this.timer.writeTscDeadline(low, high);
  }

  /** The guest moved its TSC: the deadline is at another time now. */
  tscChanged(): void {
    this.timer.tscChanged();
  }

  private x2Offset(index: number): number {
    return this.x2apic ? x2apicOffset(index) : -1;
  }

  private writeBase(low: number, high: number): boolean {
    const before = this.words[word.baseLow];
    if (!baseChangeAllowed(before, low, this.options.x2apic ?? true)) return false;
    if (high >>> 0 >= 1 << 20) return false;
    const turnsOff = (before & ~low & base.enable) !== 0;
    const turnsX2 = (low & ~before & base.x2apic) !== 0;
    if (turnsOff) this.resetRegisters();
    this.words[word.baseLow] = (low & ~base.bsp) | (before & base.bsp);
    this.words[word.baseHigh] = high | 0;
    if (turnsOff || turnsX2) this.writeIdentity();
    return true;
  }

  private writeIdentity(): void {
    const { id } = this.options;
    this.words[reg.id >> 2] = this.x2apic ? id : id << 24;
    this.words[reg.ldr >> 2] = this.x2apic ? x2apicLogicalId(id) : 0;
  }

  // Life.

  /** [SDM 3A 11.4.7.1]; `warm` is INIT, which leaves IA32_APIC_BASE alone [SDM 3A 11.4.7.3]. */
  reset(kind: 'power-on' | 'warm'): void {
    if (kind === 'power-on') {
      this.words[word.baseLow] = LAPIC_BASE | base.enable | (this.bsp ? base.bsp : 0);
      this.words[word.baseHigh] = 0;
    }
    this.resetRegisters();
    this.writeIdentity();
  }

  private resetRegisters(): void {
    const { words } = this;
    words.fill(0, 0, REGISTER_BYTES / 4);
    words[reg.version >> 2] = VERSION;
    words[reg.dfr >> 2] = ~0;
    words[reg.svr >> 2] = 0xff;
    this.maskAll();
    if (this.virtualWire) words[reg.lvtLint0 >> 2] = delivery.extInt << 8;
    words[word.tscLow] = 0;
    words[word.tscHigh] = 0;
    this.timer.schedule(-1);
  }

  save(): LapicState {
    const registers = new Uint8Array(REGISTER_BYTES);
    const view = new DataView(registers.buffer);
    for (let i = 0; i < pageBits.length; i++) {
      view.setInt32(4 * i, Atomics.load(this.words, i) & pageBits[i], true);
    }
    const u64 = (low: number, high: number) => (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
    return {
      base: u64(this.words[word.baseLow], this.words[word.baseHigh]),
      registers,
      timerNs: this.timer.deadlineNs,
      tscDeadline: u64(this.words[word.tscLow], this.words[word.tscHigh]),
    };
  }

  restore(state: LapicState): void {
    const { words } = this;
    const view = new DataView(state.registers.buffer, state.registers.byteOffset, REGISTER_BYTES);
    for (let i = 0; i < pageBits.length; i++) {
      Atomics.store(words, i, view.getInt32(4 * i, true) & pageBits[i]);
    }
    words[reg.version >> 2] = VERSION;
    words[word.baseLow] = Number(state.base & 0xffff_ffffn) | 0;
    words[word.baseHigh] = Number((state.base >> 32n) & 0xffff_ffffn) | 0;
    words[word.tscLow] = Number(state.tscDeadline & 0xffff_ffffn) | 0;
    words[word.tscHigh] = Number((state.tscDeadline >> 32n) & 0xffff_ffffn) | 0;
    this.timer.schedule(state.timerNs);
    this.lookAgain();
  }
}

function isLevelFixed(entry: number): boolean {
  return (entry & lvt.level) !== 0 && (entry & lvt.deliveryMode) === 0;
}
