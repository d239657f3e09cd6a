# Virtual-8086 mode: limits, which QEMU TCG leaves out; Bochs decides.
.include "monitor.inc"
.include "protected-mode.inc"
.set U_HIGH, 0

.macro VM name, iopl=3, fl=0, sp=USER_TOP, ds=0, ss=0
CASE "\name", cs=0, ss=\ss, ds=\ds, fl=(0x20002 | (\iopl << 12) | \fl), sp=\sp
  .code16
.endm

IMAGE
  jmp begin
TABLES
begin:
PROTECTED

VM "word at ffff"
  mov $0xffff, %bx
  mov (%bx), %ax
END
VM "word at ffff by ss"
  mov $0xffff, %bp
  mov (%bp), %ax
END
VM "32-bit address beyond the limit"
  mov $0x10000, %ebx
  mov (%ebx), %al
END
VM "jump beyond the limit"
  mov $0x10000, %eax
  jmp *%eax
END
VM "push at sp 1", sp=1
  push %ax
END
VM "rep movsw across ffff", ds=0x2000
  mov $0xfffd, %di
  mov $0x10, %si
  mov $4, %cx
  rep movsw
END
CASE "iret with vm from level 3 stays", cs=UCS+3, ss=UDS+3, ds=UDS+3, sp=USER_TOP
  pushl $0x20002
  push $UCS+3
  push $1f
  iretl
1: nop
END
  movw $CS1, idt + 0x36*8 + 2
VM "gate to level 1"
  int $0x36
END
  FINISH
task2: hlt
PROTECTED_MONITOR
TSSES
RESET_VECTOR
