"""The kernel target: an unmodified operating system booted under QEMU, with the suite as its firmware."""
