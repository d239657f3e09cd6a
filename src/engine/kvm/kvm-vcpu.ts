import { ANY_SUBLEAF, type CpuidEntry } from '../../cpu/state/cpuid.js';
import type { Exit, Vcpu, VcpuThread } from '../engine.js';
import type { LocalApicRecord, VcpuRecord } from '../records.js';
import { resetRecord } from '../reset-record.js';
import { checked, structure } from './arguments.js';
import { CoalescedRing } from './coalesced-ring.js';
import { encodeKvmCpuid } from './kvm-cpuid.js';
import { decodeExit } from './kvm-exit.js';
import { lapicFromKvm, lapicToKvm, withTimerOf } from './kvm-lapic.js';
import type { KvmVm } from './kvm-vm.js';
import { errorName, MAP_SHARED } from './libc.js';
import * as r from './registers.js';
import { activity, KvmVcpuState, xsaveBytesFor } from './vcpu-state.js';
import { KvmThread } from './vcpu-thread.js';

const APIC_PAGE = 0xfee0_0000;
/** Delivery mode NMI. [SDM 3A 11.11.2] */
const MSI_NMI = 4 << 8;
const MSR_TSC = 0x10;
const MSR_TSC_DEADLINE = 0x6e0;

/**
 * A vCPU of the kernel's. `run` enters the guest on the calling thread; where the kernel has the
 * interrupt controllers there is `thread` beside it, which the machine uses.
 */
export class KvmVcpu implements Vcpu {
  readonly thread?: VcpuThread;
  readonly fd: number;
  private readonly page: { address: bigint; bytes: Uint8Array };
  private readonly view: DataView;
  private readonly state: KvmVcpuState;
  private readonly worker?: KvmThread;
  private readonly signature: number;
  /** A port or MMIO access is answered, and its instruction not complete yet. */
  private incomplete = false;
  /** For the next entries, in order: what came while an instruction was completed, or all at once. */
  private held: Exit[] = [];
  private readonly ring: CoalescedRing | undefined;
  /** In `run`, as far as this thread knows. */
  private entered = false;
  private pauseAsked = false;
  private closed = false;
  private shutDown = false;
  // What a kernel without a local APIC leaves to its user.
  private halted = false;
  private interruptWaiting = false;
  private nmiWaiting = false;
  /** When the APIC's timer fires, for TSC deadlines: only right once the TSC is. */
  private timerNs = -1;
  private frozen: { tsc: bigint; apic: LocalApicRecord } | undefined;

  constructor(
    private readonly vm: KvmVm,
    readonly index: number,
  ) {
    const { libc: c, fd } = vm.engine;
    this.fd = checked(c.ioctlNumber(vm.fd, r.ioctl.CREATE_VCPU, index), `vCPU ${index}`);
    const sizeBytes = checked(c.ioctlNumber(fd, r.ioctl.GET_VCPU_MMAP_SIZE, 0), 'a vCPU');
    this.page = c.mmap(sizeBytes, MAP_SHARED, this.fd);
    const { bytes } = this.page;
    this.view = new DataView(bytes.buffer);
    const ownApic = vm.chips !== undefined;
    const table = encodeKvmCpuid(vm.cpuid, index, ownApic);
    checked(c.ioctl(this.fd, r.ioctl.SET_CPUID2, table), 'the CPUID table');
    const sizes = find(vm.cpuid, 0xd, 0);
    const ringPage = vm.engine.report.capabilities.COALESCED_MMIO ?? 0;
    if (ringPage > 0) this.ring = new CoalescedRing(bytes.subarray(ringPage * 4096));
    this.state = new KvmVcpuState(c, this.fd, xsaveBytesFor(sizes?.ecx), ownApic);
    this.signature = find(vm.cpuid, 1, 0)!.eax;
    if (ownApic) {
      this.worker = new KvmThread(c, this.fd, `vCPU ${index}`, vm.spinNs);
      this.thread = {
        spinNs: this.worker.spinNs,
        go: () => this.go(),
        poll: () => this.poll(),
        whenExit: (callback) => this.worker!.whenBack(callback),
      };
    }
    this.reset('power-on');
  }

  run(): Exit {
    const { libc: c } = this.vm.engine;
    for (;;) {
      const early = this.beforeEntry();
      if (early !== undefined) return early;
      const answer = c.ioctlNumber(this.fd, r.ioctl.RUN, 0);
      const exit = this.afterEntry(answer < 0 ? errorName() : undefined);
      if (exit !== undefined) return exit;
    }
  }

  private go(): void {
    if (this.entered) return;
    const early = this.beforeEntry();
    if (early === undefined) {
      this.entered = true;
      this.worker!.go();
    } else this.held.unshift(early);
  }

  private poll(): Exit | undefined {
    if (!this.entered) return this.held.shift();
    this.vm.answerDoorbells();
    const back = this.worker!.back();
    if (back === undefined) return undefined;
    this.entered = false;
    if (this.closed) throw back.died;
    const exit = this.afterEntry(back.error, back.died);
    if (exit === undefined) this.go();
    return exit;
  }

  /** An exit for which the guest need not be entered. */
  private beforeEntry(): Exit | undefined {
    const held = this.held.shift();
    if (held !== undefined) return held;
    if (this.shutDown) return { kind: 'shutdown' };
    if (this.worker !== undefined) return undefined;
    if (this.nmiWaiting) {
      this.nmiWaiting = false;
      this.halted = false;
      checked(this.vm.engine.libc.ioctlNumber(this.fd, r.ioctl.NMI, 0), 'an NMI');
    }
    this.offerInterrupt();
    if (!this.halted) return undefined;
    return this.takePause() ? { kind: 'intr' } : { kind: 'hlt' };
  }

  /** Without a local APIC in the kernel: gives a vector, or asks for an exit once one can be given. */
  private offerInterrupt(): void {
    const { view } = this;
    view.setUint8(r.run.request_interrupt_window, 0);
    if (!this.interruptWaiting) return;
    if (view.getUint8(r.run.ready_for_interrupt_injection) === 0) {
      if (!this.halted) view.setUint8(r.run.request_interrupt_window, 1);
      return;
    }
    const vector = this.vm.interrupts.acknowledge(this.index);
    if (vector < 0) {
      this.interruptWaiting = false;
      return;
    }
    this.halted = false;
    const interrupt = structure(r.sizeOf.interrupt, 0, vector);
    checked(this.vm.engine.libc.ioctl(this.fd, r.ioctl.INTERRUPT, interrupt), 'an interrupt');
    view.setUint8(r.run.ready_for_interrupt_injection, 0);
    view.setUint8(r.run.request_interrupt_window, 1);
  }

  /** The exit that KVM_RUN ended with; `undefined`: nothing to say, enter again. */
  private afterEntry(error: string | undefined, died?: Error): Exit | undefined {
    const exit = this.exitOf(error, died);
    const before = this.ring?.take() ?? [];
    if (before.length === 0) return exit;
    this.held.push(...before, ...(exit === undefined ? [] : [exit]));
    return this.held.shift();
  }

  private exitOf(error: string | undefined, died: Error | undefined): Exit | undefined {
    this.incomplete = false;
    if (died !== undefined) {
      return { kind: 'internal-error', message: died.message, cause: died };
    }
    // EAGAIN: a vCPU that waits for its start-up IPI was woken by something else.
    if (error === 'EINTR' || error === 'EAGAIN') {
      return this.takePause() ? { kind: 'intr' } : undefined;
    }
    if (error !== undefined) {
      const message = `the host's KVM did not run vCPU ${this.index}: ${error}`;
      return { kind: 'internal-error', message, cause: undefined };
    }
    const exit = decodeExit(this.page.bytes, this.view);
    switch (exit?.kind) {
      case 'mmio':
        if (this.worker === undefined && this.answerApic(exit)) return undefined;
        this.incomplete = true;
        break;
      case 'io':
        this.incomplete = true;
        break;
      case 'hlt':
        // Whoever has nothing to wait for goes on.
        this.halted = true;
        if (this.interruptWaiting || this.nmiWaiting) return undefined;
        break;
      case 'shutdown':
        this.shutDown = true;
        break;
    }
    return exit?.kind === 'internal-error' ? this.explained(exit) : exit;
  }

  private explained(exit: Extract<Exit, { kind: 'internal-error' }>): Exit {
    const { kind, module } = this.vm.engine.report;
    if (kind !== 'software') return exit;
    const message = `${exit.message}\nKVM on this host is of the software kind (${module}): what it lacks of a kernel's instructions, the soft engine has`;
    return { ...exit, message };
  }

  /** The local APIC's page of controllers outside the kernel. */
  private answerApic(exit: Extract<Exit, { kind: 'mmio' }>): boolean {
    const offset = exit.gpa - APIC_PAGE;
    if (offset < 0 || offset >= 0x1000) return false;
    const { interrupts } = this.vm;
    const data = new DataView(exit.data.buffer, exit.data.byteOffset, exit.data.byteLength);
    const isWord = exit.data.length === 4 && offset % 4 === 0;
    if (exit.direction === 'read') {
      exit.data.fill(0xff);
      if (isWord) data.setUint32(0, interrupts.lapicRead(this.index, offset), true);
    } else if (isWord) interrupts.lapicWrite(this.index, offset, data.getUint32(0, true));
    return true;
  }

  /** Completes the instruction of an answered access: it would write registers after a new record. */
  private settle(): void {
    if (!this.incomplete || this.closed) return;
    const before = this.pauseAsked;
    this.view.setUint8(r.run.immediate_exit, 1);
    const answer = this.vm.engine.libc.ioctlNumber(this.fd, r.ioctl.RUN, 0);
    const error = answer < 0 ? errorName() : undefined;
    this.pauseAsked = true;
    const exit = this.afterEntry(error);
    if (exit !== undefined && exit.kind !== 'intr') this.held.unshift(exit);
    this.pauseAsked = before;
    this.view.setUint8(r.run.immediate_exit, before ? 1 : 0);
  }

  requestPause(): void {
    if (this.closed) return;
    this.pauseAsked = true;
    // First the flag, then the signal: whichever side of the entry the vCPU is on, one of them works.
    this.view.setUint8(r.run.immediate_exit, 1);
    this.worker?.kick();
    this.vm.options.onAttention(this.index);
  }

  /** Out of the guest until the machine looks at it next: what it stands on is about to change. */
  hold(): void {
    if (!this.entered || this.closed) return;
    this.view.setUint8(r.run.immediate_exit, 1);
    this.worker!.kick();
    while (this.worker!.back() === undefined);
    this.view.setUint8(r.run.immediate_exit, this.pauseAsked ? 1 : 0);
  }

  private takePause(): boolean {
    if (!this.pauseAsked) return false;
    this.pauseAsked = false;
    this.view.setUint8(r.run.immediate_exit, 0);
    return true;
  }

  interruptChanged(): void {
    if (this.worker !== undefined) return;
    this.interruptWaiting = true;
    this.vm.options.onAttention(this.index);
  }

  nmi(): void {
    if (this.worker === undefined) this.nmiWaiting = true;
    // Requests to a vCPU wait while it runs; messages do not.
    else this.vm.sendMsi(APIC_PAGE + this.index * 0x1000, MSI_NMI);
    this.vm.options.onAttention(this.index);
  }

  reset(kind: 'power-on' | 'init'): void {
    const { interrupts } = this.vm;
    interrupts.resetLocalApic(this.index, kind);
    this.settle();
    this.held = [];
    if (this.worker !== undefined) this.setLocalApic(interrupts.getLocalApic(this.index));
    this.setRecord(resetRecord(kind, this.signature, this.index === 0, this.getRecord()));
  }

  /** Of an access that waits for its answer: before it, or in the middle of its instruction. */
  getRecord(): VcpuRecord {
    const record = this.state.read();
    if (this.shutDown) record.events.activity = activity.shutDown;
    else if (this.worker === undefined && this.halted) record.events.activity = activity.halted;
    if (this.nmiWaiting) record.events.nmiPending = true;
    const tsc = record.msrs.find(({ index }) => index === MSR_TSC);
    if (this.frozen !== undefined && tsc !== undefined) tsc.value = this.frozen.tsc;
    return record;
  }

  setRecord(record: VcpuRecord): void {
    this.settle();
    this.held = [];
    const { events, registers } = record;
    this.state.write(record);
    if (this.frozen !== undefined) this.frozen = { ...this.frozen, tsc: this.readTsc() };
    if (this.worker !== undefined) this.armDeadline();
    this.shutDown = events.activity === activity.shutDown || events.exception.vector === 256;
    this.halted = events.activity === activity.halted || events.activity === activity.waitForSipi;
    this.nmiWaiting = false;
    this.interruptWaiting = true;
    const ready = (registers.rflags & 0x200n) !== 0n && !events.shadow && !events.shadowSs;
    this.view.setUint8(r.run.ready_for_interrupt_injection, ready ? 1 : 0);
  }

  /** As RDTSC. */
  readTsc(): bigint {
    return this.state.getMsr(MSR_TSC) ?? 0n;
  }

  getLocalApic(): LocalApicRecord {
    if (this.worker === undefined) return this.vm.interrupts.getLocalApic(this.index);
    const { libc: c } = this.vm.engine;
    const page = new Uint8Array(r.sizeOf.lapic_state);
    checked(c.ioctl(this.fd, r.ioctl.GET_LAPIC, page), 'a local APIC');
    const deadline = this.state.getMsr(MSR_TSC_DEADLINE) ?? 0n;
    const time = { nowNs: this.vm.options.clock.nowNs(), tsc: this.readTsc() };
    const { tscKhz } = this.vm;
    const base = this.state.getApicBase();
    const record = lapicFromKvm(page, base, deadline, { ...time, tscKhz });
    return this.frozen === undefined ? record : withTimerOf(record, this.frozen.apic);
  }

  setLocalApic(record: LocalApicRecord): void {
    if (this.worker === undefined) {
      this.vm.interrupts.setLocalApic(this.index, record);
      return;
    }
    if (this.frozen !== undefined) this.frozen = { ...this.frozen, apic: record };
    const { libc: c } = this.vm.engine;
    const page = new Uint8Array(r.sizeOf.lapic_state);
    lapicToKvm(record, this.vm.options.clock.nowNs(), page);
    this.state.setApicBase(record.base);
    checked(c.ioctl(this.fd, r.ioctl.SET_LAPIC, page), 'a local APIC');
    this.timerNs = record.tscDeadline === 0n ? -1 : record.timerNs;
    this.armDeadline();
  }

  /** By the machine's clock: the TSC may count faster here than where the deadline was set. */
  private armDeadline(): void {
    const { options, tscKhz } = this.vm;
    const ticks = Math.ceil(((this.timerNs - options.clock.nowNs()) * tscKhz) / 1e6);
    const deadline = this.readTsc() + BigInt(Math.max(ticks, 1));
    this.state.setMsr(MSR_TSC_DEADLINE, this.timerNs < 0 ? 0n : deadline);
  }

  /** Remembers the guest's time, which the host's runs away from, and stops its timer. */
  freeze(): void {
    if (this.closed) return;
    this.settle();
    const frozen = { tsc: this.readTsc(), apic: this.getLocalApic() };
    this.setLocalApic({ ...frozen.apic, timerNs: -1, tscDeadline: 0n });
    this.frozen = frozen;
  }

  thaw(): void {
    if (this.frozen === undefined) return;
    const apic = this.getLocalApic();
    this.state.setTsc(this.frozen.tsc);
    this.frozen = undefined;
    this.setLocalApic(apic);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.view.setUint8(r.run.immediate_exit, 1);
    this.worker?.close();
    const { libc: c } = this.vm.engine;
    c.close(this.fd);
    c.unmap(this.page.address, this.page.bytes.length);
  }
}

function find(table: readonly CpuidEntry[], leaf: number, subleaf: number) {
  return table.find(
    (one) => one.leaf === leaf && (one.subleaf === subleaf || one.subleaf === ANY_SUBLEAF),
  );
}
