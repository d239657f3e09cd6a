# 64-bit mode: canonical addresses and reserved bits, which QEMU TCG mostly leaves out; Bochs decides.
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

SAY "-- not canonical"
.macro WILD name, insn
CASE "wild \name"
  mov $1, %eax
  shl $63, %rax
  mov %rsp, %rbp
  \insn
END
.endm
WILD "read", "mov (%rax), %ecx"
WILD "write", "mov %ecx, (%rax)"
WILD "add", "addl $1, (%rax)"
WILD "by rbp", "mov %rax, %rbp; mov (%rbp), %ecx"
WILD "by rsp base with index", "mov %rax, %rdx; mov (%rsp,%rdx), %ecx"
WILD "by rbp with ds", "mov %rax, %rbp; mov %ds:(%rbp), %ecx"
WILD "by rbp with fs", "mov %rax, %rbp; mov %fs:(%rbp), %ecx"
WILD "jmp", "jmp *%rax"
WILD "call", "call *%rax"
WILD "ret", "push %rax; ret"
WILD "end of the lower half", "shr $16, %rax; mov -4(%rax), %rcx"
WILD "lret", "push $KCS; push %rax; lretq"
WILD "invlpg", "invlpg (%rax)"
WILD "prefetch", "prefetcht0 (%rax)"
WILD "clflush", "clflush (%rax)"
WILD "lea", "lea 8(%rax), %rcx"
WILD "movsb", "mov %rax, %rsi; mov $0xc000, %edi; movsb"
WILD "stosb", "mov %rax, %rdi; stosb"
WILD "bound of a page", "mov $0x7fff, %ecx; shl $32, %rcx; mov $0xfffffffe, %edx; or %rdx, %rcx; mov (%rcx), %edx"
WILD "lstar", "mov %rax, %rdx; shr $32, %rdx; mov $0xc0000082, %ecx; wrmsr"
WILD "fs base", "mov %rax, %rdx; shr $32, %rdx; mov $0xc0000100, %ecx; wrmsr"
WILD "sysenter eip", "mov %rax, %rdx; shr $32, %rdx; mov $0x176, %ecx; wrmsr"
WILD "iret", "push $KDS; push %rsp; push $2; push $KCS; push %rax; iretq"
WILD "lgdt", "mov %rax, 0xc002; lgdt 0xc000"
USER "user push to a wild stack"
  mov $1, %eax
  shl $63, %rax
  mov %rax, %rsp
  push %rax
END
USER "user pop of a wild stack"
  mov $1, %eax
  shl $63, %rax
  mov %rax, %rsp
  pop %rax
END
USER "user call on a wild stack"
  mov $1, %eax
  shl $63, %rax
  mov %rax, %rsp
  call 1f
1:
END

SAY "-- control registers"
.macro CONTROL name, insn
CASE "\name"
  \insn
END
.endm
CONTROL "pg off", "mov %cr0, %rax; btr $31, %rax; mov %rax, %cr0"
CONTROL "pae off", "mov %cr4, %rax; btr $5, %rax; mov %rax, %cr4"
CONTROL "lme off", "mov $0xc0000080, %ecx; rdmsr; btr $8, %eax; wrmsr"
CONTROL "lma is not written", "mov $0xc0000080, %ecx; rdmsr; btr $10, %eax; wrmsr; rdmsr; mov %eax, %ebx"
CONTROL "high bits of cr0", "mov $1, %eax; shl $32, %rax; mov $0x80000011, %ecx; or %rcx, %rax; mov %rax, %cr0"
CONTROL "cr8", "mov $5, %eax; mov %rax, %cr8; mov %cr8, %rbx; xor %ecx, %ecx; mov %rcx, %cr8"
CONTROL "cr8 of 16", "mov $16, %eax; mov %rax, %cr8"
CONTROL "high bits of dr7", "mov $1, %eax; shl $32, %rax; mov %rax, %dr7"
CONTROL "high bits of dr6", "mov $1, %eax; shl $32, %rax; mov %rax, %dr6"
CONTROL "pcide with a pcid in cr3", "mov %cr3, %rax; or $5, %rax; mov %rax, %cr3; mov %cr4, %rbx; bts $17, %rbx; mov %rbx, %cr4"
  mov $PML4, %eax
  mov %rax, %cr3
CONTROL "pcide", "mov %cr4, %rbx; bts $17, %rbx; mov %rbx, %cr4; mov %cr3, %rax; or $5, %rax; bts $63, %rax; mov %rax, %cr3; mov %cr3, %rcx; mov $PML4, %eax; mov %rax, %cr3; btr $17, %rbx; mov %rbx, %cr4"
CONTROL "invpcid of a bad type", "mov $4, %eax; invpcid 0xc000, %rax"
CONTROL "invpcid of all", "mov $2, %eax; movq $0, 0xc000; movq $0, 0xc008; invpcid 0xc000, %rax"
CONTROL "invpcid with reserved bits", "mov $0, %eax; movq $0x1000, 0xc000; movq $0, 0xc008; invpcid 0xc000, %rax"
CONTROL "invpcid of a wild address", "mov $1, %ecx; shl $63, %rcx; mov %rcx, 0xc008; movq $0, 0xc000; xor %eax, %eax; invpcid 0xc000, %rax"
CONTROL "invpcid with a pcid while there are none", "movq $5, 0xc000; movq $0, 0xc008; xor %eax, %eax; invpcid 0xc000, %rax"
USER "user mov cr8"
  mov %cr8, %rax
END
USER "user invpcid"
  xor %eax, %eax
  invpcid 0xc000+ALIAS, %rax
END

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
