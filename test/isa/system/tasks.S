# Hardware task switches, task gates, and double faults that a task takes.
.include "monitor.inc"
.include "protected-mode.inc"
.set U_HIGH, 0

# 32-bit TSS fields.
.set T_EIP, 32
.set T_FLAGS, 36
.set T_ESP, 56
.set T_ES, 72
.set T_CS, 76
.set T_SS, 80
.set T_DS, 84
.set T_LDT, 96
.set T_TRAP, 100

.macro TASK name
  call fresh_tasks
CASE "\name"
.endm
.macro USERTASK name
  call fresh_tasks
CASE "\name", cs=UCS+3, ss=UDS+3, ds=UDS+3, sp=USER_TOP
.endm

IMAGE
  jmp begin
TABLES
begin:
PROTECTED

SAY "-- jmp and call"
TASK "jmp"
  movl $1f, tss2 + T_EIP
  ljmp $TSS2, $0
1:
END
DUMP tss + T_EIP + 4, 17
DUMP gdt + TSS_SEL + 4, 1
TASK "jmp, registers of the system"
  movl $1f, tss2 + T_EIP
  ljmp $TSS2, $0
1: str %eax
  sldt %ebx
  mov %cr0, %ecx
  mov gdt + TSS_SEL + 4, %edx
  mov gdt + TSS2 + 4, %esi
  movzwl tss2, %edi
END
TASK "call"
  movl $1f, tss2 + T_EIP
  lcall $TSS2, $0
  ud2
1: str %eax
  movzwl tss2, %ebx
  mov gdt + TSS_SEL + 4, %edx
  mov gdt + TSS2 + 4, %esi
END
TASK "call and iret"
  movl $1f, tss2 + T_EIP
  lcall $TSS2, $0
  str %ecx
  mov gdt + TSS2 + 4, %esi
  jmp 2f
1: mov $0x77, %eax
  iret
2: nop
END
DUMP tss2 + T_EIP + 4, 9
TASK "call twice"
  movl $1f, tss2 + T_EIP
  lcall $TSS2, $0
  lcall $TSS2, $0
  mov tss2 + 40, %eax
  jmp 2f
1: inc %eax
  iret
  add $0x100, %eax
  iret
2:
END
TASK "call, jmp back, iret without nt"
  movl $1f, tss2 + T_EIP
  lcall $TSS2, $0
1: ljmp $TSS_SEL, $0
END
TASK "jmp there and back"
  movl $1f, tss2 + T_EIP
  ljmp $TSS2, $0
  mov gdt + TSS2 + 4, %ebx
  jmp 2f
1: mov $5, %ecx
  ljmp $TSS_SEL, $0
2: str %eax
END
TASK "jmp to oneself"
  ljmp $TSS_SEL, $0
END
TASK "jmp to a busy task"
  ljmp $BUSY, $0
END
TASK "jmp to an absent task"
  ljmp $ABSENT_TSS, $0
END
TASK "jmp to a short task"
  ljmp $SHORT_TSS, $0
END
TASK "call of a short task"
  lcall $SHORT_TSS, $0
END
TASK "jmp by a gate"
  movl $1f, tss2 + T_EIP
  ljmp $TASK_GATE, $0
1:
END
TASK "call by a gate"
  movl $1f, tss2 + T_EIP
  lcall $TASK_GATE, $0
1:
END
TASK "gate to a busy task"
  lcall $TASK_GATE_BUSY, $0
END
TASK "absent task gate"
  lcall $TASK_GATE_ABSENT, $0
END
USERTASK "user jmp to a task of level 0"
  ljmp $TSS2, $0
END
USERTASK "user call by a gate"
  movl $1f, tss2 + T_EIP
  lcall $TASK_GATE, $0
1: movzwl tss2, %eax
END
USERTASK "user call by a gate and back"
  movl $1f, tss2 + T_EIP
  lcall $TASK_GATE, $0
  nop
  jmp 2f
1: iret
2:
END
TASK "task at level 3"
  movl $1f, tss2 + T_EIP
  movw $UCS+3, tss2 + T_CS
  movw $UDS+3, tss2 + T_SS
  movw $UDS+3, tss2 + T_DS
  movw $0, tss2 + T_ES
  movw $0, tss2 + T_DS + 4
  movw $0, tss2 + T_DS + 8
  ljmp $TSS2, $0
1:
END
TASK "flags of a task"
  movl $1f, tss2 + T_EIP
  movl $0x00247ed7, tss2 + T_FLAGS
  ljmp $TSS2, $0
1:
END
TASK "local breakpoints go, global ones stay"
  mov $0x403ff, %eax
  and $0x4ff, %eax
  mov %eax, %dr7
  movl $1f, tss2 + T_EIP
  mov $0xfff0, %ecx
  mov %ecx, %dr0
  mov %ecx, %dr1
  mov %ecx, %dr2
  mov %ecx, %dr3
  ljmp $TSS2, $0
1: mov %dr7, %eax
  mov $0x400, %ebx
  mov %ebx, %dr7
END

SAY "-- interrupts"
TASK "int by a task gate"
  movl $1f, tss2 + T_EIP
  int $0x33
  nop
  jmp 2f
1: movzwl tss2, %eax
  pushfl
  pop %ebx
  iret
2: mov tss2 + 40, %eax
  mov tss2 + 52, %ebx
END
USERTASK "user int by a task gate"
  movl $1f, tss2 + T_EIP
  int $0x33
  jmp 2f
1: mov $0x12, %eax
  iret
2: mov %cs, %eax
END
.macro GATE_OF vector
  movw $TSS2, idt + \vector*8 + 2
  movb $0x85, idt + \vector*8 + 5
.endm
.macro NO_GATE_OF vector
  movw $KCS, idt + \vector*8 + 2
  movb $0x8e, idt + \vector*8 + 5
.endm
  GATE_OF 13
TASK "error code on the stack of a task"
  movl $1f, tss2 + T_EIP
  mov $0x1ff8, %ecx
  mov %ecx, %fs
1: mov (%esp), %eax
  mov tss + T_EIP, %ebx
  sub V_START, %ebx
  movzwl tss2, %ecx
END
USERTASK "error code of level 3"
  movl $1f, tss2 + T_EIP
  hlt
1: mov (%esp), %eax
  mov tss + T_ESP, %ebx
END
  NO_GATE_OF 13
  GATE_OF 6
TASK "no error code on the stack of a task"
  movl $1f, tss2 + T_EIP
  ud2
  nop
  jmp 2f
1: addl $2, tss + T_EIP
  iret
2: nop
END
  NO_GATE_OF 6

SAY "-- 16-bit tasks"
TASK "jmp 16"
  movw $1f, tss16 + 14
  ljmp $TSS16, $0
  # The upper halves are undefined.
1:
  .irp r, ax, cx, dx, bx, sp, bp, si, di
  movzwl %\r, %e\r
  .endr
END
TASK "call 16 and back"
  movw $1f, tss16 + 14
  lcall $TSS16, $0
  jmp 2f
1: movzwl tss16, %eax
  movw %ax, 0xc000
  iret
2: movzwl 0xc000, %eax
  movzwl tss16 + 18, %ebx
END
DUMP tss16, 11
TASK "from 16 to 32"
  movw $1f, tss16 + 14
  movl $2f, tss2 + T_EIP
  ljmp $TSS16, $0
1: lcall $TSS2, $0
2: movzwl tss2, %eax
END
DUMP tss16 + 12, 8

SAY "-- double faults"
  GATE_OF 8
.macro DOUBLE name, insn
TASK "double, \name"
  movl $1f, tss2 + T_EIP
  \insn
1: mov (%esp), %eax
  mov tss + T_EIP, %ebx
  sub V_START, %ebx
END
.endm
  movb $0x0e, idt + 13*8 + 5
DOUBLE "gp and np", "mov $0x1ff8, %ecx; mov %ecx, %fs"
DOUBLE "np of gp by int", "int $0x38"
  movb $0x8e, idt + 13*8 + 5
  movw $KDS, idt + 0*8 + 2
DOUBLE "de and gp", "xor %ecx, %ecx; div %ecx"
  movw $KCS, idt + 0*8 + 2
  movb $0x0e, idt + 6*8 + 5
TASK "ud and np are served one after the other"
  ud2
END
  movb $0x8e, idt + 6*8 + 5
  movb $0x0e, idt + 11*8 + 5
DOUBLE "np and np", "mov $ABSENT, %ecx; mov %ecx, %fs"
  movb $0x8e, idt + 11*8 + 5
DOUBLE "stack of the handler", "mov $SMALL, %ecx; mov %ecx, %ss; mov $4, %esp; ud2"
  NO_GATE_OF 8
  FINISH

fresh_tasks:
  clts
  mov $tss2_first, %esi
  mov $tss2, %edi
  mov $0x68, %ecx
  rep movsb
  mov $tss16_first, %esi
  mov $tss16, %edi
  mov $0x2c, %ecx
  rep movsb
  movl $0, tss + T_FLAGS
  ret

task2: int $0x31

.align 4
tss2_first:
  .long 0, MON_TOP, KDS, 0, 0, 0, 0, 0, task2, 0x2
  .long 0x20000000, 0x20000001, 0x20000002, 0x20000003, 0xc800, 0x20000005, 0x20000006, 0x20000007
  .long KDS, KCS, KDS, KDS, KDS, KDS, LDT_SEL, 0x680000
tss16_first:
  .word 0, MON_TOP, KDS, 0, 0, 0, 0, task2, 2
  .word 0x2000, 0x2001, 0x2002, 0x2003, 0xc800, 0x2005, 0x2006, 0x2007
  .word KDS, KCS, KDS, KDS, LDT_SEL
PROTECTED_MONITOR
TSSES
RESET_VECTOR
