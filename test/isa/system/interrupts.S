# Interrupts from the local APIC and NMIs: when they are taken, shadows, HLT, priorities.
.include "monitor.inc"
.include "protected-mode.inc"
.set U_HIGH, 0
.set ICR, 0xfee00300
.set EOI, 0xfee000b0
.set TPR, 0xfee00080
.set SVR, 0xfee000f0
.set SELF, 0x40000
.set NMI, 0x400

# A vector to oneself.
.macro SEND vector
  movl $SELF | \vector, ICR
.endm
# Between tests: an interrupt waits, and those served so far are over.
.macro WAITING vector
  movl $0, EOI
  movl $0, EOI
  SEND \vector
.endm
.macro USER name, fl=2
CASE "\name", cs=UCS+3, ss=UDS+3, ds=UDS+3, fl=\fl, sp=USER_TOP
.endm

IMAGE
  jmp begin
TABLES
begin:
PROTECTED
  movl $0x13f, SVR

SAY "-- when"
  WAITING 0x21
CASE "if 0"
  nop
  nop
END
CASE "if 1", fl=0x202
  nop
  nop
END
  movl $0, EOI
CASE "sent and taken", fl=0x202
  SEND 0x22
1: jmp 1b
END
  WAITING 0x21
CASE "sti and one more"
  sti
  inc %eax
  inc %eax
END
  WAITING 0x21
CASE "sti, cli"
  sti
  cli
  nop
END
CASE "sti, sti"
  sti
  sti
  inc %eax
  inc %eax
END
  WAITING 0x21
CASE "sti while if is 1 has no shadow of its own", fl=0x2
  sti
  nop
END
  WAITING 0x21
CASE "popf has no shadow"
  pushl $0x202
  popf
  nop
END
  WAITING 0x21
CASE "iret has no shadow"
  pushl $0x202
  push $KCS
  push $1f
  iret
  nop
1: nop
END
  WAITING 0x21
CASE "sti, mov ss"
  sti
  mov %ss, %eax
  nop
END
  WAITING 0x21
CASE "sti, pop ss"
  push %ss
  sti
  pop %ss
  inc %eax
  inc %eax
END
  WAITING 0x21
CASE "sti, hlt"
  sti
  hlt
  nop
END
  WAITING 0x21
CASE "sti, jmp"
  sti
  jmp 1f
  nop
1: nop
END
  WAITING 0x21
CASE "sti, faulting"
  sti
  ud2
END
CASE "after it", fl=0x202
  nop
END
  WAITING 0x21
CASE "sti, int"
  sti
  int $0x31
END
CASE "after the int", fl=0x202
  nop
END
  WAITING 0x21
USER "user", fl=0x202
  nop
END
  WAITING 0x21
USER "user sti with iopl 3", fl=0x3002
  sti
  nop
  nop
END
  WAITING 0x21
CASE "v86", cs=0, ss=0, ds=0, fl=0x23202, sp=USER_TOP
  .code16
  nop
END
  WAITING 0x21
CASE "v86 sti", cs=0, ss=0, ds=0, fl=0x23002, sp=USER_TOP
  .code16
  sti
  nop
  nop
END
  WAITING 0x21
CASE "single step", fl=0x302
  nop
  nop
END
CASE "single step, the rest", fl=0x202
  nop
END
  movl $0, EOI

SAY "-- priorities"
  WAITING 0x21
  SEND 0x25
  SEND 0x30
CASE "the highest", fl=0x202
  nop
END
CASE "the lower ones wait for eoi", fl=0x202
  nop
END
  movl $0, EOI
CASE "the next", fl=0x202
  nop
END
CASE "one of the same class waits", fl=0x202
  nop
END
  movl $0, EOI
CASE "the last", fl=0x202
  nop
END
  movl $0, EOI
CASE "none", fl=0x202
  nop
END
  movl $0x30, TPR
  SEND 0x21
CASE "below the task priority", fl=0x202
  nop
END
  movl $0x10, TPR
CASE "above the task priority", fl=0x202
  nop
END
  movl $0, TPR
  movl $0, EOI
CASE "isr and irr"
  SEND 0x21
  mov 0xfee00210, %eax
  mov 0xfee00110, %ebx
  test %eax, %eax
END
CASE "isr and irr, taken", fl=0x202
  nop
END
CASE "isr and irr after"
  mov 0xfee00210, %eax
  mov 0xfee00110, %ebx
  mov 0xfee000a0, %ecx
  movl $0, EOI
  mov 0xfee00110, %edx
END

SAY "-- delivery"
  movb $0x0e, idt + 0x2c*8 + 5
  WAITING 0x2c
CASE "absent gate, the error code says external", fl=0x202
  nop
END
  movb $0x8e, idt + 0x2c*8 + 5
  movw $KDS, idt + 0x2c*8 + 2
  WAITING 0x2c
CASE "gate to data, external too", fl=0x202
  nop
END
  movw $KCS, idt + 0x2c*8 + 2
  WAITING 0x31
CASE "trap gate", fl=0x202
  nop
END
  WAITING 0x32
CASE "16-bit gate", fl=0x202
  nop
END
  WAITING 0x33
CASE "task gate", fl=0x202
  nop
END
  clts
  movl $0, EOI

SAY "-- nmi"
LOG 4, 0, 2
CASE "nmi with if 0"
  movl $NMI, ICR
1: jmp 1b
  inc %eax
END
CASE "nmi of level 3", cs=UCS+3, ss=UDS+3, ds=UDS+3, sp=USER_TOP
  movl $NMI, ICR
1: jmp 1b
  inc %eax
END
CASE "nmi once more"
  movl $NMI, ICR
1: jmp 1b
  inc %ecx
END
LOG 0
  # From here on a handler of our own, which sends another NMI from within the first.
  movw $nmi_handler, idt + 2*8
  movw $nmi_inner, idt + 0x2f*8
CASE "a second nmi waits for the iret of the first"
  xor %ebx, %ebx
  xor %edx, %edx
  movl $NMI, ICR
  jmp 1f
1: nop
  nop
  xor %eax, %eax
END
CASE "an iret within the handler lets it in"
  xor %ebx, %ebx
  mov $1, %edx
  movl $NMI, ICR
  jmp 1f
1: nop
  nop
  xor %eax, %eax
END
CASE "a third is lost"
  xor %ebx, %ebx
  mov $2, %edx
  movl $NMI, ICR
  jmp 1f
1: nop
  nop
  xor %eax, %eax
END
  FINISH
# ebx counts; ecx: the count at the end of the first; edx 1: an IRET in between; 2: two more are sent.
nmi_handler:
  inc %ebx
  cmp $1, %ebx
  jne 2f
  movl $NMI, ICR
  jmp 1f
1: cmp $2, %edx
  jne 1f
  movl $NMI, ICR
  jmp 1f
1: cmp $1, %edx
  jne 1f
  int $0x2f
1: mov %ebx, %ecx
2: iret
nmi_inner:
  iret
task2: int $0x31
PROTECTED_MONITOR
TSSES
RESET_VECTOR
