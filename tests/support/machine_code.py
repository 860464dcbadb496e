"""AP loops as hand-assembled machine code: one that conforms, and a small assembler for lines of hex with labels."""

from __future__ import annotations

# RBX is the mailbox, as in OVMF. The APIC ID comes from the host: TDG.VP.VMCALL<CPUID 0xB>, EDX in R15.
CONFORMING = """
41 bb 0a 00 00 00      ; mov r11d, 10         the function: CPUID
41 bc 0b 00 00 00      ; mov r12d, 0xb        its leaf
45 31 ed               ; xor r13d, r13d       its sub-leaf
45 31 f6               ; xor r14d, r14d
45 31 ff               ; xor r15d, r15d
45 31 d2               ; xor r10d, r10d       a call that GHCI defines
31 c0                  ; xor eax, eax         TDG.VP.VMCALL
b9 00 fc 00 00         ; mov ecx, 0xfc00      R10 to R15 are passed, no others
66 0f 01 cc            ; tdcall
4d 85 d2               ; test r10, r10
75 >lost               ; jne lost
park:
f3 90                  ; pause
0f b7 03               ; movzx eax, word [rbx]
83 f8 01               ; cmp eax, 1
74 >wake               ; je wake
83 f8 02               ; cmp eax, 2
75 >park               ; jne park
44 39 7b 04            ; cmp [rbx + 4], r15d
75 >park               ; jne park
66 83 3b 02            ; cmp word [rbx], 2    still: Command may be that of the next by now
75 >park               ; jne park
66 c7 03 00 00         ; mov word [rbx], 0
eb >park               ; jmp park
wake:
44 39 7b 04            ; cmp [rbx + 4], r15d
75 >park               ; jne park
66 83 3b 01            ; cmp word [rbx], 1
75 >park               ; jne park
48 8b 43 08            ; mov rax, [rbx + 8]
66 c7 03 00 00         ; mov word [rbx], 0
ff e0                  ; jmp rax
lost:
eb >lost               ; jmp lost
"""


def assemble(text: str) -> bytes:
    """Turn lines of hex into machine code; ``>name`` is the distance to a label, in one byte."""
    lines = [line.partition(";")[0].split() for line in text.splitlines()]
    places: dict[str, int] = {}
    at = 0
    for words in lines:
        if words and words[0].endswith(":"):
            places[words[0][:-1]] = at
        else:
            at += len(words)
    code = bytearray()
    for words in (words for words in lines if words and not words[0].endswith(":")):
        for word in words:
            jump = word.startswith(">")
            code += (
                (places[word[1:]] - len(code) - 1).to_bytes(1, "little", signed=True) if jump else bytes.fromhex(word)
            )
    return bytes(code)


def changed(*changes: tuple[str, str]) -> bytes:
    """Assemble the conforming loop with lines replaced: each is named by a part of it that it alone has."""
    lines = CONFORMING.splitlines()
    for old, new in changes:
        (at,) = (number for number, line in enumerate(lines) if old in line)
        lines[at] = new
    return assemble("\n".join(lines))


# RBX is the mailbox. The APIC ID comes from CPUID, and Test is not known: ACPI 6.5.
SMALL = """
49 89 d8               ; mov r8, rbx          CPUID writes RBX
b8 0b 00 00 00         ; mov eax, 0xb
31 c9                  ; xor ecx, ecx
0f a2                  ; cpuid
park:
f3 90                  ; pause
66 41 83 38 01         ; cmp word [r8], 1
75 >park               ; jne park
41 39 50 04            ; cmp [r8 + 4], edx
75 >park               ; jne park
66 41 83 38 01         ; cmp word [r8], 1     still
75 >park               ; jne park
49 8b 40 08            ; mov rax, [r8 + 8]
66 41 c7 00 00 00      ; mov word [r8], 0
ff e0                  ; jmp rax
"""

# A declaration of SMALL, assembled to loop.bin.
LOOP_YAML = """kind: firmware
code:
  file: loop.bin
  at: 0x7f5e6000
mailbox: 0x7f5e5000
id: cpuid
registers:
  rbx: mailbox
"""
YAML = LOOP_YAML + "edition: acpi-6.5\n"
