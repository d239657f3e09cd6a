import { EngineError } from '../engine.js';
import {
  type Msr,
  type PendingEvents,
  type Segment,
  type SystemRegisters,
  type VcpuRecord,
  XSAVE_BYTES,
} from '../records.js';
import { checked, structure } from './arguments.js';
import { addressOf, type Libc } from './libc.js';
import * as r from './registers.js';

const MSR_TSC = 0x10;
const MSR_FEATURE_CONTROL = 0x3a;
/** MSRs of a record: those that the `soft` engine has, and the TSC. What a host lacks is left out. */
const recordMsrs = [
  ...[0xc000_0081, 0xc000_0082, 0xc000_0083, 0xc000_0084, 0xc000_0102, 0xc000_0103],
  ...[0x174, 0x175, 0x176, 0x277, 0x3b, 0x1a0, 0x2ff],
  ...[0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f],
  ...Array.from({ length: 16 }, (_, i) => 0x200 + i),
  ...[0x17a, 0xda0, 0x48, 0x3a, 0x9e, 0x1d9, MSR_TSC],
];
const FCS_AND_ON = 464;
const LEGACY_BYTES = 512;
const X87_AND_SSE = 3n;
const NOTHING_MONITORED = 0xffff_ffff_ffff_ffffn;
/** A vector in a record that stands for a triple fault. */
const TRIPLE_FAULT = 256;
export const activity = { running: 0, halted: 1, waitForSipi: 2, shutDown: 3, mwait: 4 } as const;
/** PendingEvents.exception.kind. */
const kind = { fault: 0, trap: 1, software: 2, external: 3 } as const;

/** The structures that a vCPU's state is in, for people; each with a request to read and to write it. */
const structures = {
  ...{ regs: 'the general registers', sregs: 'the system registers', xcrs: 'XCR0' },
  ...{ xsave: 'the XSAVE area', debugregs: 'the debug registers', vcpu_events: 'pending events' },
  ...{ mp_state: 'the activity' },
};
type Structure = keyof typeof structures;

/** kvm_msrs. */
class MsrList {
  readonly bytes: Uint8Array;
  private readonly view: DataView;

  constructor(private readonly msrs: readonly Msr[]) {
    this.bytes = new Uint8Array(r.sizeOf.msrs + msrs.length * r.sizeOf.msr_entry);
    this.view = new DataView(this.bytes.buffer);
    this.view.setUint32(0, msrs.length, true);
    msrs.forEach(({ index, value }, i) => {
      this.view.setUint32(this.place(i) + r.msrEntry.index, index, true);
      this.view.setBigUint64(this.place(i) + r.msrEntry.data, value, true);
    });
  }

  take(): Msr[] {
    return this.msrs.map(({ index }, i) => ({
      index,
      value: this.view.getBigUint64(this.place(i) + r.msrEntry.data, true),
    }));
  }

  private place(i: number): number {
    return r.sizeOf.msrs + i * r.sizeOf.msr_entry;
  }
}

/** The state of a vCPU between two instructions as records, and back. */
export class KvmVcpuState {
  private readonly views = new Map<Structure, DataView>();
  /** Those of {@link recordMsrs} that this host has, once that is known. */
  private readonly readable = [...recordMsrs];

  constructor(
    private readonly c: Libc,
    private readonly fd: number,
    /** How much of the XSAVE area the guest's features need. */
    private readonly xsaveBytes: number,
    /** The kernel has the local APIC, and so knows of halted vCPUs. */
    private readonly apic: boolean,
  ) {}

  /** One of the structures as it was last read or written. */
  private view(which: Structure): DataView {
    const view = this.views.get(which) ?? new DataView(new ArrayBuffer(r.sizeOf[which]));
    this.views.set(which, view);
    return view;
  }

  private transfer(way: 'GET' | 'SET', which: Structure): DataView {
    const view = this.view(which);
    const request = r.ioctl[`${way}_${which.toUpperCase() as Uppercase<Structure>}`];
    checked(this.c.ioctl(this.fd, request, new Uint8Array(view.buffer)), structures[which]);
    return view;
  }

  /** `activity` and `nmiPending` of a kernel without a local APIC are its user's to say. */
  read(): VcpuRecord {
    const general = this.transfer('GET', 'regs');
    const gpr = Array.from({ length: 16 }, (_, i) => general.getBigUint64(gprAt(i), true));
    return {
      registers: {
        gpr,
        rip: general.getBigUint64(r.regs.rip, true),
        rflags: general.getBigUint64(r.regs.rflags, true),
      },
      system: this.readSystem(),
      xsave: this.readXsave(),
      msrs: this.readMsrs(),
      events: this.readEvents(),
    };
  }

  /** Throws {@link EngineError} `bad-state` that names what the kernel refuses. */
  write(record: VcpuRecord): void {
    const { registers } = record;
    const general = this.view('regs');
    registers.gpr.forEach((value, i) => {
      general.setBigUint64(gprAt(i), value, true);
    });
    general.setBigUint64(r.regs.rip, registers.rip, true);
    general.setBigUint64(r.regs.rflags, registers.rflags, true);
    this.writeSystem(record.system);
    this.transfer('SET', 'regs');
    this.writeXsave(record.xsave);
    this.writeMsrs(record.msrs);
    this.writeEvents(record.events);
  }

  private readSystem(): SystemRegisters {
    const view = this.transfer('GET', 'sregs');
    const debug = this.transfer('GET', 'debugregs');
    const xcrs = this.transfer('GET', 'xcrs');
    const word = (at: number) => view.getBigUint64(at, true);
    const table = (at: number) => ({
      base: word(at + r.dtable.base),
      limit: view.getUint16(at + r.dtable.limit, true),
    });
    return {
      segments: r.sregs.segments.map((at) => readSegment(view, at)),
      gdtr: table(r.sregs.gdt),
      idtr: table(r.sregs.idt),
      cr0: word(r.sregs.cr0),
      cr2: word(r.sregs.cr2),
      cr3: word(r.sregs.cr3),
      cr4: word(r.sregs.cr4),
      cr8: word(r.sregs.cr8),
      efer: word(r.sregs.efer),
      xcr0: xcrs.getUint32(r.xcrs.nr_xcrs, true) > 0 ? xcrs.getBigUint64(r.xcrs.value, true) : 1n,
      dr: [0, 1, 2, 3].map((i) => debug.getBigUint64(r.debugregs.db + 8 * i, true)),
      dr6: debug.getBigUint64(r.debugregs.dr6, true),
      dr7: debug.getBigUint64(r.debugregs.dr7, true),
    };
  }

  private writeSystem(system: SystemRegisters): void {
    // The base of the APIC and what the record does not know stay.
    const view = this.transfer('GET', 'sregs');
    const word = (at: number, value: bigint) => view.setBigUint64(at, value, true);
    system.segments.forEach((segment, i) => {
      writeSegment(view, r.sregs.segments[i]!, segment);
    });
    for (const [at, table] of [
      [r.sregs.gdt, system.gdtr],
      [r.sregs.idt, system.idtr],
    ] as const) {
      word(at + r.dtable.base, table.base);
      view.setUint16(at + r.dtable.limit, table.limit, true);
    }
    for (const name of ['cr0', 'cr2', 'cr3', 'cr4', 'cr8', 'efer'] as const) {
      word(r.sregs[name], system[name]);
    }
    for (let i = 0; i < 4; i++) word(r.sregs.interrupt_bitmap + 8 * i, 0n);
    this.transfer('SET', 'sregs');
    const xcrs = this.transfer('GET', 'xcrs');
    if (xcrs.getUint32(r.xcrs.nr_xcrs, true) > 0 || system.xcr0 !== 1n) {
      xcrs.setUint32(r.xcrs.nr_xcrs, 1, true);
      xcrs.setUint32(r.xcrs.xcr, 0, true);
      xcrs.setBigUint64(r.xcrs.value, system.xcr0, true);
      this.transfer('SET', 'xcrs');
    }
    const debug = this.transfer('GET', 'debugregs');
    system.dr.forEach((value, i) => {
      debug.setBigUint64(r.debugregs.db + 8 * i, value, true);
    });
    debug.setBigUint64(r.debugregs.dr6, system.dr6, true);
    debug.setBigUint64(r.debugregs.dr7, system.dr7, true);
    this.transfer('SET', 'debugregs');
  }

  /** x87 and SSE are always marked as there: the kernel fills in what they are initially. */
  private readXsave(): Uint8Array {
    const area = new Uint8Array(this.transfer('GET', 'xsave').buffer).slice(0, this.xsaveBytes);
    const view = new DataView(area.buffer);
    view.setUint32(28, 0xffff, true);
    const features = view.getBigUint64(LEGACY_BYTES, true) | X87_AND_SSE;
    view.setBigUint64(LEGACY_BYTES, features, true);
    return area;
  }

  private writeXsave(area: Uint8Array): void {
    if (area.length > this.xsaveBytes) {
      throw bad(`xsave: found ${area.length} bytes, wanted at most ${this.xsaveBytes}`);
    }
    const view = this.view('xsave');
    const bytes = new Uint8Array(view.buffer);
    bytes.fill(0);
    bytes.set(area);
    bytes.fill(0, FCS_AND_ON, LEGACY_BYTES);
    view.setUint32(24, view.getUint32(24, true) & 0xffff, true);
    this.transfer('SET', 'xsave');
  }

  /** All in one request, which ends at the first that this host does not have. */
  private readMsrs(): Msr[] {
    for (;;) {
      const list = new MsrList(this.readable.map((index) => ({ index, value: 0n })));
      const count = checked(this.c.ioctl(this.fd, r.ioctl.GET_MSRS, list.bytes), 'the MSRs');
      if (count === this.readable.length) return list.take();
      this.readable.splice(count, 1);
    }
  }

  /** MSRs that a record leaves out become 0. */
  private writeMsrs(msrs: readonly Msr[]): void {
    const values = new Map(recordMsrs.map((index) => [index, 0n]));
    for (const { index, value } of msrs) {
      if (!values.has(index)) throw bad(`msrs: found ${hex(index)}, which is not known`);
      values.set(index, value);
    }
    this.setTsc(values.get(MSR_TSC)!);
    values.delete(MSR_TSC);
    for (let left = Array.from(values, ([index, value]) => ({ index, value })); left.length > 0; ) {
      const list = new MsrList(left).bytes;
      const count = checked(this.c.ioctl(this.fd, r.ioctl.SET_MSRS, list), 'the MSRs');
      const refused = left[count];
      // What neither host nor guest ever used is no loss.
      if (refused !== undefined && !mayBeLost(refused)) {
        throw bad(`msrs: ${hex(refused.index)}: the host's KVM refused ${hex(refused.value)}`);
      }
      left = left.slice(count + 1);
    }
  }

  getMsr(index: number): bigint | undefined {
    const list = new MsrList([{ index, value: 0n }]);
    if (this.c.ioctl(this.fd, r.ioctl.GET_MSRS, list.bytes) !== 1) return undefined;
    return list.take()[0]!.value;
  }

  setMsr(index: number, value: bigint): boolean {
    return this.c.ioctl(this.fd, r.ioctl.SET_MSRS, new MsrList([{ index, value }]).bytes) === 1;
  }

  /**
   * By the offset, where it can be had: the kernel takes a value that was written soon after another for
   * an attempt to make vCPUs agree, and does not do as it was told.
   */
  setTsc(value: bigint): void {
    const offset = new Uint8Array(8);
    const view = new DataView(offset.buffer);
    const { group, attr, addr, VCPU_TSC_CTRL, VCPU_TSC_OFFSET } = r.deviceAttr;
    const fields = [group, VCPU_TSC_CTRL, attr, BigInt(VCPU_TSC_OFFSET), addr, addressOf(offset)];
    const attribute = structure(r.sizeOf.device_attr, ...fields);
    const { ioctl } = r;
    if (this.c.ioctl(this.fd, ioctl.GET_DEVICE_ATTR, attribute) === 0) {
      const change = value - (this.getMsr(MSR_TSC) ?? 0n);
      view.setBigUint64(0, BigInt.asUintN(64, view.getBigUint64(0, true) + change), true);
      if (this.c.ioctl(this.fd, ioctl.SET_DEVICE_ATTR, attribute) === 0) return;
    }
    this.setMsr(MSR_TSC, value);
  }

  private readEvents(): PendingEvents {
    const { exception, interrupt, nmi } = r.events;
    const view = this.transfer('GET', 'vcpu_events');
    const flag = (at: number) => view.getUint8(at) !== 0;
    const shadow = view.getUint8(interrupt.shadow);
    const thrown = flag(exception.injected) || flag(exception.pending);
    const external = !thrown && flag(interrupt.injected);
    const vector = thrown ? view.getUint8(exception.nr) : view.getUint8(interrupt.nr);
    const isTrap = vector === 3 || vector === 4;
    const hasError = thrown && flag(exception.has_error_code);
    const software = flag(interrupt.soft) ? kind.software : kind.external;
    return {
      exception: {
        pending: thrown || external,
        vector: thrown || external ? vector : 0,
        hasError,
        error: hasError ? view.getUint32(exception.error_code, true) : 0,
        kind: external ? software : thrown && isTrap ? kind.trap : kind.fault,
        address: thrown && vector === 14 ? this.view('sregs').getBigUint64(r.sregs.cr2, true) : 0n,
      },
      delivering: -1,
      shadow: (shadow & r.shadowBit.STI) !== 0,
      shadowSs: (shadow & r.shadowBit.MOV_SS) !== 0,
      nmiPending: flag(nmi.pending) || flag(nmi.injected),
      nmiBlocked: flag(nmi.masked) && !flag(nmi.injected),
      activity: this.apic
        ? activityOf(this.transfer('GET', 'mp_state').getUint32(0, true))
        : activity.running,
      monitor: NOTHING_MONITORED,
    };
  }

  private writeEvents(events: PendingEvents): void {
    const view = this.view('vcpu_events');
    const { exception, interrupt, nmi } = r.events;
    new Uint8Array(view.buffer).fill(0);
    const one = events.exception;
    if (one.pending && one.vector !== TRIPLE_FAULT) {
      const external = one.kind === kind.external || one.kind === kind.software;
      const at = external ? interrupt : exception;
      view.setUint8(at.injected, 1);
      view.setUint8(at.nr, one.vector);
      if (external) view.setUint8(interrupt.soft, one.kind === kind.software ? 1 : 0);
      else {
        view.setUint8(exception.has_error_code, one.hasError ? 1 : 0);
        view.setUint32(exception.error_code, one.error, true);
        if (one.vector === 14) this.setCr2(one.address);
      }
    }
    view.setUint8(
      interrupt.shadow,
      (events.shadow ? r.shadowBit.STI : 0) | (events.shadowSs ? r.shadowBit.MOV_SS : 0),
    );
    view.setUint8(nmi.pending, events.nmiPending ? 1 : 0);
    view.setUint8(nmi.masked, events.nmiBlocked ? 1 : 0);
    view.setUint32(r.events.flags, r.eventsValid.NMI_PENDING | r.eventsValid.SHADOW, true);
    this.transfer('SET', 'vcpu_events');
    if (!this.apic) return;
    this.view('mp_state').setUint32(0, mpStateOf(events.activity), true);
    this.transfer('SET', 'mp_state');
  }

  /** The kernel takes CR2 with the other system registers only. */
  private setCr2(address: bigint): void {
    this.transfer('GET', 'sregs').setBigUint64(r.sregs.cr2, address, true);
    this.transfer('SET', 'sregs');
  }

  getApicBase(): bigint {
    return this.transfer('GET', 'sregs').getBigUint64(r.sregs.apic_base, true);
  }

  setApicBase(base: bigint): void {
    this.transfer('GET', 'sregs').setBigUint64(r.sregs.apic_base, base, true);
    this.transfer('SET', 'sregs');
  }
}

function activityOf(state: number): number {
  if (state === r.mpState.RUNNABLE) return activity.running;
  return state === r.mpState.HALTED ? activity.halted : activity.waitForSipi;
}

/** MWAIT may end for any reason, so it does. A vCPU that is shut down is never entered. */
function mpStateOf(value: number): number {
  if (value === activity.halted) return r.mpState.HALTED;
  return value === activity.waitForSipi ? r.mpState.UNINITIALIZED : r.mpState.RUNNABLE;
}

const bad = (message: string) => new EngineError('bad-state', message);
const hex = (value: number | bigint) => `0x${value.toString(16)}`;

/** IA32_FEATURE_CONTROL, locked and otherwise empty, is what there is without it. */
function mayBeLost({ index, value }: Msr): boolean {
  return value === 0n || (index === MSR_FEATURE_CONTROL && value === 1n);
}

/** How much of the XSAVE area there is with these features: leaf 0Dh, ECX. */
export function xsaveBytesFor(largest: number | undefined): number {
  return Math.min(Math.max(XSAVE_BYTES, largest ?? 0), r.sizeOf.xsave);
}

function gprAt(index: number): number {
  return index < 8 ? r.regs.gpr[index]! : r.regs.r8 + (index - 8) * 8;
}

/** Fields of a kvm_segment in a record's attributes: first bit, and all ones. */
const attributeBits = {
  ...{ type: [0, 0xf], s: [4, 1], dpl: [5, 3], present: [7, 1] },
  ...{ avl: [12, 1], l: [13, 1], db: [14, 1], g: [15, 1] },
};
const attributeFields = Object.keys(attributeBits) as (keyof typeof attributeBits)[];

function readSegment(view: DataView, at: number): Segment {
  const s = r.segment;
  return {
    selector: view.getUint16(at + s.selector, true),
    attributes: attributeFields.reduce((sum, field) => {
      const [shift, mask] = attributeBits[field] as [number, number];
      return sum | ((view.getUint8(at + s[field]) & mask) << shift);
    }, 0),
    unusable: view.getUint8(at + s.unusable) !== 0,
    limit: view.getUint32(at + s.limit, true),
    base: view.getBigUint64(at + s.base, true),
  };
}

function writeSegment(view: DataView, at: number, segment: Segment): void {
  const s = r.segment;
  view.setBigUint64(at + s.base, segment.base, true);
  view.setUint32(at + s.limit, segment.limit, true);
  view.setUint16(at + s.selector, segment.selector, true);
  view.setUint8(at + s.unusable, segment.unusable ? 1 : 0);
  for (const field of attributeFields) {
    const [shift, mask] = attributeBits[field] as [number, number];
    view.setUint8(at + s[field], (segment.attributes >> shift) & mask);
  }
}
