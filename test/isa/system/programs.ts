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
  /** What stands before the colon. */
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
];
