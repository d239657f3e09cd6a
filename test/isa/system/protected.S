# 32-bit protected mode without paging: segments, privilege, gates.
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

SAY "-- events at level 0"
CASE "nothing"
END
CASE "int3"
  int3
END
CASE "into", fl=0x802
  into
END
CASE "ud2"
  ud2
END
CASE "int 20"
  int $0x20
END
CASE "trap gate keeps if", fl=0x202
  int $0x31
END
CASE "interrupt gate clears tf nt", fl=0x4202
  int $0x21
END
CASE "16-bit gate"
  int $0x32
END
CASE "absent gate"
  int $0x34
END
CASE "gate with null selector"
  int $0x35
END
CASE "gate to data"
  int $0x36
END
CASE "gate to conforming code"
  int $0x37
END
CASE "call gate in the idt"
  int $0x38
END
CASE "gate to an outer level"
  int $0x39
END
CASE "beyond the idt"
  int $0x40
END
CASE "div"
  xor %ecx, %ecx
  div %ecx
END
CASE "bound"
  movl $5, 0xc000
  movl $6, 0xc004
  mov $7, %eax
  bound %eax, 0xc000
END
CASE "lock"
  .byte 0xf0, 0x90
END
CASE "sixteen bytes"
  .fill 15, 1, 0x66
  nop
END

SAY "-- events at level 3"
USER "user nothing"
END
USER "user int3"
  int3
END
USER "user int of level 0"
  int $0x20
END
USER "user int 2 bytes 3"
  .byte 0xcd, 3
END
USER "user trap gate", fl=0x3202
  int $0x31
END
DUMP V_FRAME, 5
USER "user 16-bit gate"
  int $0x32
END
USER "user absent gate"
  int $0x34
END
USER "user gate with null selector"
  int $0x35
END
USER "user gate to data"
  int $0x36
END
USER "user gate to conforming code"
  int $0x37
END
USER "user ud2"
  ud2
END
USER "user into", fl=0x802
  into
END

SAY "-- privileged"
.irp op, "hlt", "cli", "sti", "clts", "wbinvd", "invd", "lgdt 0xc000", "lidt 0xc000", "lldt %ax", "ltr %ax", "lmsw %ax", "mov %cr0,%eax", "mov %eax,%cr3", "mov %dr0,%eax", "mov %eax,%dr7", "rdmsr", "wrmsr", "invlpg 0xc000", "in $0x80,%al", "out %al,$0x80", "in (%dx),%eax", "sysexit", "rdtsc", "smsw %ax", "sldt %ax", "str %ax", "sgdt 0xc000", "sidt 0xc000", "insb", "outsl", "rdpmc", "xsetbv", "monitor", "mwait", ".byte 0x0f, 0x01, 0xf8", "rsm"
USER "user \op"
  xor %ecx, %ecx
  mov $0x1d, %edx
  \op
  xor %eax, %eax
  xor %edx, %edx
END
.endr
USER "user mov ax to cr8 form"
  .byte 0xf0, 0x0f, 0x20, 0xc0
END
USER "user cli with iopl 3", fl=0x3202
  cli
END
USER "user sti with iopl 3", fl=0x3002
  sti
  cli
END
USER "user cli with iopl 2", fl=0x2202
  cli
END
USER "user popf keeps if and iopl", fl=0x202
  pushl $0x3000
  popfl
END
USER "user popf changes if with iopl 3", fl=0x3202
  pushl $0
  popfl
END
USER "user popf 16", fl=0x3202
  pushw $0x4ed5
  popfw
END
USER "user popf ac id", fl=2
  pushl $0x3f0000
  popfl
END
USER "user iret keeps iopl", fl=0x202
  pushfl
  orl $0x3400, (%esp)
  andl $~0x200, (%esp)
  pushl $UCS+3
  pushl $1f
  iretl
1:
END
CASE "level 1 cli with iopl 0", cs=CS1+1, ss=DS1+1, ds=DS1+1, fl=0x202
  cli
END
CASE "level 1 cli with iopl 1", cs=CS1+1, ss=DS1+1, ds=DS1+1, fl=0x1202
  cli
END
CASE "level 1 popf", cs=CS1+1, ss=DS1+1, ds=DS1+1, fl=0x1202
  pushl $0x3000
  popfl
END
CASE "level 2 int", cs=CS2+2, ss=DS2+2, ds=DS2+2
  int $0x31
END
CASE "level 2 hlt", cs=CS2+2, ss=DS2+2, ds=DS2+2
  hlt
END

SAY "-- i/o permission"
  andb $0xfe, tss + 0x68 + 0x80/8
  andb $0x0f, tss + 0x68 + 0xe8/8
  andb $0xf0, tss + 0x68 + 0xf0/8
USER "open port"
  mov $0, %al
  out %al, $0x80
END
USER "word at an open port"
  out %ax, $0x80
END
USER "dword of which all are open"
  mov $0xee, %dx
  out %ax, %dx
  mov $0xec, %dx
  out %eax, %dx
END
USER "dword across a byte of the map"
  mov $0xee, %dx
  out %eax, %dx
END
USER "dword partly refused"
  mov $0xf2, %dx
  out %eax, %dx
END
USER "port ffff"
  mov $0xffff, %dx
  in (%dx), %al
END
USER "dword at port ffff"
  mov $0xffff, %dx
  in (%dx), %eax
END
USER "iopl 3 needs no map", fl=0x3002
  out %ax, $0x84
END
USER "outsb at an open port"
  mov $0x80, %dx
  mov $0xc000, %esi
  outsb
END
  movw $0x20fe, tss + 0x66
USER "map beyond the limit"
  out %al, $0x80
END
  movw $0x68, tss + 0x66

SAY "-- descriptors seen by lar, lsl, verr, verw"
.macro LOOK selector, extra=0
CASE "look \selector \extra"
  mov $\selector + \extra, %edx
  lar %edx, %eax
  setz %cl
  lsl %edx, %ebx
  setz %ch
  verr %dx
  mov $0, %edx
  setz %dl
  mov $\selector + \extra, %esi
  verw %si
  setz %dh
  # Bits 19..16 are undefined.
  and $0xfff0ffff, %eax
  mov $0, %esi
  test %esi, %esi
END
USER "user look \selector \extra"
  mov $\selector + \extra, %edx
  lar %edx, %eax
  setz %cl
  lsl %edx, %ebx
  setz %ch
  verr %dx
  mov $0, %edx
  setz %dl
  mov $\selector + \extra, %esi
  verw %si
  setz %dh
  # Bits 19..16 are undefined.
  and $0xfff0ffff, %eax
  mov $0, %esi
  test %esi, %esi
END
.endm
LOOK 0
LOOK KCS
LOOK UDS
LOOK UDS, 3
LOOK KDS, 3
LOOK TSS_SEL
LOOK LDT_SEL
LOOK CONF
LOOK CONF, 3
LOOK XONLY
LOOK RONLY
LOOK DOWN32
LOOK ABSENT
LOOK PAGES
LOOK CALL32
LOOK CALL32, 3
LOOK CALL16_2, 3
LOOK TASK_GATE, 3
LOOK TSS16
LOOK BUSY
LOOK UCS16, 3
LOOK 0x1ff8
LOOK 0x4
LOOK 0xc
LOOK 0x24
CASE "lar 16"
  mov $KDS, %ax
  lar %ax, %bx
  lsl %ax, %cx
END

SAY "-- loading segments"
.macro LOADS selector, extra=0
CASE "ds \selector \extra"
  mov $\selector + \extra, %eax
  mov %eax, %ds
END
CASE "ss \selector \extra"
  mov $\selector + \extra, %eax
  mov %eax, %ss
  mov $KDS, %eax
  mov %eax, %ss
END
USER "user ds \selector \extra"
  mov $\selector + \extra, %eax
  mov %eax, %ds
END
USER "user ss \selector \extra"
  mov $\selector + \extra, %eax
  mov %eax, %ss
  mov $UDS+3, %eax
  mov %eax, %ss
END
.endm
LOADS 0
LOADS 0, 3
LOADS KDS
LOADS KDS, 1
LOADS KDS, 3
LOADS UDS
LOADS UDS, 3
LOADS KCS
LOADS UCS, 3
LOADS CONF
LOADS CONF, 3
LOADS XONLY
LOADS RONLY
LOADS DOWN32
LOADS ABSENT
LOADS TSS_SEL
LOADS LDT_SEL
LOADS CALL32
LOADS 0x1ff8
LOADS 0xc
LOADS 0x1c, 3
LOADS 0x24
CASE "accessed bit"
  mov gdt+FRESH_DATA+4, %ecx
  mov $FRESH_DATA, %eax
  mov %eax, %fs
  mov gdt+FRESH_DATA+4, %ebx
  movb $0x92, gdt+FRESH_DATA+5
END
CASE "accessed bit of code by lar stays"
  mov $FRESH_CODE, %eax
  lar %eax, %ebx
  and $0xfff0ffff, %ebx
  verr %ax
  mov gdt+FRESH_CODE+4, %ecx
END
CASE "accessed bit of code by ljmp"
  ljmp $FRESH_CODE, $1f
1: mov gdt+FRESH_CODE+4, %ecx
  movb $0x9a, gdt+FRESH_CODE+5
END
CASE "pop ds"
  push $UDS
  pop %ds
  pushw $KDS
  popw %es
END
CASE "lds faulting leaves the register"
  movl $0x12345678, 0xc000
  movw $KCS16+8*40, 0xc004
  lds 0xc000, %eax
END
CASE "lss"
  movl $0xc100, 0xc000
  movw $KDS16, 0xc004
  lss 0xc000, %esp
  push %eax
  mov %esp, %ebx
  mov $KDS, %ecx
  mov %ecx, %ss
END
CASE "lldt null, ldt unusable"
  xor %eax, %eax
  lldt %ax
  sldt %ebx
  mov $0xc, %ecx
  mov %ecx, %fs
END
CASE "lldt of data"
  mov $KDS, %eax
  lldt %ax
END
CASE "lldt absent"
  mov $ABSENT_LDT, %eax
  lldt %ax
END
CASE "lldt in the ldt"
  mov $0xc, %eax
  lldt %ax
END
CASE "ltr busy"
  mov $BUSY, %eax
  ltr %ax
END
CASE "ltr absent"
  mov $ABSENT_TSS, %eax
  ltr %ax
END
CASE "ltr 16-bit"
  mov $TSS16, %eax
  ltr %ax
  str %ebx
  mov gdt+TSS16+4, %ecx
END
CASE "arpl"
  mov $0x10, %ax
  mov $0x23, %bx
  arpl %bx, %ax
  mov $0x13, %cx
  mov $0x21, %dx
  arpl %dx, %cx
END

SAY "-- 16-bit code"
CASE "16-bit stack", ss=KDS16, sp=0xe000
  push %eax
  pushw %bx
  call 1f
1: mov %esp, %eax
  pop %ebx
END
CASE "16-bit stack keeps esp high", ss=KDS16, sp=0xe000
  or $0x12340000, %esp
  push %eax
  pop %ebx
  mov %esp, %ecx
  movzwl %sp, %esp
END
.code32
CASE "16-bit code", cs=KCS16, ss=KDS16
  .code16
  mov $0x1234, %ax
  mov $0x12345678, %ecx
  push %ax
  push %ecx
  mov %sp, %dx
  mov $0xc000, %bx
  movw $0x55, 4(%bx)
  mov $4, %esi
  mov 0xc000(%esi), %di
END
CASE "16-bit code, user", cs=UCS16+3, ss=UDS16+3, ds=UDS16+3, sp=USER_TOP
  .code16
  push %ax
  pushl %eax
  int $0x31
END
CASE "call between sizes"
  lcall $KCS16, $1f
  .code16
1: pop %eax
  pop %ebx
  sub V_START, %eax
  pushl $KCS
  pushl $1f
  lretl
  .code32
1:
END
CASE "16-bit far call from 32-bit code"
  .byte 0x66
  .byte 0x9a
  .word 1f, KCS
1: mov (%esp), %eax
  sub V_START, %eax
  lea 4(%esp), %esp
END

SAY "-- far transfers"
CASE "ljmp null"
  ljmp $0, $0
END
CASE "ljmp data"
  ljmp $KDS, $0
END
CASE "ljmp absent"
  ljmp $ABSENT_CODE, $0
END
CASE "ljmp to level 3 code"
  ljmp $UCS, $0
END
CASE "ljmp with rpl 3"
  ljmp $KCS+3, $0
END
CASE "ljmp conforming"
  ljmp $CONF, $1f
1:
END
CASE "ljmp beyond the limit"
  ljmp $CALL_SMALL_CODE, $0x2000
END
CASE "ljmp beyond the gdt"
  ljmp $0x1ff8, $0x2000
END
CASE "ljmp ldt"
  ljmp $0x4, $1f
1:
END
CASE "ljmp ldt descriptor"
  ljmp $LDT_SEL, $0
END
USER "user ljmp conforming"
  ljmp $CONF, $1f
1:
END
USER "user ljmp to level 0 code"
  ljmp $KCS, $1f
1:
END
USER "user ljmp conf3"
  ljmp $CONF3, $1f
1:
END
CASE "ljmp conf3 from level 0"
  ljmp $CONF3, $1f
1:
END
USER "user lcall same level"
  lcall $UCS+3, $1f
1: pop %eax
  sub V_START, %eax
  pop %ebx
END
USER "user lret to level 0"
  push $KCS
  push $1f
  lret
1:
END
USER "user iret to level 0"
  push $2
  push $KCS
  push $1f
  iret
1:
END
CASE "lret to level 3"
  push $UDS+3
  push $USER_TOP
  push $UCS+3
  push $1f
  lret
1:
END
CASE "lret 8 to level 3"
  push $UDS+3
  push $USER_TOP
  push $0
  push $0
  push $UCS+3
  push $1f
  lret $8
1:
END
CASE "lret to level 3 drops segments"
  mov $UDS+3, %eax
  mov %eax, %es
  mov $CONF, %eax
  mov %eax, %fs
  push $UDS+3
  push $USER_TOP
  push $UCS+3
  push $1f
  lret
1:
END
CASE "lret to level 3 with null ss"
  push $0
  push $USER_TOP
  push $UCS+3
  push $1f
  lret
1:
END
CASE "lret to level 3 with level 0 ss"
  push $KDS
  push $USER_TOP
  push $UCS+3
  push $1f
  lret
1:
END
CASE "lret to level 3 with absent ss"
  push $ABSENT
  push $USER_TOP
  push $UCS+3
  push $1f
  lret
1:
END
CASE "lret null"
  push $0
  push $1f
  lret
1:
END
CASE "lret absent"
  push $ABSENT_CODE
  push $1f
  lret
1:
END
CASE "lret to conforming with rpl 3"
  push $UDS+3
  push $USER_TOP
  push $CONF+3
  push $1f
  lret
1:
END
CASE "iret to level 3"
  push $UDS+3
  push $USER_TOP
  push $0x3ed7
  push $UCS+3
  push $1f
  iret
1:
END
CASE "iret to level 1", fl=2
  push $DS1+1
  push $USER_TOP
  push $0x1002
  push $CS1+1
  push $1f
  iret
1:
END
CASE "iret to data"
  push $2
  push $KDS
  push $1f
  iret
1:
END
CASE "iret with bad ss"
  push $KDS
  push $USER_TOP
  push $2
  push $UCS+3
  push $1f
  iret
1:
END
CASE "iret to level 3 with 16-bit ss"
  push $UDS16+3
  push $0x1234d000
  push $2
  push $UCS+3
  push $1f
  iret
1:
END
CASE "iretw"
  pushw $0x3ed7
  pushw $KCS
  pushw $1f
  iretw
1:
END

SAY "-- call gates"
.macro GATECALL name, selector
CASE "\name"
  lcall $\selector, $0x1234
END
USER "user \name"
  push $0x11
  push $0x22
  push $0x33
  lcall $\selector, $0x1234
END
.endm
GATECALL "call32", CALL32
GATECALL "call32 rpl 3", CALL32+3
GATECALL "call32 with three words", CALL32_3
GATECALL "call of level 0", CALL_DPL0
GATECALL "absent gate call", CALL_ABSENT
GATECALL "gate to conf", CALL_CONF
GATECALL "gate call to data", CALL_DATA
GATECALL "gate to null", CALL_NULL
GATECALL "gate beyond", CALL_BEYOND
GATECALL "gate to the ldt", CALL_LDT
GATECALL "gate to level 1", CALL_TO1
USER "user call16"
  push $0x11112222
  lcall $CALL16_2, $0
END
CASE "jmp through a gate"
  ljmp $CALL32, $0
END
USER "user jmp through a gate"
  ljmp $CALL32, $0
END
USER "user jmp through a gate to conf"
  ljmp $CALL_CONF, $0
END
.macro INNER_SS selector
  movw $\selector, tss + 16
USER "gate with inner ss \selector"
  lcall $CALL_TO1, $0
END
.endm
INNER_SS KCS
INNER_SS DS1
INNER_SS KDS+1
INNER_SS DS2+1
INNER_SS 0
INNER_SS 0x1ff9
INNER_SS ABSENT+1
INNER_SS RONLY+1
  movb $0x33, gdt + DS1 + 5
INNER_SS DS1+1
  movb $0xb3, gdt + DS1 + 5
INNER_SS DS1+1

SAY "-- sysenter"
  mov $0x174, %ecx
  mov $KCS, %eax
  xor %edx, %edx
  wrmsr
  mov $0x175, %ecx
  mov $MON_TOP-0x40, %eax
  wrmsr
  mov $0x176, %ecx
  mov $sysenter_target, %eax
  wrmsr
USER "sysenter", fl=0x202
  mov $USER_TOP, %ecx
  mov $0xabc, %edx
  sysenter
END
CASE "sysenter at level 0"
  sysenter
END
USER "user sysexit again"
  sysexit
END
  mov $0x174, %ecx
  xor %eax, %eax
  xor %edx, %edx
  wrmsr
USER "sysenter with cs 0"
  sysenter
END
CASE "sysexit with cs 0"
  sysexit
END
USER "syscall is not here"
  syscall
END

SAY "-- single step and breakpoints"
LOG 2
USER "user tf", fl=0x102
  nop
  inc %eax
END
USER "user tf and int", fl=0x102
  nop
  int $0x31
END
USER "user tf and popf", fl=0x102
  pushl $2
  popf
  nop
END
CASE "tf and call gate", fl=0x102
  nop
  lcall $CALL32, $0
END
LOG 2, 0x10000
CASE "code breakpoint"
  mov $1f, %eax
  mov %eax, %dr0
  mov $0x403, %eax
  mov %eax, %dr7
1: inc %ecx
  nop
END
CASE "data breakpoint"
  mov $0xc004, %eax
  mov %eax, %dr1
  mov $0x00d0040c, %eax
  mov %eax, %dr7
  mov 0xc003, %al
  mov %al, 0xc004
  mov %eax, 0xc001
  movw $1, 0xc007
  movb $1, 0xc008
  nop
END
CASE "read breakpoint"
  mov $0xc004, %eax
  mov %eax, %dr1
  mov $0x00f0040c, %eax
  mov %eax, %dr7
  mov 0xc004, %cl
  mov 0xc000, %ecx
  nop
  push %ebx
  pop %ebx
END
CASE "two breakpoints at once"
  mov $1f, %eax
  mov %eax, %dr0
  mov %eax, %dr3
  mov $0x4c3, %eax
  mov %eax, %dr7
1: nop
  mov $0x400, %eax
  mov %eax, %dr7
END
CASE "breakpoint and mov ss"
  mov $0xc004, %eax
  mov %eax, %dr0
  mov $0x000f0403, %eax
  mov %eax, %dr7
  movl $KDS, 0xc004
  mov 0xc004, %ss
  nop
  nop
  mov $0x400, %eax
  mov %eax, %dr7
END
LOG 0
CASE "dr4 and dr5 are dr6 and dr7"
  .byte 0x0f, 0x21, 0xe0
  .byte 0x0f, 0x21, 0xeb
END
CASE "dr4 with debug extensions"
  mov %cr4, %eax
  or $8, %eax
  mov %eax, %cr4
  .byte 0x0f, 0x21, 0xe1
END
CASE "debug extensions off"
  mov %cr4, %eax
  and $~8, %eax
  mov %eax, %cr4
  mov $0x400, %ecx
  mov %ecx, %dr7
  mov %dr7, %edx
END
CASE "dr6 and dr7 fixed bits"
  mov $0, %eax
  mov %eax, %dr6
  mov %dr6, %ebx
  mov $0xffffdfff, %eax
  and $~0x00ff00ff, %eax
  mov %eax, %dr7
  mov %dr7, %ecx
  mov $0x400, %eax
  mov %eax, %dr7
  mov $0xffff0ff0, %eax
  mov %eax, %dr6
  test %eax, %eax
END
SAY "-- umip"
  mov %cr4, %eax
  or $0x800, %eax
  mov %eax, %cr4
.irp op, "smsw %ax", "sldt %ax", "str %ax", "sgdt 0xc000", "sidt 0xc000"
USER "umip \op"
  \op
END
.endr
  mov %cr4, %eax
  and $~0x800, %eax
  mov %eax, %cr4

SAY "-- control registers"
CASE "cr0 et stays"
  mov %cr0, %eax
  and $~0x10, %eax
  mov %eax, %cr0
  mov %cr0, %eax
  and $0x1f, %eax
END
CASE "lmsw cannot clear pe"
  smsw %ax
  and $~1, %ax
  lmsw %ax
  smsw %bx
  and $1, %bx
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
