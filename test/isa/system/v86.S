# Virtual-8086 mode: what a monitor sees of 16-bit programs.
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

.macro BOTH name, insn
VM "\name"
  \insn
END
VM "\name, iopl 0", 0
  \insn
END
.endm

SAY "-- instructions"
BOTH "nothing", "nop"
BOTH "mov", "mov $0x1234, %ax"
BOTH "cli", "cli"
BOTH "sti", "sti"
BOTH "pushf", "pushf; pop %ax"
BOTH "pushfl", "pushfl; pop %eax"
BOTH "popf", "push $0x4ed7; popf"
BOTH "popfl", "pushl $0x247ed7; popfl"
BOTH "int 21", "int $0x21"
BOTH "int 31", "int $0x31"
BOTH "int 32 of 16 bits", "int $0x31"
BOTH "int3", "int3"
BOTH "into clear", "into"
BOTH "int1", ".byte 0xf1"
BOTH "iret", "push $0x4ed7; push $0x100; push $1f-0x1000; iretw; 1:"
BOTH "iretl", "pushl $0x24ced7; pushl $0x100; pushl $1f-0x1000; iretl; 1:"
BOTH "hlt", "hlt"
BOTH "ud2", "ud2"
BOTH "in", "in $0x80, %al"
BOTH "out", "mov $0x85, %dx; out %al, %dx"
BOTH "insb", "insb"
BOTH "lgdt", "lgdt 0xc000"
BOTH "sgdt", "sgdt 0xc000"
BOTH "lldt", "lldt %ax"
BOTH "sldt", "sldt %ax"
BOTH "str", "str %ax"
BOTH "ltr", "ltr %ax"
BOTH "lar", "lar %ax, %bx"
BOTH "verr", "verr %ax"
BOTH "arpl", "arpl %ax, %bx"
BOTH "smsw", "smsw %ax; and $0xf, %ax"
BOTH "lmsw", "lmsw %ax"
BOTH "clts", "clts"
BOTH "mov cr0", "mov %cr0, %eax"
BOTH "mov dr0", "mov %dr0, %eax"
BOTH "rdmsr", "rdmsr"
BOTH "wbinvd", "wbinvd"
BOTH "rdtsc", "rdtsc; xor %eax, %eax; xor %edx, %edx; test %eax, %eax"
BOTH "cpuid", "mov $0x80000000, %eax; cpuid; xor %eax, %eax; xor %ebx, %ebx; xor %ecx, %ecx; xor %edx, %edx"
BOTH "sysenter", "sysenter"
BOTH "sysexit", "sysexit"
BOTH "bound", "movl $0x00050001, 0xc000; mov $6, %ax; bound %ax, 0xc000"
BOTH "div", "xor %cx, %cx; div %cx"
BOTH "lock nop", ".byte 0xf0, 0x90"
VM "into set", fl=0x800
  into
END
VM "into set with iopl 0", 0, fl=0x800
  into
END
VM "int3 frame", ds=0x1234
  mov $0x2345, %ax
  mov %ax, %fs
  int3
END
DUMP V_FRAME + 12, 6

SAY "-- segments"
VM "mov to segments"
  mov $0x2000, %ax
  mov %ax, %ds
  mov $0x2001, %ax
  mov %ax, %es
  movl $0x12345678, 0x20
  mov %es:0x10, %eax
END
VM "les"
  movl $0x30004000, 0xc000
  les 0xc000, %bx
END
VM "ljmp"
  ljmp $0x100, $1f-0x1000
1:
END
VM "lcall and lret"
  lcall $0x100, $1f-0x1000
  jmp 2f
1: lret
2:
END
VM "write through cs"
  movb $1, %cs:0xc000
END
VM "segment beyond 1 MiB"
  mov $0xffff, %ax
  mov %ax, %ds
  movl $0x11111111, 0x110
  mov 0x110, %ecx
END
VM "pop segment"
  push $0x2222
  pop %gs
END

SAY "-- entering and leaving"
.macro ENTER name, fl, cs=0, ip
CASE "\name"
  push $0x44
  push $0x33
  push $0x22
  push $0x11
  push $0
  push $USER_TOP
  pushl $\fl
  push $\cs
  push $\ip
  iretl
1:
END
.endm
ENTER "iret to v86", 0x23002, 0, 1f
ENTER "iret to v86 with rf, nt, ac", 0x67002, 0, 1f
ENTER "iret to v86 at iopl 0", 0x20202, 0, 1f
CASE "iretw cannot set vm"
  pushw $2
  pushw $KCS
  pushw $1f
  iretw
1:
END
CASE "popf cannot set vm"
  pushl $0x20002
  popfl
END
VM "gate to conforming code"
  int $0x37
END
VM "gate to null"
  int $0x35
END
VM "absent gate"
  int $0x34
END
VM "16-bit gate"
  int $0x32
END

SAY "-- ports"
  andb $0xfe, tss + 0x68 + 0x80/8
VM "open port with iopl 3"
  out %al, $0x80
END
VM "open port with iopl 0", 0
  out %al, $0x80
END
VM "the next port with iopl 3"
  out %al, $0x81
END

SAY "-- single step"
LOG 2
VM "tf", fl=0x100
  nop
  inc %ax
END
VM "tf and mov ss", fl=0x100
  mov %ss, %ax
  mov %ax, %ss
  nop
  nop
END
LOG 0

SAY "-- a task in v86 mode"
CASE "jmp to a v86 task"
  movl $0x23002, tss2 + 36
  movl $1f, tss2 + 32
  movw $0, tss2 + 76
  movw $0, tss2 + 80
  movw $0x2000, tss2 + 84
  movw $0x2100, tss2 + 72
  ljmp $TSS2, $0
  .code16
1: mov 0, %ax
END
  clts

SAY "-- string instructions"
VM "rep stosb wraps", ds=0x2000
  mov $0xfffe, %di
  mov $4, %cx
  rep stosb
END
  FINISH
task2: hlt
PROTECTED_MONITOR
TSSES
RESET_VECTOR
