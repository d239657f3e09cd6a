# Mixed integer code in 64-bit mode, as a flat Multiboot 1 kernel: `rounds` times the loop, then 0 to
# isa-debug-exit, which ends the machine with status 1. The program is in mips.mjs as bytes, made by:
#   gcc -m32 -nostdlib -static -Wl,-Ttext=0x100000 -Wl,--build-id=none mips.S -o mips.elf
#   objcopy -O binary -j .text mips.elf mips.bin && base64 -w 90 mips.bin
        .code32
header: .long 0x1badb002, 0x00010000, -(0x1badb002 + 0x00010000)
        .long header, header, end, end, start    # header, load, load end, bss end, entry
rounds: .long 1000000
start:  movl $0x180000, %esp
        # page tables at 0x110000: one PML4 entry, one PDPT entry, 2 MiB pages over 1 GiB
        movl $0x111003, 0x110000
        movl $0x112003, 0x111000
        xorl %ecx, %ecx
1:      movl %ecx, %eax
        shll $21, %eax
        orl $0x83, %eax
        movl %eax, 0x112000(,%ecx,8)
        incl %ecx
        cmpl $512, %ecx
        jne 1b
        movl $0x110000, %eax
        movl %eax, %cr3
        movl %cr4, %eax
        orl $0x20, %eax
        movl %eax, %cr4
        movl $0xc0000080, %ecx
        rdmsr
        orl $0x100, %eax
        wrmsr
        movl %cr0, %eax
        orl $0x80000000, %eax
        movl %eax, %cr0
        movl rounds, %ebp
        lgdt gdtr
        ljmp $8, $long
        .code64
long:   movl $16, %eax
        movl %eax, %ds
        movl %eax, %ss
        movl $0x140000, %esi
        movl $0x9e3779b9, %eax
        xorl %ebx, %ebx
        xorl %edx, %edx
        jmp loop
leaf:   imulq $31, %rdx, %rdx
        leaq 7(%rdx,%rax,2), %rdx
        ret
        .balign 16
loop:   movq %rax, %rcx
        shrq $13, %rcx
        xorq %rcx, %rax
        rolq $7, %rax
        addq %rbx, %rax
        movl %eax, %edi
        andl $0xff8, %edi
        movq (%rsi,%rdi), %r8
        addq %rax, %r8
        movq %r8, (%rsi,%rdi)
        cmpl $0x7fffffff, %r8d
        jb 2f
        incq %rbx
2:      movzbl %al, %r9d
        subl %r9d, %edx
        sbbq %r10, %r10
        orq %r10, %rbx
        pushq %rax
        call leaf
        popq %rax
        testl $1, %eax
        sete %r11b
        decl %ebp
        jne loop
        xorl %eax, %eax
        movw $0xf4, %dx
        outb %al, %dx
        hlt
        .balign 8
gdt:    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdtr:   .word 23
        .long gdt
end:
