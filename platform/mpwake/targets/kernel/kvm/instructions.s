# What is run beside probe.s before any verdict is given under KVM: instructions of kernels that a KVM which carries
# code out in software may lack. Each is announced by its number (probe.py names them) and left out where CPUID has none;
# a wrong result is told by 0x80 and the number, and the end by 0x7F.
#
#   as -o i.o instructions.s && ld -Ttext=0x100000 -o i.elf i.o && objcopy -O binary i.elf instructions.bin

.intel_syntax noprefix

.set TOLD,  0xE9
.set POWER, 0x604                       # PIIX4's PM1 control
.set OFF,   1 << 13
.set AREA,  0x110000                    # room for what is saved, 64 bytes aligned

.macro  announce number
        mov     bpl, \number
        mov     al, \number
        out     TOLD, al
.endm

.text
start:
        mov     esp, 0x120000
        lidt    [idt_pointer]
        mov     rax, cr0
        and     eax, ~(1 << 2)          # EM
        or      eax, 1 << 1             # MP
        mov     cr0, rax
        mov     rax, cr4
        or      eax, 3 << 9             # OSFXSR, OSXMMEXCPT
        mov     cr4, rax
        mov     eax, 1
        cpuid
        mov     r12d, ecx
        xor     r13d, r13d
        xor     eax, eax
        cpuid
        cmp     eax, 7
        jb      1f
        mov     eax, 7
        xor     ecx, ecx
        cpuid
        mov     r13d, ebx
1:
        announce 1                      # SSE2
        mov     eax, 0x01020304
        movd    xmm0, eax
        pshufd  xmm0, xmm0, 0
        movdqa  xmm1, xmm0
        paddd   xmm0, xmm1
        pxor    xmm1, xmm0
        movq    rax, xmm0
        movabs  rdx, 0x0204060802040608
        cmp     rax, rdx
        jne     wrong
        movq    rax, xmm1
        movabs  rdx, 0x0306050C0306050C
        cmp     rax, rdx
        jne     wrong

        announce 2                      # LDMXCSR
        mov     ebx, AREA
        mov     dword ptr [rbx], 0x1F00
        ldmxcsr [rbx]
        stmxcsr [rbx + 4]
        cmp     dword ptr [rbx + 4], 0x1F00
        jne     wrong
        mov     dword ptr [rbx], 0x1F80
        ldmxcsr [rbx]

        announce 3                      # FXRSTOR
        fxsave64 [rbx]
        movq    r14, xmm0
        pxor    xmm0, xmm0
        fxrstor64 [rbx]
        movq    rax, xmm0
        cmp     rax, r14
        jne     wrong

        bt      r12d, 26
        jnc     1f
        announce 4                      # XRSTOR
        mov     rax, cr4
        or      eax, 1 << 18            # OSXSAVE
        mov     cr4, rax
        xor     ecx, ecx
        xor     edx, edx
        mov     eax, 3                  # x87, SSE
        xsetbv
        mov     edi, AREA
        mov     ecx, 1024 / 8
        xor     eax, eax
        rep stosq
        mov     eax, 3
        xor     edx, edx
        xsave64 [rbx]
        pxor    xmm0, xmm0
        xrstor64 [rbx]
        movq    rax, xmm0
        cmp     rax, r14
        jne     wrong
1:
        bt      r12d, 23
        jnc     1f
        announce 5                      # POPCNT
        mov     edx, 0xF0F0F0F0
        popcnt  eax, edx
        cmp     eax, 16
        jne     wrong
1:
        bt      r12d, 13
        jnc     1f
        announce 6                      # CMPXCHG16B
        mov     edi, AREA
        mov     qword ptr [rdi], 1
        mov     qword ptr [rdi + 8], 2
        mov     eax, 1
        mov     edx, 2
        mov     ebx, 3
        mov     ecx, 4
        lock cmpxchg16b [rdi]
        jnz     wrong
        cmp     qword ptr [rdi], 3
        jne     wrong
        cmp     qword ptr [rdi + 8], 4
        jne     wrong
        lock cmpxchg16b [rdi]
        jz      wrong
        cmp     rax, 3
        jne     wrong
        cmp     rdx, 4
        jne     wrong
1:
        bt      r13d, 8
        jnc     1f
        announce 7                      # SHLX
        mov     edx, 5
        mov     ecx, 3
        shlx    eax, edx, ecx
        cmp     eax, 40
        jne     wrong
1:
        bt      r13d, 3
        jnc     1f
        announce 8                      # ANDN
        mov     edx, 0xFF
        mov     ecx, 0xF0F
        andn    eax, edx, ecx
        cmp     eax, 0xF00
        jne     wrong
1:
        announce 9                      # INT3
        xor     r15d, r15d
        int3
        cmp     r15d, 3
        jne     wrong
        mov     al, 0x7F
        out     TOLD, al
        jmp     power_off

wrong:
        mov     al, bpl
        or      al, 0x80
        out     TOLD, al
power_off:
        mov     edx, POWER
        mov     eax, OFF
        out     dx, ax
1:      hlt
        jmp     1b

breakpoint:
        mov     r15d, 3
        iretq

.align 16
idt:
        .quad   0, 0
        .quad   0, 0
        .quad   0, 0
        .word   breakpoint - start      # at 0x100000 and up
        .word   0x10, 0x8E00, 0x10, 0, 0, 0, 0
idt_end:
idt_pointer:
        .word   idt_end - idt - 1
        .quad   idt
