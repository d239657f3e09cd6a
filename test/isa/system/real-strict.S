# Real-address mode: limits and checks that QEMU TCG leaves out; Bochs and the manual say what is right.
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

.macro regs16
  mov $DATA_SEG, %ax
  mov %ax, %ds
  mov $0x1110, %bx
  mov $0x2220, %si
  mov $0x4440, %di
  mov $0x8880, %bp
.endm
.macro strings16
  mov $DATA_SEG, %ax
  mov %ax, %ds
  mov $DATA_SEG+0x800, %ax
  mov %ax, %es
.endm
CASE "mov cr0 pg without pe"
  mov %cr0, %eax
  or $0x80000000, %eax
  mov %eax, %cr0
END
CASE "mov cr0 nw without cd"
  mov %cr0, %eax
  and $~0x40000000, %eax
  or $0x20000000, %eax
  mov %eax, %cr0
END
CASE "ljmpl beyond the limit"
  ljmpl $0, $0x10000
END
CASE "jmpl beyond the limit"
  mov $0x10000, %eax
  jmp *%eax
END
CASE "calll beyond the limit"
  mov $0x10000, %eax
  calll *%eax
END
CASE "retl beyond the limit"
  pushl $0x12345
  retl
END
CASE "pushl at sp 2", sp=2, ss=DATA_SEG
  pushl %eax
END
CASE "pushal at sp 12", sp=0x12, ss=DATA_SEG
  pushal
END
CASE "pop at sp ffff", sp=0xffff, ss=DATA_SEG
  pop %ax
END
CASE "rdmsr of nothing"
  mov $0x12345678, %ecx
  rdmsr
END
CASE "word at ffff"
  regs16
  mov $0xffff, %bx
  mov (%bx), %ax
END
CASE "word at ffff by ss", ss=DATA_SEG
  mov $0xffff, %bp
  mov (%bp), %ax
END
CASE "dword at fffd"
  regs16
  mov $0xfffd, %bx
  mov (%bx), %eax
END
CASE "write at ffff"
  regs16
  mov $0xffff, %bx
  mov %ax, (%bx)
END
CASE "add to fffe"
  regs16
  mov $0xfffe, %bx
  addl $1, (%bx)
END
CASE "movsw across ffff"
  strings16
  mov $0xfffd, %si
  mov $0x10, %di
  mov $3, %cx
  rep movsw
END
CASE "stosw across ffff"
  strings16
  mov $0xfffd, %di
  mov $3, %cx
  rep stosw
END
CASE "lods at ffff"
  strings16
  mov $0xffff, %si
  lodsw
END
CASE "ea 32 beyond the limit"
  regs16
  mov $0x10000, %ecx
  mov (%ecx), %ax
END
CASE "lret frame at ffff", sp=0xffff, ss=DATA_SEG
  lret
END
CASE "iret frame at fffc", sp=0xfffc, ss=DATA_SEG
  iretw
END
CASE "execution runs off ffff"
  mov $0x3000, %ax
  mov %ax, %es
  movb $0x90, %es:0xffff
  ljmp $0x3000, $0xffff
END
CASE "instruction across ffff"
  mov $0x3000, %ax
  mov %ax, %es
  movb $0xb0, %es:0xffff
  ljmp $0x3000, $0xffff
END
CASE "beyond the limit in unreal mode is data only"
  mov $0x20000, %eax
  call *%eax
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
