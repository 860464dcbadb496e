# Two system calls that busybox has no command for. The exit code is the error number.
#
#   kexec KERNEL INITRAMFS COMMAND-LINE FLAGS     kexec_file_load; FLAGS is one digit: 0, or 2 for after a crash
#   kexec                                         reboot into what was loaded
#
#   as -o kexec.o kexec.s && ld -N -n -e start -o kexec kexec.o && strip kexec

.intel_syntax noprefix

.set OPEN,            2
.set EXIT,            60
.set REBOOT,          169
.set KEXEC_FILE_LOAD, 320
.set MAGIC1,          0xFEE1DEAD
.set MAGIC2,          672274793
.set CMD_KEXEC,       0x45584543

.globl start
.text
start:
        mov     rbp, rsp
        cmp     qword ptr [rbp], 5
        jne     reboot
        mov     rdi, [rbp + 16]
        call    open
        mov     r12d, eax
        mov     rdi, [rbp + 24]
        call    open
        mov     esi, eax
        mov     edi, r12d
        mov     r10, [rbp + 32]
        xor     edx, edx
1:      inc     edx
        cmp     byte ptr [r10 + rdx - 1], 0
        jne     1b
        mov     rax, [rbp + 40]
        movzx   r8d, byte ptr [rax]
        sub     r8d, '0'
        mov     eax, KEXEC_FILE_LOAD
        syscall
        jmp     exit
reboot:
        mov     edi, MAGIC1
        mov     esi, MAGIC2
        mov     edx, CMD_KEXEC
        mov     eax, REBOOT
        syscall
exit:
        mov     edi, eax
        neg     edi
        mov     eax, EXIT
        syscall

open:
        xor     esi, esi
        mov     eax, OPEN
        syscall
        test    eax, eax
        js      exit
        ret
