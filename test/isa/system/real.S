# Real-address mode: what firmware and boot loaders live in.
.include "monitor.inc"
.include "real-mode.inc"

.set A, 0x3000           # data area in RAM of the image (inside the code: padded below)
.set UNDEF_OF, ~0x800
.set CF, 1
.set DATA_SEG, 0x2000

IMAGE
  mov $CTX, %di
  mov $0x90, %cx
  xor %eax, %eax
  rep stosl
  movl $-1, V_MASK
  movl $0, V_EVENTS
  call install_vectors
  call fill_data
  xor %ax, %ax
  mov %ax, %es

  # Where one lands that ignores limits.
  mov $0x1000, %ax
  call fill_traps
  mov $0x3000, %ax
  call fill_traps
  mov $0x4000, %ax
  call fill_traps

SAY "-- basics"
CASE "nothing"
END
CASE "mov"
  mov $0x1234, %ax
  mov $0x56789abc, %ebx
END
CASE "int3"
  int3
END
CASE "int 3 of two bytes"
  .byte 0xcd, 3
END
CASE "int 21"
  int $0x21
END
CASE "int clears if, tf, ac", fl=0x40a02
  int $0x21
END
CASE "into clear"
  into
END
CASE "into set", fl=0x802
  into
END
CASE "ud2"
  ud2
END
CASE "int1"
  .byte 0xf1
END
CASE "lock nop"
  .byte 0xf0, 0x90
END
CASE "lock add to register"
  .byte 0xf0, 0x01, 0xc0
END
CASE "lock cmp"
  .byte 0xf0, 0x39, 0x07
END
CASE "sixteen bytes"
  .fill 15, 1, 0x66
  nop
END
CASE "fifteen bytes"
  .fill 14, 1, 0x66
  nop
END
CASE "div by zero"
  xor %cx, %cx
  div %cx
END
CASE "div overflow"
  mov $2, %cl
  div %cl
END
CASE "idiv most negative"
  mov $0x8000, %ax
  mov $0xffff, %dx
  mov $-1, %cx
  idiv %cx
END
CASE "aam 0"
  .byte 0xd4, 0
END
CASE "hlt is not reached by cli"
  cli
END

SAY "-- 16-bit addresses"
.macro regs16
  mov $DATA_SEG, %ax
  mov %ax, %ds
  mov $0x1110, %bx
  mov $0x2220, %si
  mov $0x4440, %di
  mov $0x8880, %bp
.endm
.irp form, "(%bx,%si)", "(%bx,%di)", "(%bp,%si)", "(%bp,%di)", "(%si)", "(%di)", "0x1234", "(%bx)", "0x12(%bx,%si)", "-0x12(%bx,%di)", "0x12(%bp,%si)", "-3(%bp,%di)", "1(%si)", "-1(%di)", "0(%bp)", "3(%bx)", "0x7654(%bx,%si)", "-0xdcc(%bx,%di)", "-0x789b(%bp,%si)", "-0x6667(%bp,%di)", "-0x124(%si)", "-0x3211(%di)", "-0x7fff(%bp)", "-0x1112(%bx)"
CASE "ea \form", ss=DATA_SEG
  regs16
  mov \form, %ax
END
.endr
CASE "lea 16 wraps"
  mov $0xffff, %bx
  mov $2, %si
  lea (%bx,%si), %ax
  lea (%bx,%si), %ecx
  lea 0x10(%esi), %dx
END
CASE "ea 32"
  regs16
  mov $0x1000, %ecx
  movzwl %bx, %ebx
  mov 4(%ebx,%ecx,4), %ax
END
CASE "byte at ffff"
  regs16
  mov $0xffff, %bx
  mov (%bx), %al
END
CASE "segment overrides"
  mov $DATA_SEG, %ax
  mov %ax, %fs
  mov $DATA_SEG+0x10, %ax
  mov %ax, %gs
  mov $DATA_SEG+0x21, %ax
  mov %ax, %es
  mov %fs:0, %ax
  mov %gs:0, %bx
  mov %es:0, %cx
  mov %cs:CTX-CTX+0x7f0, %dx
END
CASE "two overrides: the last counts"
  mov $DATA_SEG, %ax
  mov %ax, %fs
  mov $DATA_SEG+0x10, %ax
  mov %ax, %gs
  .byte 0x64, 0x65
  mov 0, %bx
END
CASE "xlat"
  mov $DATA_SEG, %ax
  mov %ax, %ds
  mov $0xfff0, %bx
  mov $0x15, %al
  xlat
END
CASE "segment beyond 1 MiB wraps nowhere with a20"
  mov $0xffff, %ax
  mov %ax, %ds
  movl $0x12345678, 0x100
  mov 0x100, %eax
END

SAY "-- stack"
CASE "push and pop"
  push %ax
  pushl %ebx
  push $-2
  pushl $-2
  push $0x1234
  mov (%esp), %eax
  mov 2(%esp), %ebx
  mov 8(%esp), %ecx
  mov 12(%esp), %dx
END
CASE "push sp"
  push %sp
  pop %ax
  push %esp
  pop %ebx
END
CASE "pop sp"
  push $0x1234
  pop %sp
END
CASE "pop to memory by sp"
  movl $0x11223344, STACK_TOP-8
  push $0x5566
  popw -4(%esp)
  mov STACK_TOP-8, %eax
  mov STACK_TOP-4, %ebx
END
CASE "pusha"
  pusha
  mov (%esp), %eax
  mov 4(%esp), %ebx
  mov 8(%esp), %ecx
  mov 12(%esp), %edx
END
CASE "pushal"
  pushal
  mov 12(%esp), %eax
END
CASE "popa"
  push $1
  push $2
  push $3
  push $4
  push $5
  push $6
  push $7
  push $8
  popa
END
CASE "popal"
  sub $32, %sp
  movl $0x12345678, 12(%esp)
  movl $0x87654321, (%esp)
  popal
END
CASE "push at sp 0 wraps", sp=0, ss=DATA_SEG
  push %ax
  pop %bx
  mov $0x100, %sp
END
CASE "high half of esp stays", sp=0x1234e000
  push %ax
  pushl %eax
  call 1f
1: pop %bx
  pop %ecx
  enter $8, $0
  leave
END
CASE "enter 0"
  mov $0x5555, %bp
  enter $0x10, $0
  mov (%bp), %ax
END
CASE "enter 3"
  mov $0xc800, %bp
  movl $0x11112222, -4(%bp)
  movl $0x33334444, -8(%bp)
  enter $6, $3
  mov (%esp), %eax
  mov 4(%esp), %ebx
  mov 8(%esp), %ecx
  mov 12(%esp), %edx
END
CASE "enterl 2"
  mov $0xc800, %ebp
  enterl $6, $2
  mov (%esp), %eax
  mov 6(%esp), %ebx
  mov 10(%esp), %ecx
END
CASE "enter level 33 is 1"
  enter $0, $33
END
CASE "leave"
  mov $0xc800, %bp
  movw $0x7777, (%bp)
  leave
END
CASE "leavel"
  mov $0xaaaac800, %ebp
  movl $0x77778888, 0xc800
  leavel
END
CASE "pushf", fl=0x40ed7
  pushfl
  pop %eax
  and $0xfffcffff, %eax
END
CASE "popf all"
  pushl $-1 & ~0x1b8100
  popfl
END
CASE "popf 16"
  push $0x7ed5
  popf
END
CASE "popf cannot set vm or rf"
  pushl $0x30000
  popfl
  pushfl
  pop %eax
END
CASE "popf id ac vif vip"
  pushl $0x3c0000
  popfl
  pushfl
  pop %eax
END
CASE "iopl stays as written", fl=0x3002
  pushf
  pop %ax
END
CASE "push segments"
  mov $0x1234, %ax
  mov %ax, %es
  push %es
  push %cs
  push %fs
  mov (%esp), %eax
  pushl %es
  mov (%esp), %bx
  mov 4(%esp), %ecx
END
CASE "pop segments"
  push $0x2001
  push $0x2002
  push $0x2003
  push $0x2004
  pop %ds
  pop %es
  pop %fs
  pop %gs
END
CASE "mov from segment to a 32-bit register"
  mov %cs, %eax
  mov %ds, %ebx
  mov %ss, %cx
END
CASE "mov to cs"
  .byte 0x8e, 0xc8
END
CASE "mov to segment 6"
  .byte 0x8e, 0xf0
END

SAY "-- far"
CASE "ljmp"
  ljmp $0x100, $1f-0x1000
1:
END
CASE "ljmpl"
  ljmpl $0x100, $1f-0x1000
1:
END
CASE "lcall"
  lcall $0x100, $1f-0x1000
1: mov (%esp), %eax
  sub V_START, %eax
END
CASE "lcalll"
  lcalll $0x100, $1f-0x1000
1: mov (%esp), %eax
  sub V_START, %eax
  mov 4(%esp), %ebx
END
CASE "lret"
  push $0x100
  push $1f-0x1000
  lret
1:
END
CASE "lret 4"
  push $0x100
  push $1f-0x1000
  lret $4
1:
END
CASE "lretl 4"
  pushl $0x100
  pushl $1f-0x1000
  lretl $4
1:
END
CASE "iret"
  push $0x0ed7
  push $0x100
  push $1f-0x1000
  iretw
1:
END
CASE "iretl"
  pushl $-1-0x1bf12a
  pushl $0x100
  pushl $1f-0x1000
  iretl
1:
END
CASE "lcall by memory"
  movw $1f-0x1000, 0xc000
  movw $0x100, 0xc002
  lcall *0xc000
1: mov (%esp), %eax
  sub V_START, %eax
END
CASE "ljmpl by memory"
  movl $1f-0x1000, 0xc000
  movw $0x100, 0xc004
  ljmpl *0xc000
1:
END
CASE "les lds lss lfs lgs"
  movw $0x1111, 0xc000
  movl $0x22223333, 0xc002
  les 0xc000, %ax
  lfs 0xc001, %ebx
  lgs 0xc002, %cx
  lss 0xc004, %dx
END
CASE "les of a register"
  .byte 0xc4, 0xc0
END
CASE "jcxz and loop"
  mov $0x10000, %ecx
  jcxz 1f
  mov $1, %al
1: jecxz 2f
  mov $2, %ah
2: mov $3, %ecx
3: inc %bx
  loop 3b
  mov $0x10002, %ecx
4: inc %dx
  addr32 loop 5f
5: mov $1, %cx
  loopne 6f
  inc %si
6:
END
CASE "loop keeps ecx high"
  mov $0x50001, %ecx
  loop 1f
1:
END
CASE "near jump wraps at 16 bits"
  movl $0x90c3c3c3, 0xff0
  call 1f
  jmp 2f
1: pushw $0xff0
  ret
2:
END

SAY "-- bound, bcd"
CASE "bound inside"
  movl $0x00100005, 0xc000
  mov $5, %ax
  bound %ax, 0xc000
  mov $16, %ax
  bound %ax, 0xc000
END
CASE "bound below"
  movl $0x00100005, 0xc000
  mov $4, %ax
  bound %ax, 0xc000
END
CASE "bound above, signed"
  movl $0xfffefff0, 0xc000
  mov $-1, %ax
  bound %ax, 0xc000
END
CASE "boundl"
  movl $-5, 0xc000
  movl $7, 0xc004
  mov $8, %eax
  boundl %eax, 0xc000
END
CASE "bound of a register"
  .byte 0x62, 0xc0
END
# Every value of AL under each CF and AF: results and defined flags into one sum.
.macro BCD op, mask, from
  .irp flags, 0x02, 0x03, 0x12, 0x13
CASE "\op flags \flags"
  xor %bx, %bx
  mov $1, %edi
1: mov $\from, %ah
  mov %bl, %al
  push $\flags
  popf
  \op
  pushf
  pop %dx
  and $\mask, %dx
  movzwl %ax, %eax
  movzwl %dx, %edx
  imul $0x01000193, %edi
  xor %eax, %edi
  imul $0x01000193, %edi
  xor %edx, %edi
  inc %bl
  jnz 1b
  xor %eax, %eax
  xor %edx, %edx
  test %eax, %eax
END
  .endr
.endm
BCD daa, 0xd5, 0x12
BCD das, 0xd5, 0x12
BCD aaa, 0x11, 0x12
BCD aas, 0x11, 0x12
BCD aad, 0xc4, 0x09
BCD aam, 0xc4, 0x12
MASK 0xc6
.irp base, 2, 7, 16, 255
CASE "aad \base"
  mov $0x1234, %ax
  .byte 0xd5, \base
END
CASE "aam \base"
  mov $0x12fe, %ax
  .byte 0xd4, \base
END
.endr
CASE "salc"
  stc
  .byte 0xd6
  mov %al, %bl
  clc
  .byte 0xd6
END
MASK -1

  call fill_data
SAY "-- strings"
.macro strings16
  mov $DATA_SEG, %ax
  mov %ax, %ds
  mov $DATA_SEG+0x800, %ax
  mov %ax, %es
.endm
CASE "movsb wraps at 64K"
  strings16
  mov $0xfffe, %si
  mov $0xfffd, %di
  mov $5, %cx
  rep movsb
  movl %es:0, %eax
  movl %es:0xfffc, %ebx
END
CASE "movsb backwards across 0"
  strings16
  std
  mov $1, %si
  mov $2, %di
  mov $5, %cx
  rep movsb
END
CASE "stosl"
  strings16
  mov $0x20, %di
  mov $0x20002, %ecx
  rep stosl
  mov %es:0x20, %ebx
  mov %es:0x28, %edx
END
CASE "addr32 rep stosb"
  strings16
  mov $0x20, %edi
  mov $3, %ecx
  addr32 rep stosb
END
CASE "rep with cx 0"
  strings16
  mov $0x10000, %ecx
  rep movsb
END
CASE "scasb"
  strings16
  mov $DATA_SEG, %ax
  mov %ax, %es
  mov $0x10, %di
  mov $0x2a, %al
  mov $0x100, %cx
  repne scasb
END
CASE "cmpsb"
  strings16
  mov %ds, %ax
  mov %ax, %es
  movb $0x77, 0x308
  mov $0x200, %si
  mov $0x300, %di
  mov $0x20, %cx
  repe cmpsb
END
CASE "lodsw with override"
  mov $DATA_SEG, %ax
  mov %ax, %fs
  mov $0x10, %si
  lodsw %fs:(%si), %ax
END
CASE "outsb insb"
  mov $0x80, %dx
  mov $0xc000, %di
  movb $0x55, 0xc000
  mov $0xc000, %si
  outsb
END

SAY "-- system"
CASE "smsw"
  smsw %ax
  and $0xffef, %ax
END
CASE "cr0 after reset"
  mov %cr0, %eax
  and $0x9fffffff, %eax
END
CASE "cr4, dr7"
  mov %cr4, %eax
  mov %dr7, %ebx
  mov %dr6, %ecx
END
CASE "mov cr1"
  .byte 0x0f, 0x20, 0xc8
END
.irp op, "sldt %ax", "str %ax", "lldt %ax", "ltr %ax", "verr %ax", "verw %ax", "lar %ax,%bx", "lsl %ax,%bx", "arpl %ax,%bx"
CASE "\op"
  \op
END
.endr
CASE "sgdt sidt"
  movl $-1, 0xc000
  movl $-1, 0xc004
  movw $0x1234, 0xc010
  movl $0xff345678, 0xc012
  lgdtw 0xc010
  sgdt 0xc000
  mov 0xc000, %eax
  movzwl 0xc004, %ebx
  lgdtl 0xc010
  sgdt 0xc000
  mov 0xc000, %ecx
  mov 0xc004, %edx
  sidt 0xc000
  mov 0xc000, %esi
  movzwl 0xc004, %edi
END
CASE "lgdt of a register"
  .byte 0x0f, 0x01, 0xd0
END
CASE "sysenter"
  sysenter
END
CASE "wrmsr efer sce"
  mov $0xc0000080, %ecx
  mov $1, %eax
  xor %edx, %edx
  wrmsr
  rdmsr
END
CASE "wrmsr reserved bits"
  mov $0xc0000080, %ecx
  mov $2, %eax
  xor %edx, %edx
  wrmsr
END
CASE "cpuid"
  mov $0x80000000, %eax
  cpuid
  xor %eax, %eax
  xor %ebx, %ebx
  xor %ecx, %ecx
  xor %edx, %edx
END
CASE "clts"
  mov %cr0, %eax
  or $8, %eax
  mov %eax, %cr0
  clts
  mov %cr0, %eax
  and $8, %eax
END
CASE "lmsw sets ts"
  mov $0x18, %ax
  lmsw %ax
  smsw %bx
  clts
END
CASE "fninit with em"
  mov %cr0, %eax
  or $4, %eax
  mov %eax, %cr0
  fninit
END
CASE "wait with ts and mp"
  mov %cr0, %eax
  and $~4, %eax
  or $0xa, %eax
  mov %eax, %cr0
  fwait
END
CASE "movaps without osfxsr"
  clts
  movaps %xmm0, %xmm1
END
CASE "idt limit"
  movw $0xbf, 0xc000
  movl $0, 0xc002
  lidt 0xc000
  int $0x30
END
CASE "idt limit again"
  int $0x2f
END
CASE "idt limit of the whole table"
  movw $0x3ff, 0xc000
  movl $0, 0xc002
  lidt 0xc000
  int $0x31
END

SAY "-- single step"
LOG 2
CASE "tf", fl=0x102
  nop
  inc %ax
  mov $1, %bx
END
CASE "tf and mov ss", fl=0x102
  mov %ss, %ax
  mov %ax, %ss
  nop
  nop
END
CASE "tf and pop ss", fl=0x102
  push %ss
  pop %ss
  nop
  nop
END
CASE "tf and rep", fl=0x102
  mov $3, %cx
  mov $0xc000, %di
  rep stosb
  nop
END
CASE "tf set by popf"
  push $0x102
  popf
  nop
  push $2
  popf
  nop
END
CASE "tf and int", fl=0x102
  nop
  int $0x21
END
CASE "tf and a fault", fl=0x102
  ud2
END
LOG 0
CASE "code breakpoint"
  mov $1f, %eax
  mov %eax, %dr0
  mov $0x401, %eax
  mov %eax, %dr7
  nop
1: inc %bx
  nop
END
CASE "data breakpoint"
  mov $0xc004, %eax
  mov %eax, %dr0
  mov $0xd0401, %eax
  mov %eax, %dr7
  mov %dr6, %eax
  movb $1, 0xc003
  movw $1, 0xc006
  nop
END
CASE "debug registers after"
  mov %dr6, %eax
  mov $0x400, %ebx
  mov %ebx, %dr7
  mov $0xffff0ff0, %ecx
  mov %ecx, %dr6
END

SAY "-- a20"
CASE "a20"
  mov $0xffff, %ax
  mov %ax, %fs
  movl $0x11111111, 0x510
  movl $0x22222222, %fs:0x520
  inb $0x92, %al
  and $~3, %al
  outb %al, $0x92
  mov 0x510, %ebx
  mov %fs:0x520, %ecx
  movl $0x33333333, %fs:0x520
  mov 0x510, %edx
  or $2, %al
  outb %al, $0x92
  mov %fs:0x520, %esi
  xor %eax, %eax
END

SAY "-- unreal"
  # A flat data segment in protected mode, kept in real mode.
  movw $unreal_gdt_end - unreal_gdt - 1, 0xc000
  movl $unreal_gdt, 0xc002
  lgdt 0xc000
  mov %cr0, %eax
  or $1, %eax
  mov %eax, %cr0
  mov $8, %bx
  mov %bx, %ds
  mov %bx, %es
  and $~1, %eax
  mov %eax, %cr0
  jmp 1f
1:
CASE "flat ds stays when loaded with 0"
  mov $0x100000, %ebx
  movl $0x12345678, (%ebx)
  mov (%ebx), %eax
  mov $0x10000, %esi
  mov $DATA_SEG, %dx
  mov %dx, %ds
  mov (%esi), %ecx
END
CASE "other segments are as before"
  mov $0x100000, %ebx
  mov %fs:(%ebx), %eax
END
CASE "addr32 rep movsl above 1 MiB"
  mov $DATA_SEG << 4, %esi
  mov $0x200000, %edi
  mov $4, %ecx
  addr32 rep movsl
  mov $0x200004, %ebx
  mov (%ebx), %eax
END
  FINISH

fill_data:
  # 64 KiB at 0x20000: dword n holds n * 0x01010101 + 0x03020100 in its low bytes.
  mov $DATA_SEG, %ax
  mov %ax, %es
  xor %di, %di
  mov $0x03020100, %eax
  mov $0x4000, %cx
1: mov %eax, %es:(%di)
  add $0x04040404, %eax
  add $4, %di
  loop 1b
  ret

fill_traps:
  mov %ax, %es
  xor %di, %di
  mov $0xcccc, %ax
  mov $0x8000, %cx
  rep stosw
  ret

.align 8
unreal_gdt:
  .quad 0
  .quad 0x00cf93000000ffff
unreal_gdt_end:
REAL_MONITOR
RESET_VECTOR
