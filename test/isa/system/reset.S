# What ends in a triple fault, one a life: the board resets the CPU, memory stays, and the next follows.
.include "monitor.inc"
.include "protected-mode.inc"
.set U_HIGH, 0
.set LIVES, V_CHAIN
.set MAGIC, V_CHAIN_MAGIC

.macro LIFE number, name
  cmpl $\number, LIVES
  jne 9f
  movl $\number + 1, LIVES
SAY "\name"
.endm

IMAGE
  # Power-on state: RAM holds no magic yet.
  cmpl $0x600df00d, MAGIC
  je again
  movl $0x600df00d, MAGIC
  movl $0, LIVES
again:
  jmp begin
TABLES
begin:
PROTECTED

LIFE 0, "triple fault by an empty idt"
  movw $0, 0xc000
  movl $0, 0xc002
  lidt 0xc000
  int3
9:
LIFE 1, "triple fault by a bad stack"
  mov $SMALL, %eax
  mov %eax, %ss
  mov $2, %esp
  push %eax
9:
LIFE 2, "triple fault by an absent handler of the double fault"
  movb $0x0e, idt + 8*8 + 5
  movb $0x0e, idt + 13*8 + 5
  mov $0x1ff8, %eax
  mov %eax, %ds
9:
LIFE 3, "triple fault in real mode by a short table"
  ljmp $KCS16, $1f
  .code16
1: mov %cr0, %eax
  and $~1, %eax
  mov %eax, %cr0
  ljmp $0, $1f
1: xor %ax, %ax
  mov %ax, %ds
  movw $3, 0xc000
  movl $0, 0xc002
  lidt 0xc000
  ud2
  .code32
9:
LIFE 4, "triple fault by paging without tables"
  mov $0x200000, %eax
  mov %eax, %cr3
  mov %cr0, %eax
  or $0x80000000, %eax
  mov %eax, %cr0
9:
LIFE 5, "triple fault of level 3 with a bad stack for level 0"
  movw $KCS, tss + 8
  mov $TSS_SEL, %eax
  ltr %ax
  push $UDS+3
  push $USER_TOP
  push $UCS+3
  push $1f
  lret
1: hlt
9:
LIFE 6, "state after the resets"
  movl $0, LIVES
CASE "control registers"
  mov %cr4, %eax
  mov %cr3, %ecx
  mov %cr2, %edx
  mov %cr0, %ebx
  and $0x7fffffff, %ebx
END
CASE "debug registers"
  mov %dr7, %eax
  mov %dr6, %ecx
END
9:
  FINISH
task2: hlt
PROTECTED_MONITOR
TSSES
RESET_VECTOR
