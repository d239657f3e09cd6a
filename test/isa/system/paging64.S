# 4-level paging: rights at each level, NX, 2 MiB and 1 GiB pages, reserved bits, SMEP, SMAP.
.include "monitor.inc"
.include "long-mode.inc"

.macro USER name, fl=2
CASE "\name", cs=UCS+3, ss=UDS+3, ds=UDS+3, fl=\fl, sp=USER_TOP+ALIAS, bias=ALIAS
.endm
.macro COMPAT name, fl=2
CASE "\name", cs=UCS32+3, ss=UDS+3, ds=UDS+3, fl=\fl, sp=USER_TOP+ALIAS, bias=ALIAS
  .code32
.endm
.macro SET_MSR index, low, high
  mov $\index, %ecx
  mov $\low, %eax
  mov $\high, %edx
  wrmsr
.endm
.macro RELOAD
  mov %cr3, %rax
  mov %rax, %cr3
.endm

IMAGE
  jmp begin
TABLES
begin:
LONG


.set BIG, 0x40000000
.set HIGH, 0x8000000000
.macro SET_CR4 bits
  mov %cr4, %rax
  or $\bits, %rax
  mov %rax, %cr4
.endm
.macro CLEAR_CR4 bits
  mov %cr4, %rax
  and $~(\bits), %rax
  mov %rax, %cr4
.endm
# Reads, writes and runs the address at both levels, then shows the entries on the way.
.macro ACCESS name, at
  RELOAD
CASE "\name read"
  mov $\at + 0x10, %rbx
  mov (%rbx), %ecx
END
CASE "\name write"
  mov $\at + 0x10, %rbx
  movl $1, (%rbx)
END
CASE "\name run"
  mov $\at, %rbx
  call *%rbx
END
USER "user \name read"
  mov $\at + 0x10, %rbx
  mov (%rbx), %ecx
END
USER "user \name write"
  mov $\at + 0x10, %rbx
  movl $1, (%rbx)
END
USER "user \name run"
  mov $\at, %rbx
  call *%rbx
END
.endm
# An entry, its two halves, for the accesses to an address; what it was comes back.
.macro WITH name, entry, low, high, at
  mov \entry, %rax
  mov %rax, 0xc100
  movl $\low, \entry
  movl $\high, \entry + 4
  ACCESS "\name", \at
  mov 0xc100, %rax
  mov %rax, \entry
  RELOAD
.endm
  # A ret at the start of each page of the tests: page n is at T + n * 0x1000.
  mov $PHYS, %edi
  mov $0x1000, %ecx
1: movl $0xc3, (%rdi)
  add $0x1000, %edi
  cmp $PHYS + 0x8000, %edi
  jb 1b
  movl $PHYS + 0x1007, PT + 8
  movl $PHYS + 0x2003, PT + 16
  movl $PHYS + 0x3005, PT + 24
  movl $PHYS + 0x4001, PT + 32

SAY "-- rights"
ACCESS "absent", T
ACCESS "rw user", T + 0x1000
ACCESS "rw sup", T + 0x2000
ACCESS "ro user", T + 0x3000
ACCESS "ro sup", T + 0x4000
WITH "pd forbids users", PD + 4*8, PT + 3, 0, T + 0x1000
WITH "pd forbids writes", PD + 4*8, PT + 5, 0, T + 0x1000
WITH "pd forbids execution", PD + 4*8, PT + 7, 0x80000000, T + 0x1000
WITH "pt forbids execution", PT + 8, PHYS + 0x1007, 0x80000000, T + 0x1000
WITH "pd is absent", PD + 4*8, PT + 6, 0, T + 0x1000
  movl $PDPT + 7, PML4 + 8
ACCESS "by the second pml4 entry", HIGH + T + 0x1000
WITH "pml4 forbids users", PML4 + 8, PDPT + 3, 0, HIGH + T + 0x1000
WITH "pml4 forbids writes", PML4 + 8, PDPT + 5, 0, HIGH + T + 0x1000
WITH "pml4 forbids execution", PML4 + 8, PDPT + 7, 0x80000000, HIGH + T + 0x1000
WITH "ps in the pml4", PML4 + 8, PDPT + 0x87, 0, HIGH + T + 0x1000
  movl $PD + 7, PDPT + 16
WITH "pdpt forbids users", PDPT + 16, PD + 3, 0, 2*BIG + T + 0x1000
WITH "pdpt forbids execution", PDPT + 16, PD + 7, 0x80000000, 2*BIG + T + 0x1000

SAY "-- large pages"
WITH "2m user", PD + 5*8, 0x87, 0, 0xa00000 + PHYS + 0x5000
WITH "2m sup ro", PD + 5*8, 0x81, 0, 0xa00000 + PHYS + 0x5000
WITH "2m nx", PD + 5*8, 0x87, 0x80000000, 0xa00000 + PHYS + 0x5000
WITH "2m reserved", PD + 5*8, 0x2087, 0, 0xa00000 + PHYS + 0x5000
WITH "2m pat", PD + 5*8, 0x1087, 0, 0xa00000 + PHYS + 0x5000
WITH "1g user", PDPT + 8, 0x87, 0, BIG + PHYS + 0x6000
WITH "1g ro", PDPT + 8, 0x85, 0, BIG + PHYS + 0x6000
WITH "1g nx", PDPT + 8, 0x87, 0x80000000, BIG + PHYS + 0x6000
WITH "1g reserved", PDPT + 8, 0x200087, 0, BIG + PHYS + 0x6000
WITH "address beyond the width", PT + 8, PHYS + 0x1007, 0x10000, T + 0x1000
WITH "free bits", PT + 8, PHYS + 0x1e07, 0x7ff00000, T + 0x1000

SAY "-- accessed and dirty"
.macro BITS_OF name, at, insn
  movl $PHYS + 0x1007, PT + 8
  movl $PT + 7, PD + 4*8
  movl $PD + 7, PDPT
  movl $PDPT + 7, PML4
  movl $0x87, PD + 5*8
  RELOAD
CASE "\name"
  mov $\at, %rbx
  \insn
  mov PT + 8, %eax
  mov PD + 4*8, %ecx
  mov PD + 5*8, %edx
  mov PDPT, %edi
  mov PML4, %esi
  and $0x60, %edi
  and $0x60, %esi
  test %esi, %esi
END
.endm
BITS_OF "bits after nothing", T + 0x1000, "nop"
BITS_OF "bits after read", T + 0x1000, "mov (%rbx), %eax"
BITS_OF "bits after write", T + 0x1000, "mov %eax, (%rbx)"
BITS_OF "bits after run", T + 0x1000, "movb $0xc3, PHYS + 0x1000; call *%rbx"
BITS_OF "bits after cmpxchg16b that fails", T + 0x1000, "cmpxchg16b (%rbx)"
BITS_OF "bits after 2m read", 0xa00000, "mov (%rbx), %eax"
BITS_OF "bits after 2m write", 0xa00000 + PHYS, "mov %eax, (%rbx)"
  movl $0, PD + 5*8

SAY "-- smep and smap"
  movb $0xc3, PHYS + 0x1000
SET_CR4 0x100000
ACCESS "smep rw user", T + 0x1000
ACCESS "smep rw sup", T + 0x2000
CLEAR_CR4 0x100000
SET_CR4 0x200000
ACCESS "smap rw user", T + 0x1000
ACCESS "smap rw sup", T + 0x2000
CASE "smap with ac", fl=0x40002
  mov T + 0x1000, %ecx
  movl $0x55, T + 0x1000
END
CASE "smap, fxsave", fl=2
  fxsave T + 0x1000
END
CASE "smap, string"
  mov $PHYS, %esi
  mov $T + 0x1000, %edi
  mov $4, %ecx
  rep movsb
END
CLEAR_CR4 0x200000

SAY "-- stacks of handlers"
  movb $3, idt + 14*16 + 4
  movq $T + 0x800, tss + 4
USER "gp on an absent stack"
  hlt
END
  movq $T + 0x5010, tss + 4
  movl $PHYS + 0x5003, PT + 40
  RELOAD
USER "gp across into a user page", 0x3002
  hlt
END
  movl $PHYS + 0x4001, PT + 32
  RELOAD
USER "gp across into a read-only page"
  hlt
END
  movq $MON_TOP, tss + 4
  movb $0, idt + 14*16 + 4

SAY "-- pcid"
  SET_CR4 0x20000
CASE "pages of two pcids"
  movl $PHYS + 0x2007, PT + 40
  movl $0x22222222, PHYS + 0x2020
  movl $0x33333333, PHYS + 0x3020
  mov $PML4 + 1, %eax
  mov %rax, %cr3
  mov T + 0x5020, %ecx
  movl $PHYS + 0x3007, PT + 40
  mov $PML4 + 2, %eax
  mov %rax, %cr3
  mov T + 0x5020, %edx
  mov $PML4 + 1, %eax
  mov %rax, %cr3
  mov T + 0x5020, %ebx
  mov $PML4, %eax
  mov %rax, %cr3
END
CASE "invpcid of one address"
  movl $PHYS + 0x2007, PT + 40
  mov $PML4 + 1, %eax
  mov %rax, %cr3
  mov T + 0x5020, %ecx
  movl $PHYS + 0x3007, PT + 40
  movq $1, 0xc000
  movq $T + 0x5000, 0xc008
  xor %eax, %eax
  invpcid 0xc000, %rax
  mov T + 0x5020, %edx
  mov $PML4, %eax
  mov %rax, %cr3
END
CASE "invpcid of all"
  movl $PHYS + 0x2007, PT + 40
  mov $PML4 + 1, %eax
  mov %rax, %cr3
  mov T + 0x5020, %ecx
  movl $PHYS + 0x3007, PT + 40
  mov $3, %eax
  invpcid 0xc000, %rax
  mov T + 0x5020, %edx
  mov $PML4, %eax
  mov %rax, %cr3
END
  CLEAR_CR4 0x20000
  FINISH

syscall_target:
  mov V_START, %eax
  add V_BIAS, %eax
  sub %rax, %rcx
  mov %rsp, %rdx
  mov $MON_TOP-0x100, %esp
  int $0x31
LONG_MONITOR
RESET_VECTOR
