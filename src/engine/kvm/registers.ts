/**
 * The kernel's interface to its hypervisor [KVM]: numbers of requests, and where fields of structures
 * stand, in bytes. `registers.test.ts` compares all of it with `linux/kvm.h`.
 */

type Space = ' ' | '\n';
type Trim<S extends string> = S extends `${Space}${infer R}` ? Trim<R> : S;
type Names<S extends string> =
  Trim<S> extends `${infer N}=${infer R}`
    ? N | (R extends `${string}${Space}${infer T}` ? Names<T> : never)
    : never;
type Facts<S extends string> = { readonly [N in Names<S>]: number };

/** A table from text, `name=value` each. */
function facts<const S extends string>(text: S, parse: (value: string) => number = Number) {
  const pairs = text
    .trim()
    .split(/\s+/)
    .map((pair) => pair.split('=') as [string, string]);
  return Object.fromEntries(pairs.map(([name, value]) => [name, parse(value)])) as Facts<S>;
}

/** Sizes of structures. Those with a list behind them (`cpuid2`, `msrs`) are counted without it. */
export const sizeOf = facts(`
  regs=144 sregs=312 vcpu_events=64 debugregs=128 xsave=4096 xcrs=392 lapic_state=1024 mp_state=4
  irqchip=520 pit_state2=112 pit_config=64 reinject_control=32 userspace_memory_region=32 dirty_log=16
  irq_level=8 msi=32 irqfd=32 ioeventfd=64 irq_routing=8 irq_routing_entry=48 coalesced_mmio_zone=16
  coalesced_mmio=24 cpuid2=8 cpuid_entry2=40 msrs=8 msr_entry=16 interrupt=4 device_attr=24`);

const KVMIO = 0xae;
const direction = { n: 0, w: 1, r: 2, x: 3 };

/** Direction (n: none), number in hexadecimal, structure or size of the argument [linux/ioctl.h]. */
function request(text: string): number {
  const [, way, number, what] = /^([nwrx])(..):?(\w*)$/.exec(text)!;
  const sizeBytes = what === '' ? 0 : (sizeOf[what as keyof typeof sizeOf] ?? Number(what));
  const bits = direction[way as keyof typeof direction];
  return ((bits << 30) | (sizeBytes << 16) | (KVMIO << 8) | Number(`0x${number}`)) >>> 0;
}

export const ioctl = facts(
  `
  GET_API_VERSION=n00 CREATE_VM=n01 CHECK_EXTENSION=n03 GET_VCPU_MMAP_SIZE=n04
  GET_SUPPORTED_CPUID=x05:cpuid2 CREATE_VCPU=n41 GET_DIRTY_LOG=w42:dirty_log
  SET_USER_MEMORY_REGION=w46:userspace_memory_region SET_TSS_ADDR=n47 SET_IDENTITY_MAP_ADDR=w48:8
  CREATE_IRQCHIP=n60 IRQ_LINE=w61:irq_level GET_IRQCHIP=x62:irqchip SET_IRQCHIP=r63:irqchip
  REGISTER_COALESCED_MMIO=w67:coalesced_mmio_zone SET_GSI_ROUTING=w6a:irq_routing
  REINJECT_CONTROL=n71 IRQFD=w76:irqfd CREATE_PIT2=w77:pit_config IOEVENTFD=w79:ioeventfd RUN=n80
  GET_REGS=r81:regs SET_REGS=w82:regs GET_SREGS=r83:sregs SET_SREGS=w84:sregs INTERRUPT=w86:interrupt
  GET_MSRS=x88:msrs SET_MSRS=w89:msrs GET_LAPIC=r8e:lapic_state SET_LAPIC=w8f:lapic_state
  SET_CPUID2=w90:cpuid2 GET_MP_STATE=r98:mp_state SET_MP_STATE=w99:mp_state NMI=n9a
  GET_PIT2=r9f:pit_state2 SET_PIT2=wa0:pit_state2 GET_VCPU_EVENTS=r9f:vcpu_events
  SET_VCPU_EVENTS=wa0:vcpu_events GET_DEBUGREGS=ra1:debugregs SET_DEBUGREGS=wa2:debugregs
  GET_TSC_KHZ=na3 GET_XSAVE=ra4:xsave SET_XSAVE=wa5:xsave SIGNAL_MSI=wa5:msi GET_XCRS=ra6:xcrs
  SET_XCRS=wa7:xcrs SET_DEVICE_ATTR=we1:device_attr GET_DEVICE_ATTR=we2:device_attr`,
  request,
);

export const API_VERSION = 12;

/** Numbers for CHECK_EXTENSION: what is wanted, and what is used where it is there. */
export const cap = facts(`
  IRQCHIP=0 USER_MEMORY=3 SET_TSS_ADDR=4 EXT_CPUID=7 NR_VCPUS=9 NR_MEMSLOTS=10 MP_STATE=14
  COALESCED_MMIO=15 IRQ_ROUTING=25 IRQFD=32 PIT2=33 PIT_STATE2=35 IOEVENTFD=36 ADJUST_CLOCK=39
  VCPU_EVENTS=41 DEBUGREGS=50 XSAVE=55 XCRS=56 TSC_CONTROL=60 MAX_VCPUS=66 TSC_DEADLINE_TIMER=72
  SIGNAL_MSI=77 READONLY_MEM=81 IMMEDIATE_EXIT=136 COALESCED_PIO=162`);

/** kvm_run: what a vCPU and its user tell each other. */
export const run = {
  ...facts(`
    request_interrupt_window=0 immediate_exit=1 exit_reason=8 ready_for_interrupt_injection=12
    if_flag=13 cr8=16 apic_base=24 debug_dr6=48 hw_hardware_exit_reason=32 system_event_type=32`),
  io: facts('direction=32 size=33 port=34 count=36 data_offset=40'),
  mmio: facts('phys_addr=32 data=40 len=48 is_write=52'),
  fail_entry: facts('hardware_entry_failure_reason=32 cpu=40'),
  internal: facts('suberror=32 ndata=36 data=40'),
  emulation_failure: facts('flags=40 insn_size=48 insn_bytes=49'),
};
export const exitReason = facts(`
  UNKNOWN=0 IO=2 DEBUG=4 HLT=5 MMIO=6 IRQ_WINDOW_OPEN=7 SHUTDOWN=8 FAIL_ENTRY=9 INTR=10
  INTERNAL_ERROR=17 SYSTEM_EVENT=24`);

/** kvm_regs: where the general registers stand, in the order RAX RCX RDX RBX RSP RBP RSI RDI R8... */
export const regs = { gpr: [0, 16, 24, 8, 48, 56, 32, 40], r8: 64, rip: 128, rflags: 136 } as const;
export const sregs = {
  /** ES CS SS DS FS GS LDTR TR. */
  segments: [48, 0, 120, 24, 72, 96, 168, 144],
  ...facts(`gdt=192 idt=208 cr0=224 cr2=232 cr3=240 cr4=248 cr8=256 efer=264 apic_base=272
    interrupt_bitmap=280`),
};
/** kvm_segment and kvm_dtable. */
export const segment = facts(
  'base=0 limit=8 selector=12 type=14 present=15 dpl=16 db=17 s=18 l=19 g=20 avl=21 unusable=22',
);
export const dtable = facts('base=0 limit=8');

export const events = {
  exception: facts('injected=0 nr=1 has_error_code=2 pending=3 error_code=4'),
  interrupt: facts('injected=8 nr=9 soft=10 shadow=11'),
  nmi: facts('injected=12 pending=13 masked=14'),
  ...facts('sipi_vector=16 flags=20 smi=24'),
};
/** Which parts of vcpu_events a SET looks at. */
export const eventsValid = facts('NMI_PENDING=1 SIPI_VECTOR=2 SHADOW=4');
export const shadowBit = facts('MOV_SS=1 STI=2');
export const debugregs = facts('db=0 dr6=32 dr7=40');
export const mpState = facts('RUNNABLE=0 UNINITIALIZED=1 INIT_RECEIVED=2 HALTED=3');

export const memory = facts('slot=0 flags=4 guest_phys_addr=8 memory_size=16 userspace_addr=24');
export const memoryFlag = facts('LOG_DIRTY_PAGES=1 READONLY=2');
export const dirtyLog = facts('slot=0 dirty_bitmap=8');

/** kvm_irqchip: the chip's number, then its state. */
export const irqchip = facts('chip_id=0 chip=8 PIC_MASTER=0 PIC_SLAVE=1 IOAPIC=2');
export const pic = facts(`
  last_irr=0 irr=1 imr=2 isr=3 priority_add=4 irq_base=5 read_reg_select=6 poll=7 special_mask=8
  init_state=9 auto_eoi=10 rotate_on_auto_eoi=11 special_fully_nested_mode=12 init4=13 elcr=14
  elcr_mask=15`);
export const ioapic = facts('base_address=0 ioregsel=8 id=12 irr=16 redirtbl=24');
/** kvm_pit_channel_state, three of them 24 bytes apart, then flags; SPEAKER_DUMMY is CREATE_PIT2's. */
export const pit = facts(`
  channelBytes=24 count=0 latched_count=4 count_latched=6 status_latched=7 status=8 read_state=9
  write_state=10 write_latch=11 rw_mode=12 mode=13 bcd=14 gate=15 count_load_time=16 flags=72
  SPEAKER_DATA_ON=2 SPEAKER_DUMMY=1`);

export const routing = {
  ...facts('nr=0 gsi=0 type=4 irqchip=16 pin=20 TYPE_IRQCHIP=1 TYPE_MSI=2'),
  msi: facts('address_lo=16 address_hi=20 data=24'),
};
export const irqLevel = facts('irq=0 level=4');
export const msi = facts('address_lo=0 address_hi=4 data=8 flags=12');
export const irqfd = facts('fd=0 gsi=4 flags=8 DEASSIGN=1');
export const ioeventfd = facts(
  'datamatch=0 addr=8 len=16 fd=20 flags=24 DATAMATCH=1 PIO=2 DEASSIGN=4',
);
export const coalescedZone = facts('addr=0 size=8 pio=12');
/** kvm_coalesced_mmio_ring: indices of the first entry and of the first free one, then entries. */
export const coalescedRing = facts('first=0 last=4 entries=8');
export const coalesced = facts('phys_addr=0 len=8 pio=12 data=16');
/** SIGNIFICANT_INDEX: the entry looks at ECX. */
export const cpuidEntry = facts(
  'function=0 index=4 flags=8 eax=12 ebx=16 ecx=20 edx=24 SIGNIFICANT_INDEX=1',
);
export const msrEntry = facts('index=0 data=8');
/** Of a vCPU, the group of its time: what is added to the host's TSC. */
export const deviceAttr = facts('group=4 attr=8 addr=16 VCPU_TSC_CTRL=0 VCPU_TSC_OFFSET=0');
export const xcrs = facts('nr_xcrs=0 xcr=8 value=16');

/** epoll [man epoll_ctl]: on x86 the structure is packed. */
export const EPOLL_EVENT_BYTES = 12;
export const epollEvent = facts('events=0 data=4 IN=1 EDGE=2147483648 ADD=1');
