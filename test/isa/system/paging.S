# Paging of 32-bit protected mode: 32-bit, PSE and PAE forms, rights, accessed and dirty bits, SMEP, SMAP.
.include "monitor.inc"
.include "protected-mode.inc"
# User segments start at 4 MiB, where low memory appears a second time, open to user code.
.set U_HIGH, 0x40

.set PD, 0x100000
.set PT0, 0x101000
.set PT1, 0x102000
.set PT2, 0x103000
.set PT3, 0x104000
.set PDPT, 0x106000
.set PAE_PD, 0x107000
.set PAE_PT0, 0x108000
.set PAE_PT1, 0x109000
.set PAE_PT2, 0x10a000
.set PD2, 0x10c000
.set PT4, 0x10d000
.set PHYS, 0x110000
# The pages that the tests use: page n leads to PHYS + n * 0x1000.
.set T, 0x800000
.set RO_SUP, T + 0x1000
.set RW_SUP, T + 0x2000
.set RO_USER, T + 0x3000
.set RW_USER, T + 0x4000
# The same pages through directory entries that forbid more.
.set UNDER_SUP, 0xc00000
.set UNDER_RO, 0x1000000
.set BIG, 0x1400000

.macro KERNEL name, fl=2
CASE "\name", fl=\fl
.endm
.macro USER name, fl=2
CASE "\name", cs=UCS+3, ss=UDS+3, ds=UDSFLAT+3, fl=\fl, sp=USER_TOP
.endm
.macro SET_CR4 bits
  mov %cr4, %eax
  or $\bits, %eax
  mov %eax, %cr4
.endm
.macro CLEAR_CR4 bits
  mov %cr4, %eax
  and $~(\bits), %eax
  mov %eax, %cr4
.endm
.macro WP on
  mov %cr0, %eax
  and $~0x10000, %eax
  .if \on
  or $0x10000, %eax
  .endif
  mov %eax, %cr0
.endm

# Reads, writes and runs one address at both levels. Code there is a ret.
.macro ACCESS tag, name, at
KERNEL "\tag \name read"
  mov \at + 0x10, %ecx
END
KERNEL "\tag \name write"
  movl $1, \at + 0x10
END
KERNEL "\tag \name run"
  mov $\at, %eax
  call *%eax
END
USER "\tag \name user read"
  mov \at + 0x10, %ecx
END
USER "\tag \name user write"
  movl $1, \at + 0x10
END
USER "\tag \name user run"
  mov $\at - 0x400000, %eax
  call *%eax
END
.endm
.macro ACCESSES tag
  ACCESS "\tag", "absent", T
  ACCESS "\tag", "ro_sup", RO_SUP
  ACCESS "\tag", "rw_sup", RW_SUP
  ACCESS "\tag", "ro_user", RO_USER
  ACCESS "\tag", "rw_user", RW_USER
  ACCESS "\tag", "under_sup", UNDER_SUP + 0x4000
  ACCESS "\tag", "under_ro", UNDER_RO + 0x4000
.endm

IMAGE
  jmp begin
TABLES
begin:
PROTECTED
  call make_tables
  mov $PD, %eax
  mov %eax, %cr3
  mov %cr0, %eax
  or $0x80000000, %eax
  mov %eax, %cr0

SAY "-- 32-bit paging"
ACCESSES "plain"
WP 1
ACCESSES "wp"

SAY "-- accessed and dirty"
.macro BITS_AFTER name, insn
  call make_tables
KERNEL "\name"
  mov $RW_SUP, %ebx
  \insn
  mov PT2 + 8, %ecx
  mov PD + 8, %edx
END
.endm
BITS_AFTER "bits after nothing", "nop"
BITS_AFTER "bits after read", "mov (%ebx), %eax"
BITS_AFTER "bits after write", "mov %eax, (%ebx)"
BITS_AFTER "bits after add", "addl $1, (%ebx)"
BITS_AFTER "bits after cmp", "cmpl $1, (%ebx)"
BITS_AFTER "bits after cmpxchg that fails", "cmpxchg %eax, (%ebx)"
BITS_AFTER "bits after cmpxchg8b that fails", "cmpxchg8b (%ebx)"
BITS_AFTER "bits after run", "movb $0xc3, PHYS + 0x2000; call *%ebx"
BITS_AFTER "bits after bt", "btl $1, (%ebx)"
BITS_AFTER "bits after bts", "btsl $1, (%ebx)"
BITS_AFTER "bits after verr of a selector there", "mov %ebx, %eax"
BITS_AFTER "bits after read and write", "mov (%ebx), %eax; mov %eax, (%ebx)"
BITS_AFTER "bits after prefetch", "nop"
  call make_tables
KERNEL "bits of a refused write"
  mov $RO_USER, %ebx
  mov %eax, (%ebx)
END
KERNEL "bits of it"
  mov PT2 + 12, %eax
  and $0x40, %eax
END

SAY "-- faults that commit nothing"
  call make_tables
KERNEL "write across to a read-only page"
  movl $0x55555555, RW_SUP + 0xffc
  mov $0xaaaaaaaa, %eax
  mov %eax, RW_SUP + 0xffe
END
KERNEL "what is there"
  mov RW_SUP + 0xffc, %eax
END
KERNEL "read across to an absent page"
  movl $0, PT2 + 12
  invlpg RO_USER
  mov RW_SUP + 0xffe, %eax
END
KERNEL "rep movsb into an absent page"
  mov $PHYS, %esi
  mov $RW_SUP + 0xff8, %edi
  mov $0x20, %ecx
  rep movsb
END
KERNEL "rep movsl across into an absent page"
  mov $PHYS, %esi
  mov $RW_SUP + 0xff6, %edi
  mov $0x20, %ecx
  rep movsl
END
KERNEL "rep stosl backwards out of absent"
  std
  mov $RW_SUP + 4, %edi
  mov $0x20, %ecx
  movl $0, PT2 + 4
  invlpg RO_SUP
  rep stosl
END
KERNEL "rep lodsb"
  mov $RW_SUP + 0xffd, %esi
  mov $8, %ecx
  rep lodsb
END
KERNEL "repe cmpsb"
  mov $RW_SUP + 0xffc, %esi
  mov $RW_SUP + 0xff0, %edi
  movl $0x11111111, RW_SUP + 0xffc
  movl $0x11111111, RW_SUP + 0xff0
  mov $0x10, %ecx
  repe cmpsb
END
KERNEL "repne scasb"
  mov $RW_SUP + 0xff0, %edi
  mov $0x77, %al
  mov $0x40, %ecx
  repne scasb
END
KERNEL "movs, the source first"
  mov $T, %esi
  mov $RO_SUP, %edi
  movsl
END
.macro ON_ABSENT name, insn
KERNEL "absent, \name"
  mov $T, %ebx
  \insn
END
.endm
ON_ABSENT "call through memory", "call *(%ebx)"
ON_ABSENT "pop to memory", "popl (%ebx)"
ON_ABSENT "push of memory", "pushl (%ebx)"
ON_ABSENT "xchg", "xchg %eax, (%ebx)"
ON_ABSENT "inc", "incl (%ebx)"
ON_ABSENT "setz", "setz (%ebx)"
ON_ABSENT "lgdt", "lgdt (%ebx)"
ON_ABSENT "sgdt", "sgdt (%ebx)"
ON_ABSENT "fstp", "fldz; fstps (%ebx)"
ON_ABSENT "les", "les (%ebx), %eax"
ON_ABSENT "lcall", "lcall *(%ebx)"
ON_ABSENT "bound", "bound %eax, (%ebx)"
ON_ABSENT "div", "xor %edx, %edx; divl (%ebx)"
ON_ABSENT "cmpxchg", "cmpxchg %ecx, (%ebx)"
ON_ABSENT "cmpxchg8b", "cmpxchg8b (%ebx)"
ON_ABSENT "smsw", "smsw (%ebx)"
ON_ABSENT "mov from segment", "mov %ds, (%ebx)"
ON_ABSENT "mov to segment", "mov (%ebx), %es"
ON_ABSENT "invlpg is fine", "invlpg (%ebx)"
ON_ABSENT "clflush", "clflush (%ebx)"
ON_ABSENT "prefetch is fine", "prefetchnta (%ebx)"
ON_ABSENT "verr", "verr (%ebx)"
ON_ABSENT "lar", "lar (%ebx), %eax"
ON_ABSENT "xadd", "xadd %eax, (%ebx)"
ON_ABSENT "movbe", "movbe (%ebx), %eax"
ON_ABSENT "bts beyond", "mov $0x8007, %ecx; mov $RW_SUP, %ebx; bts %ecx, (%ebx)"

# A user stack that runs into read-only or absent pages.
.macro USTACK name, sp, insn
  call make_tables
CASE "stack, \name", cs=UCS+3, ss=UDSFLAT+3, ds=UDSFLAT+3, sp=\sp
  \insn
END
.endm
USTACK "push", RW_USER, "push %eax"
USTACK "push half way", RW_USER + 2, "push %eax"
USTACK "pushal half way", RW_USER + 16, "pushal"
USTACK "popal half way", RW_USER + 0xff0, "popal"
USTACK "enter", RW_USER + 4, "enter $8, $0"
USTACK "enter touches its last byte", RW_USER + 8, "enter $8, $0"
USTACK "enter 2", RW_USER + 8, "mov %esp, %ebp; enter $0, $2"
USTACK "call", RW_USER, "call *%eax"
USTACK "call through memory", RW_USER, "call *T"
USTACK "lret half way", RW_USER + 0xffc, "lret"
USTACK "iret half way", RW_USER + 0xff8, "iret"
USTACK "leave", RW_USER + 0x100, "mov $RW_USER + 0xffe, %ebp; leave"
USTACK "pop to memory there", RW_USER + 0x100, "popl RO_USER"
USTACK "lcall", RW_USER + 4, "lcall $UCS+3, $0"
USTACK "call gate copies from an absent page", RW_USER + 0xffc, "lcall $CALL32_3, $0"
USTACK "pushf", RW_USER, "pushf"
USTACK "ret", RW_USER + 0xffe, "ret"

SAY "-- system tables"
  call make_tables
  # An LDT in an absent page, and an IDT whose second half is in one.
  movw $T & 0xffff, gdt + ABSENT_LDT + 2
  movb $T >> 16, gdt + ABSENT_LDT + 4
  movb $0x82, gdt + ABSENT_LDT + 5
  mov $idt, %esi
  mov $T - 0x100, %edi
  mov $0x40, %ecx
  rep movsl
  movw $0x40 * 8 - 1, 0xc010
  movl $T - 0x100, 0xc012
KERNEL "ldt in an absent page"
  mov $ABSENT_LDT, %eax
  lldt %ax
  mov $0xc, %eax
  mov %eax, %fs
END
KERNEL "lar in an absent ldt"
  mov $ABSENT_LDT, %eax
  lldt %ax
  mov $0xc, %eax
  lar %eax, %ecx
END
KERNEL "ljmp by an absent ldt"
  mov $ABSENT_LDT, %eax
  lldt %ax
  ljmp $0x4, $0
END
  mov $ABSENT_LDT, %eax
  movl $PHYS + 1, PT2
  invlpg T
  movl $0x0000ffff, PHYS + 0x10
  movl $0x00cffa00, PHYS + 0x14
  movl $0x0000ffff, PHYS + 0x18
  movl $0x00cff200, PHYS + 0x1c
KERNEL "accessed bit in a read-only ldt"
  mov $ABSENT_LDT, %eax
  lldt %ax
  mov $0x18 + 7, %eax
  mov %eax, %fs
END
WP 0
KERNEL "accessed bit in a read-only ldt without wp"
  mov $ABSENT_LDT, %eax
  lldt %ax
  mov $0x18 + 7, %eax
  mov %eax, %fs
  mov T + 0x1c, %ecx
END
WP 1
  movl $0, PT2
  invlpg T
  lidtl 0xc010
KERNEL "int through an absent idt page"
  int $0x20
END
  lidtl idtr
  mov $USER_TOP, %eax
USER "user int through an absent idt page"
  int $0x3
END

SAY "-- smep and smap"
  call make_tables
SET_CR4 0x100000
ACCESS "smep", "ro_user", RO_USER
ACCESS "smep", "rw_user", RW_USER
ACCESS "smep", "ro_sup", RO_SUP
CLEAR_CR4 0x100000
SET_CR4 0x200000
ACCESS "smap", "ro_user", RO_USER
ACCESS "smap", "rw_user", RW_USER
ACCESS "smap", "rw_sup", RW_SUP
KERNEL "smap with ac", fl=0x40002
  mov RW_USER, %ecx
  clac
  mov RW_USER, %ecx
END
KERNEL "stac"
  stac
  mov RW_USER, %ecx
END
USER "smap, user with ac 0"
  mov RW_USER, %ecx
END
USER "user stac"
  stac
END
USER "user clac"
  clac
END
WP 0
KERNEL "smap without wp, write"
  mov %ecx, RW_USER
END
KERNEL "smap without wp, write to read-only with ac", fl=0x40002
  mov %ecx, RO_USER
END
WP 1
CLEAR_CR4 0x200000
KERNEL "stac without smap"
  stac
  clac
END

SAY "-- invalidation"
  call make_tables
KERNEL "invlpg shows the new page"
  mov RW_SUP, %ecx
  movl $(PHYS + 0x5000) + 3, PT2 + 8
  movl $0x5a5a5a5a, PHYS + 0x5000
  invlpg RW_SUP + 0x123
  mov RW_SUP, %edx
END
KERNEL "cr3 shows the new page"
  movl $(PHYS + 0x6000) + 3, PT2 + 8
  movl $0x6a6a6a6a, PHYS + 0x6000
  mov %cr3, %eax
  mov %eax, %cr3
  mov RW_SUP, %edx
END
KERNEL "pge toggled drops global pages"
  mov %cr4, %eax
  or $0x80, %eax
  mov %eax, %cr4
  movl $(PHYS + 0x5000) + 0x103, PT2 + 8
  invlpg RW_SUP
  mov RW_SUP, %ecx
  movl $(PHYS + 0x6000) + 0x103, PT2 + 8
  xor $0x80, %eax
  mov %eax, %cr4
  mov RW_SUP, %edx
END
KERNEL "invlpg drops a global page"
  mov %cr4, %eax
  or $0x80, %eax
  mov %eax, %cr4
  mov RW_SUP, %ecx
  movl $(PHYS + 0x5000) + 0x103, PT2 + 8
  invlpg RW_SUP
  mov RW_SUP, %edx
  and $~0x80, %eax
  mov %eax, %cr4
END
KERNEL "rights may grow without invalidation"
  movl $(PHYS + 0x2000) + 1, PT2 + 8
  invlpg RW_SUP
  mov RW_SUP, %ecx
  movl $(PHYS + 0x2000) + 3, PT2 + 8
  movl $0x77, RW_SUP
  mov RW_SUP, %edx
END
KERNEL "present without invalidation"
  movl $(PHYS + 0x2000) + 3, PT2
  mov T, %edx
  movl $0, PT2
  invlpg T
END

SAY "-- double faults and tasks"
  call make_tables
  movb $0x85, idt + 8*8 + 5
  movw $TSS2, idt + 8*8 + 2
.macro DOUBLE name, esp0, insn
  movb $0x89, gdt + TSS2 + 5
  movl $PD, tss2 + 28
  movl $double_fault, tss2 + 32
  movl $0x2, tss2 + 36
  movl $0xc800, tss2 + 56
  movl $\esp0, tss + 4
USER "double, \name"
  \insn
END
  clts
  movl $MON_TOP, tss + 4
.endm
  movw $ABSENT_CODE, idt + 14*8 + 2
DOUBLE "pf and np", MON_TOP, "mov T, %ecx"
  movw $KCS, idt + 14*8 + 2
DOUBLE "pf and pf", RO_SUP, "mov RO_SUP, %ecx"
DOUBLE "pf and pf across", RW_SUP + 8, "mov RO_SUP, %ecx"
DOUBLE "gp and pf and pf", T + 0x800, "hlt"
DOUBLE "ud and pf and pf", T + 0x800, "ud2"
DOUBLE "int and pf and pf", T + 0x800, "int $0x31"
  movw $KCS, idt + 8*8 + 2
  movb $0x8e, idt + 8*8 + 5
  # A task with tables of its own: there T leads to another page.
  mov $PD, %esi
  mov $PD2, %edi
  mov $0x400, %ecx
  rep movsl
  mov $PT2, %esi
  mov $PT4, %edi
  mov $0x400, %ecx
  rep movsl
  movl $PT4 + 7, PD2 + 8
  movl $PHYS + 0x5003, PT4 + 8
  movl $0x55555555, PHYS + 0x5020
  movl $0x11111111, PHYS + 0x1020
  movl $PD, tss + 28
KERNEL "a task with tables of its own"
  movl $PD2, tss2 + 28
  movl $1f, tss2 + 32
  mov RO_SUP + 0x20, %eax
  mov %eax, 0xc200
  lcall $TSS2, $0
  mov RO_SUP + 0x20, %edx
  mov %cr3, %esi
  jmp 2f
1: mov RO_SUP + 0x20, %ecx
  mov %ecx, 0xc204
  mov %cr3, %ecx
  mov %ecx, 0xc208
  iret
2: mov 0xc200, %eax
  mov 0xc204, %ebx
  mov 0xc208, %ecx
END
  clts
  mov $PD, %eax
  mov %eax, %cr3
  movb $0x89, gdt + TSS2 + 5
KERNEL "a task with its tss in an absent page is refused before anything"
  movw $T & 0xffff, gdt + TSS2 + 2
  movb $T >> 16, gdt + TSS2 + 4
  ljmp $TSS2, $0
END
KERNEL "and we are still here"
  str %eax
  mov %cr0, %ecx
  and $8, %ecx
END

SAY "-- pse"
  call make_tables
KERNEL "ps without pse is a table"
  movl $PT2 + 0x87, PD + 5*4
  mov %cr3, %eax
  mov %eax, %cr3
  movl $0x31313131, PHYS + 0x4020
  mov BIG + 0x4020, %ecx
END
SET_CR4 0x10
.macro BIGS tag, entry
  movl $\entry, PD + 5*4
  mov %cr3, %eax
  mov %eax, %cr3
  ACCESS "\tag", "", BIG + PHYS + 0x4000
DUMP PD + 5*4, 1
.endm
BIGS "4m rw user", 0x87
BIGS "4m ro user", 0x85
BIGS "4m rw sup", 0x83
BIGS "4m ro sup", 0x81
BIGS "4m reserved bit 21", 0x200087
BIGS "4m pat bit", 0x1087
CLEAR_CR4 0x10
  movl $0, PD + 5*4

SAY "-- pae"
  mov $1f, %eax
  mov %cr0, %ecx
  and $0x7fffffff, %ecx
  mov %ecx, %cr0
1: call make_pae_tables
SET_CR4 0x20
  mov $PDPT, %eax
  mov %eax, %cr3
  mov %cr0, %ecx
  or $0x80000000, %ecx
  mov %ecx, %cr0
ACCESS "pae", "absent", T
ACCESS "pae", "ro_sup", RO_SUP
ACCESS "pae", "rw_user", RW_USER
  movl $0x80000000, PAE_PT2 + 4*8 + 4
  invlpg RW_USER
ACCESS "pae nx without nxe", "rw_user", RW_USER
  mov $0xc0000080, %ecx
  rdmsr
  or $0x800, %eax
  wrmsr
  invlpg RW_USER
ACCESS "pae nx", "rw_user", RW_USER
ACCESS "pae nxe", "absent", T
ACCESS "pae nxe", "ro_user", RO_USER
  movl $0, PAE_PT2 + 4*8 + 4
  invlpg RW_USER
ACCESS "pae nx at 2m", "nx", UNDER_SUP + 0x4000
ACCESS "pae 2m", "rw_user", UNDER_RO + PHYS + 0x4000
DUMP PAE_PD + 8*8, 2
  movl $0x2000e7, PAE_PD + 8*8
  movl $0x100, PAE_PD + 8*8 + 4
  mov %cr3, %eax
  mov %eax, %cr3
KERNEL "pae, address beyond the width is reserved"
  mov UNDER_RO, %ecx
END
  movl $0x2020e7, PAE_PD + 8*8
  movl $0, PAE_PD + 8*8 + 4
  mov %cr3, %eax
  mov %eax, %cr3
KERNEL "pae, bit 13 of a 2m page is reserved"
  mov UNDER_RO, %ecx
END
KERNEL "pae, an entry of the pdpt is loaded with cr3"
  movl $0, PDPT + 8
  mov $0x40000000, %ebx
  mov (%ebx), %ecx
END
KERNEL "pae, after cr3 it is gone"
  mov %cr3, %eax
  mov %eax, %cr3
  mov $0x40000000, %ebx
  mov (%ebx), %ecx
END
KERNEL "pae, reserved bits of a pdpt entry"
  movl $PAE_PD + 3, PDPT + 8
  mov %cr3, %eax
  mov %eax, %cr3
END
  movl $PAE_PD + 1, PDPT + 8
  mov %cr3, %eax
  mov %eax, %cr3
KERNEL "pae, cr3 has 32-byte tables"
  mov %cr3, %eax
  or $0x18, %eax
  mov %eax, %cr3
  mov %cr3, %ebx
  mov $PDPT, %ecx
  mov %ecx, %cr3
END
KERNEL "pae, bits after write"
  mov %eax, RW_SUP
  mov PAE_PT2 + 16, %ecx
  mov PAE_PD + 4*8, %edx
END
USER "user cr2 of a write across"
  movl $0, PAE_PT2
  mov %eax, RW_USER + 0xffe
END
  FINISH

sysenter_target:
task2: hlt
# The task of double faults: error code, CR2, and where the one that failed stood.
double_fault:
  pop %eax
  mov %cr2, %ecx
  mov tss + 32, %ebx
  sub V_START, %ebx
  mov tss + 56, %edx
  mov tss + 76, %esi
  int $0x31

# 32-bit tables.
make_tables:
  push %eax
  push %ecx
  push %edi
  mov $PT2, %edi
  mov $0x800, %ecx
  xor %eax, %eax
  rep stosl
  mov $PD + 20, %edi
  mov $1019, %ecx
  rep stosl
  movl $PT0 + 3, PD
  movl $PT1 + 7, PD + 4
  movl $PT2 + 7, PD + 8
  movl $PT2 + 3, PD + 12
  movl $PT2 + 5, PD + 16
  mov $3, %eax
  xor %ecx, %ecx
1: mov %eax, PT0(,%ecx,4)
  add $4, %eax
  mov %eax, PT1(,%ecx,4)
  add $0x1000 - 4, %eax
  inc %ecx
  cmp $1024, %ecx
  jb 1b
  movl $PHYS + 0x1001, PT2 + 4
  movl $PHYS + 0x2003, PT2 + 8
  movl $PHYS + 0x3005, PT2 + 12
  movl $PHYS + 0x4007, PT2 + 16
  call returns
  mov %cr0, %eax
  test %eax, %eax
  jns 1f
  mov %cr3, %eax
  mov %eax, %cr3
1: pop %edi
  pop %ecx
  pop %eax
  ret

# A ret at the start of each page of the tests.
returns:
  mov $PHYS, %edi
1: movl $0xc3, (%edi)
  movl $0, 0x10(%edi)
  add $0x1000, %edi
  cmp $PHYS + 0x8000, %edi
  jb 1b
  ret

make_pae_tables:
  mov $PDPT, %edi
  mov $0x1800, %ecx
  xor %eax, %eax
  rep stosl
  movl $PAE_PD + 1, PDPT
  movl $PAE_PD + 1, PDPT + 8
  # 0: 2 MiB pages for the program; 4 MiB: the same, for users.
  movl $0x83, PAE_PD
  movl $0x200083, PAE_PD + 8
  movl $0x87, PAE_PD + 16
  movl $0x200087, PAE_PD + 24
  movl $PAE_PT2 + 7, PAE_PD + 32
  movl $PAE_PT2 + 7, PAE_PD + 6*8
  movl $0x80000000, PAE_PD + 6*8 + 4
  movl $0x87, PAE_PD + 8*8
  movl $PHYS + 0x1001, PAE_PT2 + 8
  movl $PHYS + 0x2003, PAE_PT2 + 16
  movl $PHYS + 0x3005, PAE_PT2 + 24
  movl $PHYS + 0x4007, PAE_PT2 + 32
  jmp returns
PROTECTED_MONITOR
TSSES
RESET_VECTOR
