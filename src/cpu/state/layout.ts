/**
 * Where everything lives in the one linear memory that a `soft` VM shares between its vCPUs, the
 * generated code, the AssemblyScript runtime and the devices. Facts only: `tools/gen-runtime.mjs`
 * turns every number exported here into a constant of the same name for the runtime.
 *
 *   0x0000_0000  nothing: a null pointer traps in tests
 *   0x0001_0000  the runtime's own static data
 *   0x0010_0000  words shared by the VM's vCPUs: exclusive section, IOAPIC
 *   0x0020_0000  physical map: one u32 for each 4 KiB guest-physical page
 *   0x0080_0000  code pages: 16 bytes for each 4 KiB page of this memory
 *   0x0200_0000  one area a vCPU: state, LAPIC, TLBs, decoded blocks
 *   after them   guest RAM and ROM, in slots
 */

/** First byte of the runtime's static data. */
export const RUNTIME_DATA = 0x0001_0000;

// --- words shared by all vCPUs -----------------------------------------------------------------

export const VM_SHARED = 0x0010_0000;
/** Lock word of the exclusive section (0 free, 1 held); held while every other vCPU is parked. */
export const VM_EXCLUSIVE_LOCK = VM_SHARED + 0x00;
/** How many vCPUs are inside `run` right now. */
export const VM_RUNNING = VM_SHARED + 0x04;
/** How many vCPUs exist. */
export const VM_VCPUS = VM_SHARED + 0x08;
/** Counts releases of the exclusive section; parked vCPUs wait on it. */
export const VM_EXCLUSIVE_EPOCH = VM_SHARED + 0x0c;
/** 1: address line 20 passes; 0: masked (A20 gate). */
export const VM_A20 = VM_SHARED + 0x10;
export const VM_IOAPIC = VM_SHARED + 0x1000;
/** What CPUID answers: u32 count, u32 padding, then entries of 24 bytes (see state/cpuid.ts). */
export const VM_CPUID = VM_SHARED + 0x2000;

// --- physical map ------------------------------------------------------------------------------

/**
 * One u32 a guest-physical page: bits 31..12 the page's place in this memory, bits 11..0 flags. A page
 * with neither PHYS_READ nor PHYS_WRITE is MMIO or nothing: the machine's bus answers.
 */
export const PHYS_MAP = 0x0020_0000;
/** 5 GiB of guest-physical space; beyond it nothing but the bus answers. */
export const PHYS_PAGES = 0x14_0000;
/** Reads and fetches come from memory. */
export const PHYS_READ = 1;
/** Writes go to memory; a page with PHYS_READ only is ROM: its writes go to the bus. */
export const PHYS_WRITE = 2;
/** The slot logs dirty pages. */
export const PHYS_LOG = 4;
/** Written since the log was last read (set with PHYS_LOG only). */
export const PHYS_DIRTY = 8;
/** The local APIC's page: answered inside the engine. */
export const PHYS_APIC = 16;

// --- code pages --------------------------------------------------------------------------------

/**
 * 16 bytes for each page of this memory, indexed by (place >> 12):
 *   +0 u32 generation: goes up when decoded bytes of the page are overwritten
 *   +4 u32 not zero: a TLB may hold a write tag of the page
 *   +8 u64 lines: bit n set when a decoded instruction overlaps bytes [64n, 64n+63]
 * A block is valid while its generation equals the page's. A page with lines set is never writable
 * through a TLB's fast path.
 */
export const CODE_PAGES = 0x0080_0000;
export const CODE_PAGE_SIZE = 16;

// --- vCPU areas --------------------------------------------------------------------------------

export const VCPU_AREA = 0x0200_0000;
export const VCPU_STRIDE = 0x0100_0000;
export const MAX_VCPUS = 8;

// Offsets in a vCPU's area from here on. Names of registers are the manual's.

/** Sixteen u64: RAX RCX RDX RBX RSP RBP RSI RDI R8..R15. */
export const GPR = 0x000;
/** Always 0: what an absent base or index register reads. */
export const ZERO = 0x080;
/** RIP of an instruction is IP_BASE + the offset its record holds. */
export const IP_BASE = 0x088;
/** RIP: of the next instruction between instructions, of the current one in calls to the runtime. */
export const RIP = 0x090;
/** RIP after the current instruction, in calls to the runtime. */
export const NEXT_RIP = 0x098;
/**
 * Lazy arithmetic flags, after Bochs's form: no branches for any operand size.
 *   FLAG_RES i64: result, sign-extended. ZF = (res == 0).
 *   FLAG_AUX i32: bit 31 CF; bit 30 CF^OF; bit 3 AF; bits 15..8 xor into the result's low byte before
 *   parity is taken (PF = even parity); bit 0 xor into the sign of the result (SF).
 */
export const FLAG_RES = 0x0a0;
export const FLAG_AUX = 0x0a8;
/** RFLAGS without CF PF AF ZF SF OF (those bits are 0 here); bit 1 is always 1. */
export const EFLAGS = 0x0ac;
/** Address of the TLB table in use (see TLB). */
export const TLB_BASE = 0x0b0;
export const CPL = 0x0b4;
/** Set by other threads, atomically: ATT_* bits. */
export const ATTENTION = 0x0b8;
/** Set by this vCPU's own code: EVENT_* bits. Adjacent to ATTENTION: one 64-bit load tests both. */
export const EVENT = 0x0bc;
/** Instructions retired, u64; and the count at which `run` returns, u64. */
export const ICOUNT = 0x0c0;
export const ICOUNT_LIMIT = 0x0c8;
/** What blocks are decoded for: 0 = 16-bit, 1 = 32-bit, 2 = 64-bit code segment. */
export const CODE_MODE = 0x0d0;
/** Segment of implicit stack accesses: SEGMENTS + SS * 32, or FLAT_SS in 64-bit code, u32. */
export const STACK_SEGMENT = 0x0d4;
/** Mask of the stack pointer: 0xFFFF, 0xFFFFFFFF or all ones, u64. */
export const SP_MASK = 0x0d8;
/** Base added to RIP for fetches: CS.base, or 0 in 64-bit code, u64. */
export const CODE_BASE = 0x0e0;
/** Mask of linear addresses: 0xFFFFFFFF outside 64-bit code, all ones in it, u64. */
export const LINEAR_MASK = 0x4a8;
/** Address of the record being executed, set before calls to the runtime, u32 (0: none). */
export const BLOCK_REC = 0x4a0;
/**
 * What code is translated for: CODE_MODE, and KEY_* bits of what translated code relies on, u32. Code is
 * translated only where KEY_CODE is set.
 */
export const CODE_KEY = 0x4b0;
/** CS has no base and no limit. */
export const KEY_CODE = 4;
/** The stack pointer has 32 bits (in 64-bit code: 64). */
export const KEY_STACK = 8;
/** Bit KEY_FLAT << n: segment n has neither base nor checks. */
export const KEY_FLAT = 16;
/**
 * Bits 1..0 are CPL; the rest goes up when code that was found at a linear address may not be there any
 * more: the mapping of linear addresses, CODE_KEY or decoded instructions changed. u32.
 */
export const CODE_EPOCH = 0x4b4;
/** 1: the next block is for the interpreter, u32: a region left an instruction to it. */
export const JIT_SKIP = 0x4b8;
/** Calls of the guest that are calls of `run` now, u32. */
export const JIT_DEPTH = 0x4bc;
/** Statistics, u64: regions entered by `run`; instructions run in regions. */
export const JIT_ENTRIES = 0x4c0;
export const JIT_RETIRED = 0x4c8;
/** With `--trace jit`: exits of regions by reason, four u64 (see jit/traced-region.ts). */
export const JIT_EXITS = 0x4e0;
/** How often a block is run before it is translated, u32; 0: never. */
export const JIT_THRESHOLD = 0x4d8;
/** Linear page the last fetch came from (bits 63..12; -1: none), u64, and place - linear, i32. */
export const CODE_TAG = 0x0e8;
export const CODE_ADDEND = 0x0f0;
/** 0, or the exception a SSE instruction raises now: 6 (#UD: EM or no OSFXSR) or 7 (#NM: TS). */
export const SSE_TRAP = 0x0f4;
/** 0, or the exception an x87 instruction (7: TS or EM), an MMX one (6: EM, 7: TS) raises now. */
export const X87_TRAP = 0x0f8;
export const MMX_TRAP = 0x0fc;

/**
 * Segment registers ES CS SS DS FS GS LDTR TR, then two that 64-bit code uses: FLAT (for ES CS DS)
 * and FLAT_SS, both base 0 and unchecked. 32 bytes each:
 *   +0 u16 selector   +4 u32 attributes: descriptor bits 8..23 in bits 0..15 (type, S, DPL, P, AVL, L, D/B, G)
 *   and bit 16 = unusable (null)   +8 u32 limit in bytes   +12 u32 non-zero: accesses need a check
 *   +16 u64 base
 */
export const SEGMENTS = 0x100;
export const SEGMENT_SIZE = 32;
export const SEG_SELECTOR = 0;
export const SEG_ATTRIBUTES = 4;
export const SEG_LIMIT = 8;
export const SEG_CHECK = 12;
export const SEG_BASE = 16;
export const ES = 0;
export const CS = 1;
export const SS = 2;
export const DS = 3;
export const FS = 4;
export const GS = 5;
export const LDTR = 6;
export const TR = 7;
export const FLAT = 8;
export const FLAT_SS = 9;

/** GDTR and IDTR: +0 u64 base, +8 u32 limit. */
export const GDTR = 0x240;
export const IDTR = 0x250;

export const CR0 = 0x260;
export const CR2 = 0x268;
export const CR3 = 0x270;
export const CR4 = 0x278;
export const CR8 = 0x280;
export const EFER = 0x288;
export const XCR0 = 0x290;
/** DR0-DR3, DR6 at +0x30, DR7 at +0x38: eight u64. */
export const DR = 0x298;

// Model-specific registers, u64 each.
export const MSR_STAR = 0x2e0;
export const MSR_LSTAR = 0x2e8;
export const MSR_CSTAR = 0x2f0;
export const MSR_FMASK = 0x2f8;
export const MSR_KERNEL_GS_BASE = 0x300;
export const MSR_SYSENTER_CS = 0x308;
export const MSR_SYSENTER_ESP = 0x310;
export const MSR_SYSENTER_EIP = 0x318;
export const MSR_PAT = 0x320;
/** Added to the clock's TSC (IA32_TSC writes and IA32_TSC_ADJUST). */
export const MSR_TSC_OFFSET = 0x328;
export const MSR_TSC_ADJUST = 0x330;
export const MSR_TSC_AUX = 0x338;
export const MSR_APIC_BASE = 0x340;
export const MSR_MISC_ENABLE = 0x348;
export const MSR_MTRR_DEF_TYPE = 0x350;
/** Eleven fixed-range MTRRs (64K, 16K x2, 4K x8), then eight pairs PHYSBASE, PHYSMASK. */
export const MSR_MTRR_FIXED = 0x358;
export const MSR_MTRR_VAR = 0x3b0;
export const MSR_MCG_STATUS = 0x430;
export const MSR_XSS = 0x438;
export const MSR_SPEC_CTRL = 0x440;
export const MSR_FEATURE_CONTROL = 0x448;
export const MSR_SMBASE = 0x450;
export const MSR_DEBUGCTL = 0x458;

/** The exception waiting for delivery: vector (-1: none), error code, has-error flag, kind (EXC_*). */
export const EXC_VECTOR = 0x460;
export const EXC_ERROR = 0x464;
export const EXC_HAS_ERROR = 0x468;
export const EXC_KIND = 0x46c;
/** Linear address of a #PF, u64: becomes CR2 at delivery. */
export const EXC_ADDRESS = 0x470;
/** Vector being delivered (-1: none), for double faults [SDM 3A 6.15 "Interrupt 8"]. */
export const DELIVERING = 0x478;
/** Bits of DR6 that a data or I/O breakpoint of the current instruction will set. */
export const DEBUG_HITS = 0x47c;
/** Why `run` came back: an EXIT_* number. */
export const EXIT_REASON = 0x480;
/** Activity: 0 running, 1 halted (HLT), 2 wait-for-SIPI, 3 shutdown, 4 MWAIT. */
export const ACTIVITY = 0x488;
/** NMI: bit 0 pending, bit 1 blocked until IRET. */
export const NMI_STATE = 0x48c;
export const VCPU_INDEX = 0x490;
/** Vector of the start-up IPI that ATT_SIPI tells of. */
export const SIPI_VECTOR = 0x494;
/** Address MONITOR armed, u64, -1: none. */
export const MONITOR_ADDRESS = 0x498;

/** Sixteen vector registers, 32 bytes apart (the upper half is for YMM). */
export const XMM = 0x500;
export const XMM_SIZE = 32;
/** Eight x87 physical registers R0..R7, 16 bytes apart: u64 significand, u16 sign and exponent. */
export const X87 = 0x700;
export const X87_SIZE = 16;
export const X87_CONTROL = 0x780;
/** Status word with TOP in bits 13..11, u16. */
export const X87_STATUS = 0x782;
/** One bit a physical register: 1 = not empty (FXSAVE's abridged tag), u8. */
export const X87_TAG = 0x784;
export const X87_OPCODE = 0x786;
export const X87_IP = 0x788;
export const X87_DP = 0x790;
export const X87_CS = 0x798;
export const X87_DS = 0x79a;
export const MXCSR = 0x79c;
/**
 * 1: SSE arithmetic may use the host's, which gives the same bits where operands are not denormal and the
 * result is normal: round to nearest, all exceptions masked, PE set already, DAZ and FTZ off. Kept by the runtime's set_mxcsr.
 */
export const SSE_FAST = 0x7a0;

/**
 * 64 bytes where an access that crosses pages, hits MMIO, ROM or a watched page is assembled. A probe for
 * writing that returns CPU + BOUNCE must be followed by a commit.
 */
export const BOUNCE = 0x7c0;
/** What the pending commit writes: linear address u64, size u32, first and second part's place. */
export const BOUNCE_LINEAR = 0x800;
export const BOUNCE_BYTES = 0x808;
export const BOUNCE_PHYS1 = 0x810;
export const BOUNCE_PHYS2 = 0x818;
/** 128 bytes for semantics that pass structures to the runtime (vector operands, XSAVE headers). */
export const OPERANDS = 0x840;
/** The runtime's own per-vCPU words (page-walk caches, PDPTEs, exclusive-section state, ...). */
export const RUNTIME_PRIVATE = 0x900;
export const RUNTIME_PRIVATE_END = 0x1000;

/**
 * Which TLB entries are in use, so that flushes are cheap: a bit an entry, 16 u64 a table; then the
 * runtime's filter of large pages in the TLB (17 u64).
 */
export const TLB_USED = 0x1000;

/** Local APIC registers as 1024 words. */
export const LAPIC = 0x8000;

/**
 * TLB: three tables (0 user, 1 supervisor with SMAP in force, 2 supervisor that may touch user pages) of
 * TLB_ENTRIES entries, 32 bytes each:
 *   +0 u64 read tag   +8 u64 write tag   +16 u64 fetch tag: linear page, bits 63..12, or -1
 *   +24 i32 addend: place = low half of the linear address + addend   +28 u32 flags (TLBF_*)
 * A lookup of n bytes compares the tag with (linear + n - 1) & ~0xFFF: crossing a page misses.
 */
export const TLB = 0x1_0000;
export const TLB_ENTRIES = 1024;
export const TLB_ENTRY_SIZE = 32;
export const TLB_TABLE_SIZE = TLB_ENTRIES * TLB_ENTRY_SIZE;
export const TLB_TABLES = 3;
/** A fourth that is always empty, in use while alignment is checked: every access asks the runtime. */
export const TLB_EMPTY = TLB + 3 * TLB_TABLE_SIZE;
export const TLB_READ = 0;
export const TLB_WRITE = 8;
export const TLB_FETCH = 16;
export const TLB_ADDEND = 24;
export const TLB_FLAGS = 28;
export const TLBF_GLOBAL = 1;

/** Counts runs, u32: what translated code stamps itself with when it is entered. */
export const JIT_CLOCK = 0x4dc;
/** When regions were last entered, by module: u32 each. */
export const JIT_STAMPS = 0x5_0000;
export const JIT_STAMPS_MAX = 0x4000;
/** Where indirect branches went: a hash table by their place (see interp/record.ts). */
export const JIT_TARGETS = 0x6_0000;
export const JIT_TARGETS_ENTRIES = 0x800;
/** Translated regions by RIP, as long as CODE_EPOCH stays the same (see jit/region-hash.ts). */
export const JIT_CACHE = 0x4_0000;
export const JIT_CACHE_ENTRIES = 0x1000;
/** Translated regions by place: a hash table (see jit/region-hash.ts). */
export const JIT_HASH = 0xc_0000;
export const JIT_HASH_ENTRIES = 0x4000;

/** Decoded blocks of the interpreter: a hash table, then records (see interp/record.ts). */
export const BLOCK_HASH = 0x10_0000;
export const BLOCK_HASH_ENTRIES = 0x1_0000;
export const BLOCK_ARENA = 0x20_0000;
export const BLOCK_ARENA_END = 0x100_0000;

// --- bits and numbers ----------------------------------------------------------------------------

/** ATTENTION: an interrupt may be waiting at the LAPIC or the 8259. */
export const ATT_INTERRUPT = 1;
export const ATT_NMI = 2;
/** The machine wants the vCPU out of `run` (EXIT_INTERRUPTED). */
export const ATT_PAUSE = 4;
/** Another vCPU wants the exclusive section: park. */
export const ATT_PARK = 8;
/** Drop the whole TLB (another vCPU or the machine changed the physical map). */
export const ATT_FLUSH = 16;
export const ATT_INIT = 32;
export const ATT_SIPI = 64;
/** Another vCPU overwrote decoded instructions: translated code looks again at what it runs. */
export const ATT_CODE = 128;

/** EVENT: EXC_VECTOR holds an exception to deliver. */
export const EVENT_EXCEPTION = 1;
/** Interrupts (and after mov ss also debug traps) wait for one more instruction. */
export const EVENT_SHADOW = 2;
/** TF or an execution breakpoint: one instruction at a time. */
export const EVENT_STEP = 4;
/** ACTIVITY is not running. */
export const EVENT_INACTIVE = 8;
/** A data breakpoint matched: DEBUG_HITS. */
export const EVENT_DEBUG = 32;
/** IF, TPR or NMI blocking changed so that a waiting interrupt may be taken now: look again. */
export const EVENT_RECHECK = 64;
/** mov ss / pop ss shadow: EVENT_SHADOW that also inhibits debug traps. */
export const EVENT_SHADOW_SS = 128;

/** EXC_KIND: how the event came, for pushed RIP, RF and error code's EXT bit. */
export const EXC_FAULT = 0;
export const EXC_TRAP = 1;
export const EXC_SOFTWARE = 2;
export const EXC_EXTERNAL = 3;

/** What `run` returns. */
export const EXIT_BUDGET = 1;
export const EXIT_HALT = 2;
export const EXIT_SHUTDOWN = 3;
export const EXIT_INTERRUPTED = 4;

/** Access kinds of a probe: what the page must allow. */
export const ACCESS_READ = 0;
export const ACCESS_WRITE = 1;
export const ACCESS_FETCH = 2;
