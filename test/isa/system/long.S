# 64-bit mode and compatibility mode.
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

SAY "-- events at level 0"
CASE "nothing"
END
CASE "int3"
  int3
END
CASE "ud2"
  ud2
END
CASE "trap gate", fl=0x202
  int $0x31
END
CASE "interrupt gate", fl=0x4202
  int $0x21
END
CASE "a stack that is not aligned", sp=STACK_TOP-3
  int3
END
CASE "ist"
  int $0x33
END
CASE "ist that is not aligned"
  int $0x3a
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
CASE "gate to 32-bit code"
  int $0x37
END
CASE "task gate"
  int $0x38
END
CASE "gate to an outer level"
  int $0x39
END
CASE "gate to conforming code"
  int $0x3c
END
CASE "beyond the idt"
  int $0x40
END
CASE "div"
  xor %ecx, %ecx
  div %rcx
END
CASE "null ss", ss=0
  int3
END
CASE "null segments", ds=0
  mov gdt+8, %eax
  mov %fs:gdt+8, %ecx
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
USER "user ist"
  int $0x33
END
USER "user absent gate"
  int $0x34
END
USER "user gate to conforming code"
  int $0x3c
END
USER "user ud2"
  ud2
END
COMPAT "compat nothing"
END
COMPAT "compat int3"
  int3
END
COMPAT "compat into", fl=0x802
  into
END
COMPAT "compat pusha and daa"
  pusha
  mov $0x5a, %al
  daa
  and $0x11, %eax
  test %eax, %eax
  popa
END
COMPAT "compat push es"
  push %es
  pop %eax
END
COMPAT "compat inc"
  inc %eax
  .byte 0x40
END
COMPAT "compat high registers stay"
  mov $0x12345678, %eax
  add $1, %ebx
END
COMPAT "compat null ds"
  xor %eax, %eax
  mov %eax, %ds
  mov 0xc000+ALIAS, %ecx
END
COMPAT "compat limit"
  mov $SMALL+3, %eax
  mov %eax, %es
  lea 0, %ecx
  mov %es, %edx
END
COMPAT "compat cpuid, sgdt"
  sgdt 0xc000+ALIAS
  mov 0xc000+ALIAS, %eax
  movzwl 0xc004+ALIAS, %ecx
END
CASE "16-bit code of long mode", cs=UCS16+3, ss=UDS+3, ds=UDS+3, sp=USER_TOP+ALIAS
  .code16
  nop
END

SAY "-- opcodes"
.irp op, 0x06, 0x0e, 0x16, 0x1e, 0x27, 0x2f, 0x37, 0x3f, 0x60, 0x61, 0x82, 0x9a, 0xce, 0xd4, 0xd5, 0xd6, 0xea
CASE "opcode \op"
  .byte \op, 0, 0, 0, 0, 0, 0, 0
END
.endr
CASE "les is no les"
  .byte 0xc4, 0x03
END
CASE "ljmp of a register"
  .byte 0xff, 0xe8
END
CASE "push of 32 bits is not there"
  push %rax
  pushw $0x1234
  mov (%rsp), %rcx
  add $2, %rsp
END
CASE "popf, pushf"
  pushq $0x3ed7
  popfq
  pushfq
  pop %rax
  pushq $2
  popfq
END
CASE "enter leave"
  mov $0xd800, %ebp
  enter $0x20, $2
  mov %rsp, %rax
  leave
END
CASE "cmpxchg16b not aligned"
  mov $0xc008, %ebx
  cmpxchg16b (%rbx)
END
CASE "movaps not aligned"
  mov $0xc008, %ebx
  movaps (%rbx), %xmm0
END
CASE "ret imm, call, loop"
  mov $3, %ecx
1: loop 1b
  push %rax
  call 2f
2: sub $2b, %rax
  pop %rbx
  sub V_START, %ebx
END
CASE "swapgs"
  mov $0xc0000101, %ecx
  mov $0x1111, %eax
  xor %edx, %edx
  wrmsr
  mov $0xc0000102, %ecx
  mov $0x2222, %eax
  wrmsr
  swapgs
  mov $0xc0000101, %ecx
  rdmsr
  swapgs
END
USER "user swapgs"
  swapgs
END
CASE "fsgsbase off"
  rdfsbase %rax
END
  mov %cr4, %rax
  or $0x10000, %rax
  mov %rax, %cr4
USER "user wrfsbase"
  mov $0x12345678, %eax
  shl $12, %rax
  wrfsbase %rax
  rdfsbase %rcx
  wrgsbase %ebx
  rdgsbase %edx
END
USER "user wrfsbase not canonical"
  mov $1, %eax
  shl $62, %rax
  wrfsbase %rax
END
COMPAT "compat wrfsbase"
  .byte 0xf3, 0x0f, 0xae, 0xd0
END
USER "user fs base in use"
  mov $gdt+ALIAS, %eax
  wrfsbase %rax
  mov %fs:8, %rcx
  mov %fs:-8+16, %rdx
END

SAY "-- far transfers"
.macro FAR name, selector, offset=1f
CASE "ljmp \name"
  movq $\offset, 0xc000
  movw $\selector, 0xc008
  rex64 ljmp *0xc000
1:
END
CASE "lcall \name"
  movq $\offset, 0xc000
  movw $\selector, 0xc008
  rex64 lcall *0xc000
1: pop %rax
  sub V_START, %eax
  pop %rbx
END
CASE "lret \name"
  pushq $\selector
  pushq $\offset
  lretq
1:
END
CASE "iret \name"
  mov %rsp, %rax
  pushq $KDS
  push %rax
  pushq $2
  pushq $\selector
  pushq $\offset
  iretq
1:
END
.endm
FAR "same", KCS
FAR "null", 0
FAR "data", KDS
FAR "l and d", CODE_LD
FAR "absent", ABSENT_CODE
FAR "conforming", CONF
FAR "level 3", UCS
FAR "rpl 3", KCS+3
FAR "beyond", 0x1ff8
FAR "ldt", 4
FAR "tss", TSS_SEL
FAR "ldt descriptor", LDT_SEL
FAR "busy", BUSY
FAR "16-bit tss", TSS16
FAR "task gate", TASK_GATE
CASE "to 32-bit code and back"
  movl $1f, 0xc000
  movw $KCS32, 0xc004
  ljmp *0xc000
  .code32
1: mov $0x11111111, %eax
  inc %ecx
  ljmp $KCS, $2f
  .code64
2: mov %cs, %ebx
END
CASE "lret to level 3"
  push $UDS+3
  push $USER_TOP+ALIAS
  push $UCS+3
  push $1f+ALIAS
  lretq
1: mov %cs, %eax
END
CASE "lret to compat"
  push $UDS+3
  push $USER_TOP+ALIAS
  push $UCS32+3
  push $1f+ALIAS
  lretq
  .code32
1: mov %cs, %eax
  int $0x31
END
CASE "iret to level 3 with null ss"
  push $3
  push $USER_TOP+ALIAS
  push $2
  push $UCS+3
  push $1f+ALIAS
  iretq
1:
END
CASE "iret to level 0 with null ss"
  mov %rsp, %rax
  push $0
  push %rax
  push $2
  push $KCS
  push $1f
  iretq
1: mov %ss, %ebx
END
CASE "iret to compat with null ss"
  push $3
  push $USER_TOP+ALIAS
  push $2
  push $UCS32+3
  push $1f+ALIAS
  iretq
1:
END
CASE "iret with nt", fl=0x4002
  iretq
END
CASE "iretl takes rsp and ss"
  mov %esp, %eax
  sub $20, %rsp
  movl $1f, (%rsp)
  movl $KCS, 4(%rsp)
  movl $2, 8(%rsp)
  movl %eax, 12(%rsp)
  movl $KDS, 16(%rsp)
  iretl
1:
END
CASE "iret with vm is no vm"
  mov %rsp, %rax
  push $KDS
  push %rax
  push $0x20002
  push $KCS
  push $1f
  iretq
1:
END
.macro GATECALL name, selector
CASE "\name"
  movl $0, 0xc000
  movl $\selector, 0xc004
  lcall *0xc000
END
USER "user \name"
  movw $\selector, 0xc004 + ALIAS
  lcall *0xc000 + ALIAS
END
.endm
GATECALL "gate call", CALL64
GATECALL "gate call, dpl 0", CALL_DPL0
GATECALL "gate call to 32-bit code", CALL_TO32
GATECALL "gate call, absent", CALL_ABSENT
GATECALL "gate call to conforming code", CALL_CONF
GATECALL "gate call, upper type", CALL_UPPER
GATECALL "gate call, null", CALL_NULL
GATECALL "gate call of a task gate", TASK_GATE

SAY "-- selectors"
.macro LOOK selector
CASE "look \selector"
  mov $\selector, %edi
  lar %edi, %eax
  setz %cl
  lsl %edi, %ebx
  setz %ch
  and $0xfff0ffff, %eax
  xor %edi, %edi
END
CASE "ds, ss \selector"
  mov $\selector, %eax
  mov %eax, %ds
  mov %eax, %ss
  mov $KDS, %ebx
  mov %ebx, %ss
END
.endm
LOOK 0
LOOK KCS
LOOK KDS
LOOK UDS
LOOK ABSENT
LOOK RONLY
LOOK TSS_SEL
LOOK LDT_SEL
LOOK CALL64
LOOK TSS16
LOOK TASK_GATE
LOOK TSS_UPPER
LOOK BUSY
CASE "ltr upper type"
  mov $TSS_UPPER, %eax
  ltr %ax
END
CASE "ltr 16"
  mov $TSS16, %eax
  ltr %ax
END
CASE "ltr busy"
  mov $BUSY, %eax
  ltr %ax
END
CASE "null ss with rpl 3 at level 0"
  mov $3, %eax
  mov %eax, %ss
END
USER "user null ss"
  mov $3, %eax
  mov %eax, %ss
END
USER "user null ds"
  xor %eax, %eax
  mov %eax, %ds
  mov gdt+ALIAS, %rcx
END

SAY "-- syscall and sysenter"
  SET_MSR 0xc0000080, 0xd01, 0
  SET_MSR 0xc0000081, 0, (KCS | ((UCS32 + 3) << 16))
  SET_MSR 0xc0000082, syscall_target, 0
  SET_MSR 0xc0000083, syscall_target, 0
  SET_MSR 0xc0000084, 0x300, 0
USER "syscall", fl=0x202
  syscall
END
USER "syscall with tf masked", fl=0x302
  syscall
END
  SET_MSR 0xc0000084, 0x200, 0
USER "syscall with tf kept", fl=0x302
  syscall
END
CASE "syscall at level 0"
  syscall
END
CASE "sysret"
  mov $1f+ALIAS, %ecx
  mov $0x3202, %r11d
  sysretq
1: mov %cs, %eax
  mov %ss, %ebx
END
CASE "sysret sets tf"
  mov $1f+ALIAS, %ecx
  mov $0x102, %r11d
  sysretq
1: nop
  nop
END
CASE "sysret to compat"
  mov $1f+ALIAS, %ecx
  mov $0x202, %r11d
  sysretl
  .code32
1: mov %cs, %eax
  mov %ss, %ebx
  int $0x31
END
CASE "sysret not canonical"
  mov $1, %ecx
  shl $47, %rcx
  sysretq
END
USER "user sysret"
  sysretq
END
  SET_MSR 0xc0000080, 0xd00, 0
USER "syscall without sce"
  syscall
END
CASE "sysret without sce"
  sysretq
END
  SET_MSR 0x174, KCS, 0
  SET_MSR 0x175, MON_TOP-0x40, 0
  SET_MSR 0x176, syscall_target, 0
USER "sysenter", fl=0x202
  sysenter
END
COMPAT "compat sysenter", fl=0x202
  sysenter
END
USER "user sysexit"
  sysexitl
END

SAY "-- debug"
LOG 2, 0x10000
USER "user tf", fl=0x102
  nop
  inc %rax
END
CASE "breakpoint of eight bytes"
  mov $0xc008, %eax
  mov %rax, %dr0
  mov $0x90402, %eax
  mov %rax, %dr7
  movb $1, 0xc007
  movb $1, 0xc00f
  movq $1, 0xc010
  movq $1, 0xc001
  mov $0x400, %eax
  mov %rax, %dr7
END
CASE "breakpoint of code"
  mov $1f, %eax
  mov %rax, %dr3
  mov $0x480, %eax
  mov %rax, %dr7
1: nop
  mov $0x400, %eax
  mov %rax, %dr7
END
LOG 0
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
