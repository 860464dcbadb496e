# The firmware of the kernel target: every processor starts here, and is parked here.
#
#   as -o rom.o rom.s && ld -Ttext=0xf0000 -o rom.elf rom.o && objcopy -O binary rom.elf rom.bin
#
# The bytes lie at 0xF0000, which QEMU shows of the last 64 KiB below 4 GiB too. layout.py prepares what they read:
# the boot block, the page tables, and a block for each APIC ID. Its constants are the same as these.

.intel_syntax noprefix

.set BOOT,       0x1FC00000             # the boot block
.set B_COUNT,    BOOT + 0x00            # how many processors are parked
.set B_EXPECTED, BOOT + 0x04            # how many there will be
.set B_ENTRY,    BOOT + 0x08            # the kernel's 64-bit entry
.set B_ZERO,     BOOT + 0x10            # its boot_params
.set B_PAGES,    BOOT + 0x20            # 0xF00 of each traced page, 8 bytes each, 0 behind the last
.set B_CONFIG,   BOOT + 0x100           # pairs of a PCI configuration address and a value, 0 behind the last
.set PML5,       BOOT + 0x1000
.set PML4,       BOOT + 0x2000
.set BLOCKS,     BOOT + 0x10000         # by APIC ID

.set BLOCK,      256                    # bytes of a block, its stack at the end
.set ROLE,       0x00                   # 0 parks, 1 boots the kernel, 2 keeps the time
.set TAKES,      0x01                   # 0 its own commands, 1 any, 2 none
.set ACKS,       0x02
.set STARTS,     0x03
.set TESTS,      0x04
.set RETURNS,    0x05
.set JUNK,       0x06
.set DIRECTION,  0x07
.set NXE,        0x08
.set LA57,       0x09
.set BEFORE,     0x10                   # time-stamp counts
.set AFTER,      0x18
.set ADD_CR0,    0x20
.set ADD_CR4,    0x28
.set SIDE,       0x30                   # pages mapped on each side of the vector's, or -1
.set POOL,       0x38                   # room for the page tables of that
.set POLLED,     0x40                   # the mailbox where nothing is traced, or 0
.set MAILBOX,    0x48                   # the mailbox

# In a traced page of firmware's own, where no memory is: what it tells.
.set TELL,       0xE0000F00
.set JUMPS,      TELL + 0x10            # the vector, in two halves
.set RETURNED,   TELL + 0x18
.set BOOTS,      TELL + 0x20
.set TIME,       0x1C                   # in each page: hundredths of a second, the number of the page in the upper 4 bits

.set POOL_PAGES, 12
.set SPIN,       500                    # turns of the one that keeps the time, where nobody else
.set BUSY,       20000                  # had so many time-stamp counts since its last
.set TICK,       10000000               # time-stamp counts in a hundredth of a second
.set ICR,        0xFEE00300
.set SVR,        0xFEE000F0
.set EOI,        0xFEE000B0
.set LINT0,      0xFEE00350
.set LINT1,      0xFEE00360
.set ROM_PAGE,   0xF0000
.set CODE32,     0x08
.set CODE64,     0x10
.set DATA,       0x18

.text
.code16
start:
        .byte   0x37                    # AAA: none in 64-bit mode, for who runs on through empty memory until here
        cli
        cld
        data32 lgdt cs:[gdt_pointer - start]
        mov     eax, 0x11               # PE, ET
        mov     cr0, eax
        data32 ljmp CODE32, offset protected

.code32
protected:
        mov     eax, DATA
        mov     ds, eax
        mov     es, eax
        mov     ss, eax
        mov     fs, eax
        mov     gs, eax
        mov     eax, 1
        cpuid
        shr     ebx, 24
        shl     ebx, 8
        lea     edi, [ebx + BLOCKS]
        mov     eax, 1 << 5             # PAE
        mov     edx, PML4
        cmp     byte ptr [edi + LA57], 0
        je      1f
        or      eax, 1 << 12
        mov     edx, PML5
1:      mov     cr4, eax
        mov     cr3, edx
        mov     ecx, 0xC0000080         # EFER
        rdmsr
        or      eax, 1 << 8             # LME
        wrmsr
        mov     eax, 0x80010011         # PG, WP, ET, PE
        mov     cr0, eax
        ljmp    CODE64, offset long_mode

.code64
long_mode:
        lea     rsp, [rdi + BLOCK]
        lidt    [idt_pointer]
        mov     ecx, 0x1B               # APIC_BASE
        rdmsr
        test    eax, 1 << 8             # BSP
        jz      role

        mov     al, 0xFF                # every interrupt of the 8259s masked
        out     0x21, al
        out     0xA1, al
        mov     ebx, SVR                # what they let through goes to the one that boots: virtual wire mode, for an
        mov     dword ptr [rbx], 0x1FF  # operating system that is not to look for an APIC
        mov     dword ptr [rbx + LINT0 - SVR], 0x8700
        mov     dword ptr [rbx + LINT1 - SVR], 0x8400
        mov     rsi, offset B_CONFIG
configure:
        lodsd
        test    eax, eax
        jz      wake_others
        mov     edx, 0xCF8
        out     dx, eax
        lodsd
        mov     edx, 0xCFC
        out     dx, eax
        jmp     configure
wake_others:
        mov     ebx, ICR
        mov     dword ptr [rbx], 0xC4500        # INIT to all others
        mov     ecx, 1000
1:      pause
        loop    1b
        mov     dword ptr [rbx], 0xC46F0        # SIPI to 0xF0000

role:
        cmp     byte ptr [rdi + ROLE], 1
        je      boot
        cmp     byte ptr [rdi + ROLE], 2
        je      keep_time
        mov     eax, offset B_COUNT
        lock inc dword ptr [rax]
        jmp     park

boot:
        mov     ebx, offset BOOT
1:      pause
        mov     eax, [rbx + B_COUNT - BOOT]
        cmp     eax, [rbx + B_EXPECTED - BOOT]
        jne     1b
        mov     edx, BOOTS
        mov     dword ptr [rdx], 1
        mov     rsi, [rbx + B_ZERO - BOOT]
        jmp     [rbx + B_ENTRY - BOOT]

# The one that nobody knows of: it tells the time, and lets it pass while all others only wait.
keep_time:
        xor     r12d, r12d
        call    tell_time
        mov     eax, offset B_COUNT
        lock inc dword ptr [rax]
        call    now
        mov     r14, rax
        lea     r13, [rax + TICK]
1:      pause
        call    now
        sub     rax, r14                # what the others took for themselves
        cmp     rax, BUSY
        ja      3f
        mov     edx, SPIN
2:      .rept   500                     # an emulator does nothing for these, and time passes
        nop
        .endr
        dec     edx
        jnz     2b
3:      call    now
        mov     r14, rax
        cmp     rax, r13
        jb      1b
        add     r13, TICK
        inc     r12d
        call    tell_time
        jmp     1b

tell_time:
        mov     esi, offset B_PAGES
        xor     ecx, ecx
1:      mov     rbx, [rsi]
        test    rbx, rbx
        jz      2f
        mov     eax, ecx
        shl     eax, 28
        or      eax, r12d
        mov     [rbx + TIME], eax
        add     rsi, 8
        inc     ecx
        jmp     1b
2:      ret

now:
        rdtsc
        shl     rdx, 32
        or      rax, rdx
        ret

# r8: how many time-stamp counts to wait
delay:
        call    now
        add     r8, rax
1:      call    now
        cmp     rax, r8
        jae     2f
        pause
        jmp     1b
2:      ret

park:
        mov     eax, 1
        cpuid
        shr     ebx, 24
        mov     r15d, ebx
        mov     rbx, [rdi + POLLED]
        mov     rbp, [rdi + MAILBOX]
        test    rbx, rbx
        jz      dead
poll:
        pause
        movzx   eax, word ptr [rbx]
        cmp     eax, 1
        je      wakeup
        cmp     eax, 2
        jne     poll
        cmp     [rbx + 4], r15d
        jne     poll
        cmp     byte ptr [rdi + TESTS], 0
        je      poll
        mov     word ptr [rbp], 0
        jmp     poll
wakeup:
        cmp     byte ptr [rdi + TAKES], 1
        ja      poll
        je      1f
        cmp     [rbx + 4], r15d
        jne     poll
1:      mov     r14, [rbx + 8]
        mov     r8, [rdi + BEFORE]
        call    delay
        cmp     byte ptr [rdi + ACKS], 0
        je      2f
        mov     word ptr [rbp], 0
2:      mov     r8, [rdi + AFTER]
        call    delay
        cmp     byte ptr [rdi + STARTS], 0
        jne     hand_over
dead:
        hlt
        jmp     dead

# QEMU's local APIC takes interrupts although it is disabled, as no real one does: they are not handed over.
hand_over:
        mov     ecx, 0x1B               # APIC_BASE
        rdmsr
        test    eax, 1 << 10            # x2APIC mode
        jnz     1f
        mov     edx, SVR
        mov     r8d, [rdx]
        mov     ecx, r8d
        or      ecx, 1 << 8
        mov     [rdx], ecx
        sti
        nop
        nop
        cli
        mov     [rdx], r8d
1:
        mov     edx, JUMPS
        mov     [rdx], r14d
        mov     rax, r14
        shr     rax, 32
        mov     [rdx + 4], eax
        mov     ecx, 0xC0000080
        rdmsr
        and     eax, ~(1 << 11)
        cmp     byte ptr [rdi + NXE], 0
        je      1f
        or      eax, 1 << 11
1:      wrmsr
        mov     r9, cr3
        cmp     qword ptr [rdi + SIDE], 0
        jl      2f
        call    map_around
2:      mov     rax, cr4
        or      rax, [rdi + ADD_CR4]
        mov     cr4, rax
        mov     rax, cr0
        or      rax, [rdi + ADD_CR0]
        mov     cr0, rax
        push    2
        cmp     byte ptr [rdi + DIRECTION], 0
        je      3f
        or      qword ptr [rsp], 1 << 10
3:      popfq
        mov     rax, r14
        movabs  r15, 0xA5A5A5A5A5A5A5A5
        cmp     byte ptr [rdi + JUNK], 0
        jne     4f
        mov     r15d, 0
4:      mov     cr3, r9                 # the stack and the block may be gone from here on
        mov     rbx, r15
        mov     rcx, r15
        mov     rdx, r15
        mov     rsi, r15
        mov     rdi, r15
        mov     rbp, r15
        mov     rsp, r15
        mov     r8, r15
        mov     r9, r15
        mov     r10, r15
        mov     r11, r15
        mov     r12, r15
        mov     r13, r15
        mov     r14, r15
        jmp     rax

# r9: page tables that map the pages around r14 to themselves, and this one
map_around:
        push    rdi
        mov     ecx, POOL_PAGES * 512
        mov     rdi, [rdi + POOL]
        mov     r9, rdi                 # the root
        lea     r10, [rdi + 0x1000]     # the next page of the pool
        xor     eax, eax
        rep stosq
        pop     rdi
        mov     r8d, ROM_PAGE
        call    map_page
        mov     r11, [rdi + SIDE]
        mov     r8, r14
        and     r8, ~0xFFF
        mov     rax, r11
        shl     rax, 12
        sub     r8, rax
        lea     r11, [r11 * 2 + 1]
1:      call    map_page
        add     r8, 0x1000
        dec     r11
        jnz     1b
        ret

# r8: the page
map_page:
        mov     rsi, r9
        mov     ecx, 39
        mov     rax, cr4
        bt      eax, 12
        jnc     1f
        mov     ecx, 48
1:      mov     rdx, r8
        shr     rdx, cl
        and     edx, 511
        cmp     ecx, 12
        je      3f
        mov     rax, [rsi + rdx * 8]
        test    rax, rax
        jnz     2f
        lea     rax, [r10 + 3]
        mov     [rsi + rdx * 8], rax
        add     r10, 0x1000
2:      and     rax, ~0xFFF
        mov     rsi, rax
        sub     ecx, 9
        jmp     1b
3:      lea     rax, [r8 + 3]
        mov     [rsi + rdx * 8], rax
        ret

# The code at ResetVector, copied there: on the page tables of the operating system first, in which only its page need be
# mapped.
reset:
        cli
        cld
        mov     ecx, PML4
        mov     rax, cr4
        bt      eax, 12
        jnc     1f
        mov     ecx, PML5
1:      mov     cr3, rcx
        mov     ecx, offset came_back
        jmp     rcx
reset_end:

came_back:
        and     eax, 1 << 12
        or      eax, 1 << 5
        mov     cr4, rax
        mov     eax, 0x80010011
        mov     cr0, rax
        mov     eax, 1
        cpuid
        shr     ebx, 24
        shl     ebx, 8
        lea     edi, [rbx + BLOCKS]
        lea     rsp, [rdi + BLOCK]
        lgdt    [gdt_pointer]
        lidt    [idt_pointer]
        push    CODE64
        push    offset 1f
        retfq
1:      mov     eax, DATA
        mov     ds, eax
        mov     es, eax
        mov     ss, eax
        mov     fs, eax
        mov     gs, eax
        mov     edx, RETURNED
        mov     dword ptr [rdx], 1
        cmp     byte ptr [rdi + RETURNS], 0
        je      dead
        jmp     park

# An operating system that stops all processors sends some an NMI that it does not know of.
nmi:
        iretq

drain:
        push    rax
        mov     eax, EOI
        mov     dword ptr [rax], 0
        pop     rax
        iretq

.align 16
gdt:
        .quad   0
        .quad   0x00CF9A000000FFFF      # 32-bit code
        .quad   0x00AF9A000000FFFF      # 64-bit code
        .quad   0x00CF92000000FFFF      # data
idt:
        .quad   0, 0
        .quad   0, 0
        .word   nmi - start             # the gate of the NMI, at 0xF0000 and up
        .word   CODE64, 0x8E00, 0xF, 0, 0, 0, 0
        .fill   2 * (32 - 3), 8, 0
        .rept   256 - 32
        .word   drain - start, CODE64, 0x8E00, 0xF, 0, 0, 0, 0
        .endr
idt_end:
gdt_pointer:
        .word   idt - gdt - 1
        .long   gdt, 0
idt_pointer:
        .word   idt_end - idt - 1
        .quad   idt
# The last four bytes: where the code for ResetVector is, and how long.
        .word   reset - start, reset_end - reset
