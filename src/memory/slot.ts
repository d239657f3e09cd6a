/** A run of guest-physical addresses and the host memory behind it. All multiples of 4 KiB. */
export interface MemorySlot {
  /** Chosen by the machine, stable while the slot lives. */
  readonly id: number;
  readonly gpa: number;
  /** 0 removes the slot. */
  readonly sizeBytes: number;
  /** Offset in {@link HostMemory.bytes}. */
  readonly place: number;
  /** Writes go to the bus. */
  readonly readonly: boolean;
  /** Pages written are remembered, see Vm.dirtyPages. */
  readonly log: boolean;
}

/** The memory that an engine backs guest RAM and ROM with. */
export interface HostMemory {
  /** Everything; places are offsets in it. May be shared with other threads. */
  readonly bytes: Uint8Array;
  /** First place that slots may use, and the first they may not. */
  readonly start: number;
  readonly end: number;
}

export const PAGE_BYTES = 4096;
