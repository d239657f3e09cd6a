import { array, bool, type Codec, fixedArray, struct, u8, u16, u32, u64 } from '../base/codec.js';

/**
 * CPU state as both engines read and write it. These records are the snapshot's format: a field
 * added here is a new {@link VCPU_RECORD_VERSION}.
 */
export const VCPU_RECORD_VERSION = 2;

export interface Registers {
  /** RAX RCX RDX RBX RSP RBP RSI RDI R8..R15. */
  gpr: bigint[];
  rip: bigint;
  rflags: bigint;
}

export interface Segment {
  selector: number;
  /** Descriptor bits 40..47 and 52..55 in bits 0..7 and 12..15 (type, S, DPL, P, AVL, L, D/B, G). */
  attributes: number;
  /** A null selector: any access faults. */
  unusable: boolean;
  /** In bytes, G applied. */
  limit: number;
  base: bigint;
}

export interface TableRegister {
  base: bigint;
  limit: number;
}

export interface SystemRegisters {
  /** ES CS SS DS FS GS LDTR TR. */
  segments: Segment[];
  gdtr: TableRegister;
  idtr: TableRegister;
  cr0: bigint;
  cr2: bigint;
  cr3: bigint;
  cr4: bigint;
  cr8: bigint;
  efer: bigint;
  xcr0: bigint;
  /** DR0..DR3. */
  dr: bigint[];
  dr6: bigint;
  dr7: bigint;
}

export interface Msr {
  index: number;
  value: bigint;
}

/** What is under way between two instructions. */
export interface PendingEvents {
  /** An exception not delivered yet; its error code counts when `hasError`. */
  exception: {
    pending: boolean;
    vector: number;
    hasError: boolean;
    error: number;
    /** 0 fault, 1 trap, 2 software interrupt, 3 external. */
    kind: number;
    /** Of a page fault. */
    address: bigint;
  };
  /** Vector being delivered when the exception came, for double faults; -1: none. */
  delivering: number;
  /** Interrupts wait for one instruction (after STI). */
  shadow: boolean;
  /** The same after MOV SS or POP SS, which holds back debug traps too. */
  shadowSs: boolean;
  nmiPending: boolean;
  /** Until IRET. */
  nmiBlocked: boolean;
  /** 0 running, 1 halted, 2 waiting for SIPI, 3 shut down, 4 MWAIT. */
  activity: number;
  /** Address that MONITOR armed; all ones: none. */
  monitor: bigint;
}

export interface VcpuRecord {
  registers: Registers;
  system: SystemRegisters;
  /**
   * XSAVE's standard form: 512 bytes legacy (x87, SSE) and 64 of header, and what features beyond
   * those have.
   */
  xsave: Uint8Array;
  msrs: Msr[];
  events: PendingEvents;
}

/**
 * The registers as the CPU sees them, 16 bytes apart, and what they do not show. Its codec and the
 * IOAPIC's are those of the chips.
 */
export interface LocalApicRecord {
  /** IA32_APIC_BASE. */
  base: bigint;
  /** Offset 0x000 to 0x3ff of the page. */
  registers: Uint8Array;
  /** When the timer fires next on the machine's clock, or -1. */
  timerNs: number;
  /** IA32_TSC_DEADLINE. */
  tscDeadline: bigint;
}

export interface IoApicRecord {
  id: number;
  select: number;
  /** 24 entries, 64 bits each. */
  redirection: bigint[];
  /** Level of each input, by bit. */
  lines: number;
}

/** One 8259A, see chipset/pic8259. */
export type PicRecord = {
  expects: 'mask' | 'icw2' | 'icw3' | 'icw4';
} & Record<'lines' | 'irr' | 'isr' | 'imr' | 'vectorBase' | 'topPriority' | 'elcr', number> &
  Record<'icw4Follows' | 'single' | 'autoEoi' | 'rotateInAutoEoi' | 'specialMask', boolean> &
  Record<'specialFullyNested' | 'readIsr' | 'poll', boolean>;

/** One counter of an 8254, see chipset/pit8254. */
export type PitChannelRecord = {
  phase: 'idle' | 'armed' | 'counting';
} & Record<'mode' | 'access' | 'reload' | 'lowByte' | 'latchedCount' | 'latchedStatus', number> &
  Record<'period' | 'elapsed' | 'since', number> &
  Record<'bcd' | 'awaitsHighByte' | 'readsHighByte' | 'countLatched', boolean> &
  Record<'statusLatched' | 'gate' | 'running', boolean>;

/** The chips that an engine may have itself, as the machine's own devices save them. */
export interface ChipRecords {
  pic: { master: PicRecord; slave: PicRecord };
  pit: { channels: PitChannelRecord[]; portB: number; irqHigh: boolean; irqTick: number };
  ioApic: IoApicRecord;
}

/** x87 and SSE; features beyond them take more. */
export const XSAVE_BYTES = 576;

const registers: Codec<Registers> = struct({
  gpr: fixedArray(u64, 16),
  rip: u64,
  rflags: u64,
});

const segment: Codec<Segment> = struct({
  selector: u16(),
  attributes: u16(),
  unusable: bool,
  limit: u32(),
  base: u64,
});

const table: Codec<TableRegister> = struct({ base: u64, limit: u16() });

const system: Codec<SystemRegisters> = struct({
  segments: fixedArray(segment, 8),
  gdtr: table,
  idtr: table,
  cr0: u64,
  cr2: u64,
  cr3: u64,
  cr4: u64,
  cr8: u64,
  efer: u64,
  xcr0: u64,
  dr: fixedArray(u64, 4),
  dr6: u64,
  dr7: u64,
});

const xsave: Codec<Uint8Array> = {
  encode(writer, value) {
    writer.u32(value.length);
    writer.bytes(value);
  },
  decode: (reader) => reader.bytes(u32({ min: XSAVE_BYTES, max: 0x1_0000 }).decode(reader)),
};

/** A vector, or -1 for none: one more than it, in two bytes. */
const vectorOrNone: Codec<number> = {
  encode: (writer, value) => writer.u16(value + 1),
  decode: (reader) => u16({ max: 256 }).decode(reader) - 1,
};

const events: Codec<PendingEvents> = struct({
  exception: struct({
    pending: bool,
    vector: u16({ max: 256 }),
    hasError: bool,
    error: u32(),
    kind: u8({ max: 3 }),
    address: u64,
  }),
  delivering: vectorOrNone,
  shadow: bool,
  shadowSs: bool,
  nmiPending: bool,
  nmiBlocked: bool,
  activity: u8({ max: 4 }),
  monitor: u64,
});

const msr: Codec<Msr> = struct({ index: u32(), value: u64 });

export const vcpuRecordCodec: Codec<VcpuRecord> = struct({
  registers,
  system,
  xsave,
  msrs: array(msr, 256),
  events,
});
