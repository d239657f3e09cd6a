/**
 * The kernel's interface to its hypervisor [KVM]: numbers of requests, and where fields of structures
 * stand, in bytes. `registers.test.ts` compares all of it with `linux/kvm.h`.
 */

const KVMIO = 0xae;
const WRITE = 1;
const READ = 2;

/** A request's number: direction, size of its argument, type, number [linux/ioctl.h]. */
function request(direction: number, number: number, sizeBytes: number): number {
  return ((direction << 30) | (sizeBytes << 16) | (KVMIO << 8) | number) >>> 0;
}
const io = (number: number) => request(0, number, 0);
const iow = (number: number, sizeBytes: number) => request(WRITE, number, sizeBytes);
const ior = (number: number, sizeBytes: number) => request(READ, number, sizeBytes);
const iowr = (number: number, sizeBytes: number) => request(READ | WRITE, number, sizeBytes);

/** Sizes of structures. Those with a list behind them (`cpuid2`, `msrs`) are counted without it. */
export const sizeOf = {
  regs: 144,
  sregs: 312,
  vcpu_events: 64,
  debugregs: 128,
  xsave: 4096,
  xcrs: 392,
  lapic_state: 1024,
  mp_state: 4,
  irqchip: 520,
  pit_state2: 112,
  pit_config: 64,
  reinject_control: 32,
  userspace_memory_region: 32,
  dirty_log: 16,
  irq_level: 8,
  msi: 32,
  irqfd: 32,
  ioeventfd: 64,
  irq_routing: 8,
  irq_routing_entry: 48,
  coalesced_mmio_zone: 16,
  coalesced_mmio: 24,
  cpuid2: 8,
  cpuid_entry2: 40,
  msrs: 8,
  msr_entry: 16,
  msr_list: 4,
  interrupt: 4,
  device_attr: 24,
} as const;

export const ioctl = {
  GET_API_VERSION: io(0x00),
  CREATE_VM: io(0x01),
  GET_MSR_INDEX_LIST: iowr(0x02, sizeOf.msr_list),
  CHECK_EXTENSION: io(0x03),
  GET_VCPU_MMAP_SIZE: io(0x04),
  GET_SUPPORTED_CPUID: iowr(0x05, sizeOf.cpuid2),
  CREATE_VCPU: io(0x41),
  GET_DIRTY_LOG: iow(0x42, sizeOf.dirty_log),
  SET_USER_MEMORY_REGION: iow(0x46, sizeOf.userspace_memory_region),
  SET_TSS_ADDR: io(0x47),
  SET_IDENTITY_MAP_ADDR: iow(0x48, 8),
  CREATE_IRQCHIP: io(0x60),
  IRQ_LINE: iow(0x61, sizeOf.irq_level),
  GET_IRQCHIP: iowr(0x62, sizeOf.irqchip),
  SET_IRQCHIP: ior(0x63, sizeOf.irqchip),
  REGISTER_COALESCED_MMIO: iow(0x67, sizeOf.coalesced_mmio_zone),
  SET_GSI_ROUTING: iow(0x6a, sizeOf.irq_routing),
  REINJECT_CONTROL: io(0x71),
  IRQFD: iow(0x76, sizeOf.irqfd),
  CREATE_PIT2: iow(0x77, sizeOf.pit_config),
  IOEVENTFD: iow(0x79, sizeOf.ioeventfd),
  RUN: io(0x80),
  GET_REGS: ior(0x81, sizeOf.regs),
  SET_REGS: iow(0x82, sizeOf.regs),
  GET_SREGS: ior(0x83, sizeOf.sregs),
  SET_SREGS: iow(0x84, sizeOf.sregs),
  INTERRUPT: iow(0x86, sizeOf.interrupt),
  GET_MSRS: iowr(0x88, sizeOf.msrs),
  SET_MSRS: iow(0x89, sizeOf.msrs),
  GET_LAPIC: ior(0x8e, sizeOf.lapic_state),
  SET_LAPIC: iow(0x8f, sizeOf.lapic_state),
  SET_CPUID2: iow(0x90, sizeOf.cpuid2),
  GET_MP_STATE: ior(0x98, sizeOf.mp_state),
  SET_MP_STATE: iow(0x99, sizeOf.mp_state),
  NMI: io(0x9a),
  GET_PIT2: ior(0x9f, sizeOf.pit_state2),
  SET_PIT2: iow(0xa0, sizeOf.pit_state2),
  GET_VCPU_EVENTS: ior(0x9f, sizeOf.vcpu_events),
  SET_VCPU_EVENTS: iow(0xa0, sizeOf.vcpu_events),
  GET_DEBUGREGS: ior(0xa1, sizeOf.debugregs),
  SET_DEBUGREGS: iow(0xa2, sizeOf.debugregs),
  SET_TSC_KHZ: io(0xa2),
  GET_TSC_KHZ: io(0xa3),
  GET_XSAVE: ior(0xa4, sizeOf.xsave),
  SET_XSAVE: iow(0xa5, sizeOf.xsave),
  SIGNAL_MSI: iow(0xa5, sizeOf.msi),
  GET_XCRS: ior(0xa6, sizeOf.xcrs),
  SET_XCRS: iow(0xa7, sizeOf.xcrs),
  SET_DEVICE_ATTR: iow(0xe1, sizeOf.device_attr),
  GET_DEVICE_ATTR: iow(0xe2, sizeOf.device_attr),
} as const;

export const API_VERSION = 12;

/** Numbers for CHECK_EXTENSION: what is wanted, and what is used where it is there. */
export const cap = {
  IRQCHIP: 0,
  USER_MEMORY: 3,
  SET_TSS_ADDR: 4,
  EXT_CPUID: 7,
  NR_VCPUS: 9,
  NR_MEMSLOTS: 10,
  MP_STATE: 14,
  COALESCED_MMIO: 15,
  IRQ_ROUTING: 25,
  IRQFD: 32,
  PIT2: 33,
  PIT_STATE2: 35,
  IOEVENTFD: 36,
  ADJUST_CLOCK: 39,
  VCPU_EVENTS: 41,
  DEBUGREGS: 50,
  XSAVE: 55,
  XCRS: 56,
  TSC_CONTROL: 60,
  MAX_VCPUS: 66,
  TSC_DEADLINE_TIMER: 72,
  SIGNAL_MSI: 77,
  READONLY_MEM: 81,
  IMMEDIATE_EXIT: 136,
  COALESCED_PIO: 162,
} as const;

/** kvm_run: what a vCPU and its user tell each other. */
export const run = {
  request_interrupt_window: 0,
  immediate_exit: 1,
  exit_reason: 8,
  ready_for_interrupt_injection: 12,
  if_flag: 13,
  cr8: 16,
  apic_base: 24,
  io: { direction: 32, size: 33, port: 34, count: 36, data_offset: 40 },
  mmio: { phys_addr: 32, data: 40, len: 48, is_write: 52 },
  debug_dr6: 48,
  fail_entry: { hardware_entry_failure_reason: 32, cpu: 40 },
  hw_hardware_exit_reason: 32,
  internal: { suberror: 32, ndata: 36, data: 40 },
  emulation_failure: { flags: 40, insn_size: 48, insn_bytes: 49 },
  system_event_type: 32,
} as const;

export const exitReason = {
  UNKNOWN: 0,
  IO: 2,
  DEBUG: 4,
  HLT: 5,
  MMIO: 6,
  IRQ_WINDOW_OPEN: 7,
  SHUTDOWN: 8,
  FAIL_ENTRY: 9,
  INTR: 10,
  INTERNAL_ERROR: 17,
  SYSTEM_EVENT: 24,
} as const;

/** kvm_regs: where the general registers stand, in the order RAX RCX RDX RBX RSP RBP RSI RDI R8... */
export const regs = { gpr: [0, 16, 24, 8, 48, 56, 32, 40], r8: 64, rip: 128, rflags: 136 } as const;

export const sregs = {
  /** ES CS SS DS FS GS LDTR TR. */
  segments: [48, 0, 120, 24, 72, 96, 168, 144],
  gdt: 192,
  idt: 208,
  cr0: 224,
  cr2: 232,
  cr3: 240,
  cr4: 248,
  cr8: 256,
  efer: 264,
  apic_base: 272,
  interrupt_bitmap: 280,
} as const;
/** kvm_segment and kvm_dtable. */
export const segment = {
  base: 0,
  limit: 8,
  selector: 12,
  type: 14,
  present: 15,
  dpl: 16,
  db: 17,
  s: 18,
  l: 19,
  g: 20,
  avl: 21,
  unusable: 22,
} as const;
export const dtable = { base: 0, limit: 8 } as const;

export const events = {
  exception: { injected: 0, nr: 1, has_error_code: 2, pending: 3, error_code: 4 },
  interrupt: { injected: 8, nr: 9, soft: 10, shadow: 11 },
  nmi: { injected: 12, pending: 13, masked: 14 },
  sipi_vector: 16,
  flags: 20,
  smi: 24,
} as const;
/** Which parts of vcpu_events a SET looks at. */
export const eventsValid = { NMI_PENDING: 1, SIPI_VECTOR: 2, SHADOW: 4 } as const;
export const shadowBit = { MOV_SS: 1, STI: 2 } as const;

export const debugregs = { db: 0, dr6: 32, dr7: 40 } as const;
export const mpState = { RUNNABLE: 0, UNINITIALIZED: 1, INIT_RECEIVED: 2, HALTED: 3 } as const;

export const memory = {
  slot: 0,
  flags: 4,
  guest_phys_addr: 8,
  memory_size: 16,
  userspace_addr: 24,
} as const;
export const memoryFlag = { LOG_DIRTY_PAGES: 1, READONLY: 2 } as const;
export const dirtyLog = { slot: 0, dirty_bitmap: 8 } as const;

/** kvm_irqchip: the chip's number, then its state. */
export const irqchip = { chip_id: 0, chip: 8, PIC_MASTER: 0, PIC_SLAVE: 1, IOAPIC: 2 } as const;
export const pic = {
  last_irr: 0,
  irr: 1,
  imr: 2,
  isr: 3,
  priority_add: 4,
  irq_base: 5,
  read_reg_select: 6,
  poll: 7,
  special_mask: 8,
  init_state: 9,
  auto_eoi: 10,
  rotate_on_auto_eoi: 11,
  special_fully_nested_mode: 12,
  init4: 13,
  elcr: 14,
  elcr_mask: 15,
} as const;
export const ioapic = { base_address: 0, ioregsel: 8, id: 12, irr: 16, redirtbl: 24 } as const;

/** kvm_pit_channel_state, three of them 24 bytes apart, then flags. */
export const pit = {
  channelBytes: 24,
  count: 0,
  latched_count: 4,
  count_latched: 6,
  status_latched: 7,
  status: 8,
  read_state: 9,
  write_state: 10,
  write_latch: 11,
  rw_mode: 12,
  mode: 13,
  bcd: 14,
  gate: 15,
  count_load_time: 16,
  flags: 72,
  SPEAKER_DATA_ON: 2,
  /** Of CREATE_PIT2: port 61h is the kernel's too. */
  SPEAKER_DUMMY: 1,
} as const;

export const routing = {
  nr: 0,
  gsi: 0,
  type: 4,
  irqchip: 16,
  pin: 20,
  msi: { address_lo: 16, address_hi: 20, data: 24 },
  TYPE_IRQCHIP: 1,
  TYPE_MSI: 2,
} as const;
export const irqLevel = { irq: 0, level: 4 } as const;
export const msi = { address_lo: 0, address_hi: 4, data: 8, flags: 12 } as const;
export const irqfd = { fd: 0, gsi: 4, flags: 8, DEASSIGN: 1 } as const;
export const ioeventfd = {
  datamatch: 0,
  addr: 8,
  len: 16,
  fd: 20,
  flags: 24,
  DATAMATCH: 1,
  PIO: 2,
  DEASSIGN: 4,
} as const;

export const coalescedZone = { addr: 0, size: 8, pio: 12 } as const;
/** kvm_coalesced_mmio_ring: indices of the first entry and of the first free one, then entries. */
export const coalescedRing = { first: 0, last: 4, entries: 8 } as const;
export const coalesced = { phys_addr: 0, len: 8, pio: 12, data: 16 } as const;

export const cpuidEntry = {
  function: 0,
  index: 4,
  flags: 8,
  eax: 12,
  ebx: 16,
  ecx: 20,
  edx: 24,
  /** The entry looks at ECX. */
  SIGNIFICANT_INDEX: 1,
} as const;
export const msrEntry = { index: 0, data: 8 } as const;
/** Of a vCPU, the group of its time: what is added to the host's TSC. */
export const deviceAttr = {
  group: 4,
  attr: 8,
  addr: 16,
  VCPU_TSC_CTRL: 0,
  VCPU_TSC_OFFSET: 0,
} as const;
export const xcrs = { nr_xcrs: 0, xcr: 8, value: 16 } as const;

/** epoll [man epoll_ctl]: on x86 the structure is packed. */
export const EPOLL_EVENT_BYTES = 12;
export const epollEvent = { events: 0, data: 4, IN: 1, EDGE: 2 ** 31, ADD: 1 } as const;
