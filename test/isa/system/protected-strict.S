# 32-bit protected mode: limits, types and bits that QEMU TCG leaves out; Bochs and the manual decide.
.include "monitor.inc"
.include "protected-mode.inc"
.set U_HIGH, 0
.macro USER name, fl=2
CASE "\name", cs=UCS+3, ss=UDS+3, ds=UDS+3, fl=\fl, sp=USER_TOP
.endm

IMAGE
  jmp begin
TABLES
begin:
PROTECTED
  movl $-1, V_MASK

SAY "-- rf"
CASE "fault at level 0"
  ud2
END
DUMP V_FRAME, 3
USER "fault at level 3"
  ud2
END
CASE "trap"
  int3
END
USER "refused int"
  int $0x20
END
CASE "refused gate"
  int $0x34
END
CASE "rf set by iret is cleared by the instruction"
  pushl $0x10002
  push $KCS
  push $1f
  iretl
1: nop
  pushfl
  pop %eax
END
CASE "rf in popf"
  pushl $0x10002
  popfl
  pushfl
  pop %eax
END
CASE "breakpoint pushes rf and is passed by rf"
  mov $1f, %eax
  mov %eax, %dr0
  mov $0x402, %eax
  mov %eax, %dr7
1: nop
END
DUMP V_FRAME, 3
CASE "iret with rf passes it"
  pushl $0x10002
  push $KCS
  push $1b
  iretl
END
CASE "and it is gone"
  mov $0x400, %eax
  mov %eax, %dr7
END

SAY "-- moved"
CASE "cr4 reserved"
  mov $0x80000000, %eax
  mov %eax, %cr4
END
CASE "cr4 vmxe or smxe reserved"
  mov $0x04000000, %eax
  mov %eax, %cr4
END
CASE "mov to cr0 with pg and no paging structures is for another program"
END
CASE "breakpoint of eight bytes off"
  mov $0x400, %eax
  mov %eax, %dr7
END
CASE "ltr null"
  xor %eax, %eax
  ltr %ax
END
CASE "general detect"
  mov $0xffff0ff0, %eax
  mov %eax, %dr6
  mov $0x2400, %eax
  mov %eax, %dr7
  mov %dr0, %ecx
END
CASE "after general detect"
  mov %dr6, %eax
  mov %dr7, %ebx
  mov $0xffff0ff0, %ecx
  mov %ecx, %dr6
END

SAY "-- limits"
.macro REACH selector, what, insn
CASE "\selector \what"
  mov $\selector, %eax
  mov %eax, %es
  xor %eax, %eax
  \insn
END
.endm
REACH SMALL, "byte f", "mov %es:0xf, %al"
REACH SMALL, "byte 10", "mov %es:0x10, %al"
REACH SMALL, "dword c", "mov %es:0xc, %ecx"
REACH SMALL, "dword d", "mov %es:0xd, %ecx"
REACH SMALL, "dword ffffffff", "mov %es:-1, %ecx"
REACH SMALL, "write byte 10", "movb $1, %es:0x10"
REACH SMALL, "add to d", "addl $1, %es:0xd"
REACH SMALL, "xmm load at 0", "nop"
REACH PAGES, "byte 1fff", "mov %es:0x1fff, %al"
REACH PAGES, "byte 2000", "mov %es:0x2000, %al"
REACH PAGES, "dword 1ffd", "mov %es:0x1ffd, %ecx"
REACH DOWN32, "byte ffff", "mov %es:0xffff, %al"
REACH DOWN32, "byte 10000", "mov %es:0x10000, %cl"
REACH DOWN32, "dword fffffffc", "mov %es:-4, %cl"
REACH DOWN32, "dword fffffffd", "mov %es:-3, %ecx"
REACH DOWN16, "byte 7fff", "mov %es:0x7fff, %cl"
REACH DOWN16, "byte 8000", "mov %es:0x8000, %cl"
REACH DOWN16, "word fffe", "mov %es:0xfffe, %cx"
REACH DOWN16, "word ffff", "mov %es:0xffff, %cx"
REACH DOWN16, "byte 10000", "mov %es:0x10000, %cl"
REACH RONLY, "read", "mov %es:0xc000, %ecx"
REACH RONLY, "write", "mov %ecx, %es:0xc000"
REACH RONLY, "add", "addl $1, %es:0xc000"
REACH RONLY, "cmp", "cmpl $1, %es:0xc000"
REACH RONLY, "stos", "stosl"
REACH CONF, "read of code", "mov %es:0xc000, %cl"
REACH CONF, "write to code", "mov %al, %es:0xc000"
REACH 0, "read", "mov %es:0xc000, %ecx"
REACH 0, "write", "mov %ecx, %es:0xc000"
REACH 3, "null with rpl 3", "mov %es:0xc000, %ecx"
REACH 0, "prefetch", "prefetcht0 %es:0xc000"
REACH SMALL, "rep stosb runs into the limit", "mov $0x20, %ecx; mov $8, %edi; rep stosb"
REACH SMALL, "cmpxchg8b", "cmpxchg8b %es:0xc"
REACH SMALL, "bts far away", "mov $0x100, %ecx; bts %ecx, %es:0"
REACH SMALL, "fnstenv", "fnstenv %es:0"
REACH SMALL, "fxsave", "fxsave %es:0"
REACH SMALL, "lds", "lds %es:0xa, %ecx"
REACH SMALL, "sgdt", "sgdt %es:0xb"
REACH SMALL, "maskmov or movs", "mov $0xc000, %esi; mov $0xe, %edi; movsl"
CASE "write to cs"
  movb $1, %cs:0xc000
END
CASE "read of cs"
  mov %cs:gdt, %al
END
CASE "read of execute-only cs"
  ljmp $XONLY, $1f
1: mov %cs:0xc000, %al
END
CASE "cs limit, fetch"
  ljmp $CALL_SMALL_CODE, $0xffe
END
CASE "cs limit, instruction across"
  movw $0xb090, 0xffe
  ljmp $CALL_SMALL_CODE, $0xffe
END
CASE "cs limit, near jump"
  movl $0x00fffbe9, 0xf00
  movl $0xcc00, 0xf04
  ljmp $CALL_SMALL_CODE, $0xf00
END
CASE "cs limit, call commits nothing"
  movl $0x00fffbe8, 0xf00
  movl $0xcc00, 0xf04
  ljmp $CALL_SMALL_CODE, $0xf00
END
CASE "cs limit, ret"
  movl $0xc3, 0xf00
  push $0x1000
  ljmp $CALL_SMALL_CODE, $0xf00
END
CASE "stack, push below a 16-byte segment wraps", ss=KDS, sp=STACK_TOP
  mov $SMALL, %eax
  mov %esp, %ebp
  mov %eax, %ss
  mov $0x10, %esp
  push %eax
  mov $KDS, %ecx
  mov %ecx, %ss
  mov %ebp, %esp
END
CASE "mwait and monitor limit"
  mov $SMALL, %eax
  mov %eax, %ds
  mov $0x20, %eax
  xor %ecx, %ecx
  xor %edx, %edx
  monitor
END
CASE "invlpg beyond the limit is fine"
  invlpg %es:0xc000
END
  FINISH

sysenter_target:
  push $0
  push $0x2b
  jmp common
task2: hlt
PROTECTED_MONITOR
TSSES
RESET_VECTOR
