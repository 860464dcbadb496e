"""A monitor of our own for KVM: the machine of the kernel target on the processor itself."""
