# What is run before any verdict is given: accesses of every kind to the mailbox page, whose trace is known (probe.py).
# It is entered as a kernel is, and turns the machine off when it is done.
#
#   as -o probe.o probe.s && ld -Ttext=0x100000 -o probe.elf probe.o && objcopy -O binary probe.elf probe.bin

.intel_syntax noprefix

.set MAILBOX, 0x7F5E5000
.set ALIAS,   0xE0010000                # the same page, where nothing is traced
.set POWER,   0x604                     # PIIX4's PM1 control
.set OFF,     1 << 13

.text
start:
        mov     ebx, MAILBOX
        mov     ebp, ALIAS
        mov     byte ptr [rbx + 0x10], 0x11
        mov     word ptr [rbx + 0x12], 0x2222
        mov     dword ptr [rbx + 0x14], 0x33333333
        movabs  rax, 0x4444444455555555
        mov     [rbx + 0x18], rax
        movzx   eax, byte ptr [rbx + 0x10]
        movzx   eax, word ptr [rbx + 0x12]
        mov     eax, [rbx + 0x14]
        mov     rax, [rbx + 0x18]

        mov     eax, 0x66
        xchg    [rbx + 0x20], eax
        lock or word ptr [rbx + 0x20], 0x11
        mov     eax, 0x77
        mov     ecx, 0x88
        lock cmpxchg [rbx + 0x20], ecx
        lock cmpxchg [rbx + 0x20], ecx
        mov     dword ptr [rbx + 0x31], 0x04030201
        mov     eax, [rbx + 0x31]

        mov     rax, cr4
        or      eax, 1 << 9             # OSFXSR
        mov     cr4, rax
        movups  xmm0, [rbx + 0x10]
        movups  [rbx + 0x40], xmm0
        mov     eax, 0x99
        lea     rdi, [rbx + 0x50]
        mov     ecx, 3
        rep stosb

        mov     dword ptr [rbx + 0x7FC], 0x7FC
        mov     dword ptr [rbx + 0x800], 0x800
        mov     byte ptr [rbx + 0xFFF], 0xFF
        mov     eax, [rbp + 0x800]      # not traced

        mov     dword ptr [rbx + 4], 1
        mov     qword ptr [rbx + 8], offset woken
        mov     word ptr [rbx], 1
1:      pause
        cmp     word ptr [rbp], 0
        jne     1b
1:      pause
        cmp     dword ptr [rbp + 0x100], 0
        je      1b
        mov     edx, POWER
        mov     eax, OFF
        out     dx, ax
2:      hlt
        jmp     2b

woken:
        mov     ebx, MAILBOX
        mov     dword ptr [rbx + 0x100], 0xAA
3:      hlt
        jmp     3b
