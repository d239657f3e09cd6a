/**
 * The programs of this folder, and where QEMU TCG's answer is not taken. Their transcripts in
 * fixtures/ are QEMU's line by line, except for the lines named here: those are Bochs's, or given.
 */
export interface SystemProgram {
  readonly name: string;
  /** False: QEMU leaves out the checks that this program is about, and runs wild. */
  readonly qemu: boolean;
  readonly exceptions: readonly Exception[];
}

interface Exception {
  /** What stands before the colon; a * at the end stands for all that begins so. */
  readonly lines: readonly string[];
  /** Where the manual decides. */
  readonly section: string;
  readonly why: string;
  /** The right answer, where Bochs is wrong too; by line. */
  readonly says?: Readonly<Record<string, string>>;
}

export const systemPrograms: readonly SystemProgram[] = [
  {
    name: 'real',
    qemu: true,
    exceptions: [
      { lines: ['int1'], section: 'SDM 2A INT n', why: 'QEMU 7.2 has no INT1 without KVM' },
      {
        lines: ['sgdt sidt'],
        section: 'SDM 2B LGDT',
        why: 'with 16-bit operands bits 31..24 of the base become 0; QEMU stores them',
      },
      {
        lines: ['wrmsr reserved bits'],
        section: 'SDM 2C WRMSR',
        why: 'reserved bits of IA32_EFER are #GP(0); QEMU ignores them',
      },
      {
        lines: ['other segments are as before'],
        section: 'SDM 3A 5.3',
        why: 'QEMU TCG does not check segment limits',
      },
    ],
  },
  {
    name: 'real-strict',
    qemu: false,
    exceptions: [
      {
        lines: ['rdmsr of nothing'],
        section: 'SDM 2B RDMSR',
        why: 'an MSR that is not there is #GP(0); Bochs reads 0',
        says: { 'rdmsr of nothing': '#d(0)@6 h=dffa cx=12345678' },
      },
    ],
  },
  {
    name: 'protected',
    qemu: true,
    exceptions: [
      {
        lines: ['user xsetbv', 'user mov ax to cr8 form'],
        section: 'SDM 3A table 6-2',
        why: 'an invalid opcode is #UD whatever the level; QEMU looks at the level first',
      },
      {
        lines: ['accessed bit of code by ljmp'],
        section: 'SDM 3A 3.4.5.1',
        why: 'loading a code segment sets its accessed bit; QEMU leaves CS out',
      },
      {
        lines: ['user gate to conf'],
        section: 'SDM 3A 5.8.4',
        why: 'a call gate to conforming code changes neither level nor stack; QEMU takes both',
      },
      {
        lines: ['gate beyond', 'user gate beyond'],
        section: 'SDM 2A CALL',
        why: 'the offset of a gate is checked against the limit; QEMU does not',
      },
      {
        lines: ['gate with inner ss DS1+1'],
        section: 'SDM 2A CALL',
        why: 'a stack segment that is not present is #SS(selector); QEMU raises #TS',
      },
      {
        lines: ['breakpoint and mov ss'],
        section: 'SDM 3A 6.8.3',
        why: 'a data breakpoint of mov ss is held back to the next instruction; QEMU delivers it',
      },
      {
        lines: ['dr6 and dr7 fixed bits'],
        section: 'SDM 3B 17.2.4',
        why: 'bits 15, 14 and 12 of DR7 are 0; QEMU keeps them',
      },
    ],
  },
  {
    name: 'protected-strict',
    qemu: false,
    exceptions: [
      {
        lines: ['general detect'],
        section: 'SDM 3B 17.3.1.1',
        why: 'RF is set in what a fault pushes, unless it is an instruction breakpoint; Bochs clears it',
        says: { 'general detect': '#1@10 h=dff4 ax=2400 fl=10002' },
      },
    ],
  },
  {
    name: 'paging',
    qemu: true,
    exceptions: [
      {
        lines: ['repe cmpsb', 'repne scasb'],
        section: 'SDM 2B REP',
        why: 'a fault in a repeated compare restores the flags; QEMU and Bochs leave the last ones',
        says: {
          'repe cmpsb': '#e(0)@23 h=dff4 cr2=803000 cx=c si=803000 di=802ff4',
          'repne scasb': '#e(0)@c h=dff4 cr2=803000 ax=1a1a1a77 cx=30 di=803000',
        },
      },
      {
        lines: [
          'absent, xchg',
          'absent, inc',
          'absent, cmpxchg',
          'absent, cmpxchg8b',
          'absent, xadd',
          'absent, bts beyond',
        ],
        section: 'SDM 3A 4.7',
        why: 'a read-modify-write is a write from the start: W/R is set; QEMU reads first',
      },
      {
        lines: ['absent, clflush'],
        section: 'SDM 2A CLFLUSH',
        why: 'CLFLUSH faults as a load; QEMU does nothing',
      },
      {
        lines: ['stack, pushal half way'],
        section: 'SDM 2B PUSHA',
        why: 'the pushes go from the top down; QEMU starts below',
      },
      {
        lines: ['stack, enter', 'stack, enter touches its last byte'],
        section: 'SDM 2A ENTER',
        why: 'the new top of the stack has to be writable; QEMU does not look at it',
      },
      {
        lines: ['stack, lret half way', 'stack, iret half way', 'stack, lcall'],
        section: 'SDM 3A 4.6.1',
        why: 'these are accesses of the current level: U/S is set; QEMU makes them supervisor ones',
      },
      {
        lines: ['stack, call gate copies from an absent page'],
        section: 'SDM 3A 4.6.1',
        why: 'the old stack is read at the level of the caller: U/S is set',
      },
      {
        lines: ['accessed bit in a read-only ldt'],
        section: 'SDM 3A 3.4.5.1',
        why: 'the byte that holds the accessed bit is written; QEMU writes four',
      },
      {
        lines: [
          '4m reserved bit 21 *',
          'pae nx without nxe *',
          'pae, address beyond*',
          'pae, bit 13*',
        ],
        section: 'SDM 3A 4.7',
        why: 'a reserved bit is found in an entry that is present: P is set too; QEMU leaves it 0',
      },
      {
        lines: [
          'pae, an entry of the pdpt is loaded with cr3',
          'pae, reserved bits of a pdpt entry',
        ],
        section: 'SDM 3A 4.4.1',
        why: 'PDPTEs are loaded and checked by MOV to CR3; QEMU walks them each time',
      },
    ],
  },
  {
    name: 'tasks',
    qemu: true,
    exceptions: [
      {
        lines: ['ud and np are served one after the other'],
        section: 'SDM 3A 6.13',
        why: 'a fault while an exception is delivered has EXT set; QEMU clears it',
      },
      {
        lines: ['double, stack of the handler'],
        section: 'SDM 3A 5.3',
        why: 'QEMU TCG does not check segment limits',
      },
    ],
  },
  { name: 'tasks-strict', qemu: false, exceptions: [] },
  {
    name: 'v86',
    qemu: true,
    exceptions: [
      {
        lines: ['int1', 'int1, iopl 0'],
        section: 'SDM 2A INT n',
        why: 'QEMU 7.2 has no INT1 without KVM',
      },
    ],
  },
  { name: 'v86-strict', qemu: false, exceptions: [] },
  {
    name: 'long',
    qemu: true,
    exceptions: [
      {
        lines: [
          'absent gate',
          'task gate',
          'beyond the idt',
          'user int of level 0',
          'user absent gate',
          'compat into',
        ],
        section: 'SDM 3A 6.13',
        why: "the error code holds the gate's index, in bits 15..3; QEMU 7.2 doubles it",
      },
      {
        lines: ['compat push es'],
        section: 'SDM 2B PUSH',
        why: 'a 32-bit push of a segment writes two bytes on newer processors, four in QEMU',
      },
      {
        lines: ['compat null ds'],
        section: 'SDM 3A 5.4.1',
        why: 'a null segment is refused in compatibility mode; QEMU does not look',
      },
      {
        lines: ['user wrfsbase not canonical'],
        section: 'SDM 2D WRFSBASE',
        why: 'an address that is not canonical is #GP(0); QEMU takes it',
      },
      {
        lines: ['ljmp l and d', 'lcall l and d', 'lret l and d', 'iret l and d'],
        section: 'SDM 3A 5.2.1',
        why: 'L and D both set is reserved: #GP(selector); QEMU ignores D',
      },
      {
        lines: ['user gate call to conforming code'],
        section: 'SDM 2A CALL',
        why: "CS's RPL becomes the CPL; QEMU keeps that of the gate's selector",
      },
      {
        lines: ['look TSS16', 'look TASK_GATE', 'look TSS_UPPER', 'ltr 16'],
        section: 'SDM 2A LAR, LTR',
        why: 'types that do not exist in IA-32e mode, and upper halves with a type; QEMU takes them',
      },
      {
        lines: ['null ss with rpl 3 at level 0'],
        section: 'SDM 2B MOV',
        why: "a null SS's RPL must be the CPL; QEMU does not look",
      },
      {
        lines: ['sysret not canonical'],
        section: 'SDM 2B SYSRET',
        why: 'a target that is not canonical is #GP(0) before the level changes; QEMU faults after it',
      },
      {
        lines: ['sysenter', 'user sysexit'],
        section: 'SDM 2B SYSENTER',
        why: "QEMU's -cpu max is AMD's, which has no SYSENTER in 64-bit mode",
      },
    ],
  },
  { name: 'long-strict', qemu: false, exceptions: [] },
  {
    name: 'paging64',
    qemu: true,
    exceptions: [
      {
        lines: [
          'ps in the pml4 *',
          'user ps in the pml4 *',
          '2m reserved *',
          'user 2m reserved *',
          '1g reserved *',
          'user 1g reserved *',
          'address beyond the width *',
          'user address beyond the width *',
        ],
        section: 'SDM 3A 4.7',
        why: 'a reserved bit is found in an entry that is present: P is set too; QEMU leaves it 0',
      },
      {
        lines: ['smap, fxsave'],
        section: 'SDM 2A FXSAVE',
        why: 'processors look at the last byte of the area first, as the native oracle shows',
        says: { 'smap, fxsave': '#e(3)@0 h=dfd8 cr2=8011ff' },
      },
      {
        lines: ['invpcid of one address', 'invpcid of all'],
        section: 'SDM 2A INVPCID',
        why: 'QEMU 7.2 has no INVPCID without KVM',
      },
    ],
  },
  { name: 'reset', qemu: true, exceptions: [] },
  {
    name: 'interrupts',
    qemu: true,
    exceptions: [
      {
        lines: ['sti, pop ss'],
        section: 'SDM 3A 6.8.3',
        why: 'POP SS has a shadow of its own; QEMU ends both after it',
      },
      {
        lines: ['sti, int'],
        section: 'SDM 2B STI',
        why: 'the interrupt is taken where INT leads; QEMU runs one more instruction there',
      },
      {
        lines: ['absent gate, the error code says external', 'gate to data, external too'],
        section: 'SDM 3A 6.13',
        why: 'EXT is set for external events; QEMU clears it',
      },
    ],
  },
];
