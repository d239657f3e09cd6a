# Task switches to tasks that are not as they should be: Bochs and the manual decide.
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

TASK "debug trap of a task"
  movl $1f, tss2 + T_EIP
  movw $1, tss2 + T_TRAP
  ljmp $TSS2, $0
1: nop
END
SAY "-- bad links"
TASK "iret to a bad link"
  movw $KDS, tss
  pushl $0x4002
  popfl
  iret
END
TASK "iret to a task that is not busy"
  movw $TSS2, tss
  pushl $0x4002
  popfl
  iret
END
TASK "iret to a null link"
  movw $0, tss
  pushl $0x4002
  popfl
  iret
END
  movw $0, tss

SAY "-- bad tasks, told of by another task"
.macro GATE_OF vector
  movw $TSS16, idt + \vector*8 + 2
  movb $0x85, idt + \vector*8 + 5
.endm
.macro NO_GATE_OF vector
  movw $KCS, idt + \vector*8 + 2
  movb $0x8e, idt + \vector*8 + 5
.endm
  GATE_OF 10
  GATE_OF 11
  GATE_OF 12
  GATE_OF 13
.macro BAD name, field, value
TASK "task with \name"
  movl $1f, tss2 + T_EIP
  movw $\value, tss2 + \field
  movw $bad_task, tss16 + 14
  ljmp $TSS2, $0
1:
END
.endm
BAD "null cs", T_CS, 0
BAD "data in cs", T_CS, KDS
BAD "cs of level 3 with rpl 0", T_CS, UCS
BAD "absent cs", T_CS, ABSENT_CODE
BAD "cs beyond the gdt", T_CS, 0x1ff8
BAD "null ss", T_SS, 0
BAD "ss of level 3", T_SS, UDS+3
BAD "code in ss", T_SS, KCS
BAD "read-only ss", T_SS, RONLY
BAD "absent ss", T_SS, ABSENT
BAD "null ds", T_DS, 0
BAD "absent ds", T_DS, ABSENT
BAD "execute-only ds", T_DS, XONLY
BAD "system ds", T_DS, LDT_SEL
BAD "ds beyond the gdt", T_DS, 0x1ff8
BAD "null ldt", T_LDT, 0
BAD "data in the ldt", T_LDT, KDS
BAD "absent ldt", T_LDT, ABSENT_LDT
BAD "ldt in an ldt", T_LDT, 0xc
TASK "task with eip beyond the limit"
  movl $0x2000, tss2 + T_EIP
  movw $CALL_SMALL_CODE, tss2 + T_CS
  movw $bad_task, tss16 + 14
  ljmp $TSS2, $0
END
TASK "call of a task with a null cs"
  movw $0, tss2 + T_CS
  movw $bad_task, tss16 + 14
  lcall $TSS2, $0
END
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

# The task that is told of a bad one: error code, and where the bad one stood.
bad_task:
  movzwl (%esp), %eax
  mov tss2 + T_EIP, %ebx
  sub V_START, %ebx
  movzwl tss2 + T_CS, %ecx
  movzwl tss2 + T_SS, %edx
  mov tss2 + T_ESP, %esi
  movzwl tss16, %edi
  int $0x31
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
