"""The names of what code asks the TDX module for: leaves of TDCALL, and functions of TDG.VP.VMCALL."""

from __future__ import annotations

from collections.abc import Mapping, Set

from mpwake.targets.firmware.tdx import ACCEPT, CPUID, HLT, IO, MAP_GPA, RDMSR, VMCALL, VP_INFO, WRMSR

CALL = "vp.vmcall"
LEAVES: Mapping[str, int] = {"vp.info": VP_INFO, "mem.page.accept": ACCEPT}
FUNCTIONS: Mapping[str, int] = {
    f"{CALL}.cpuid": CPUID,
    f"{CALL}.hlt": HLT,
    f"{CALL}.io": IO,
    f"{CALL}.rdmsr": RDMSR,
    f"{CALL}.wrmsr": WRMSR,
    f"{CALL}.map-gpa": MAP_GPA,
}


def leaf_of(registers: Mapping[str, int]) -> str:
    """Return the name of what TDCALL is asked for, with these registers."""
    leaf, function = registers["rax"], registers["r11"]
    if leaf == VMCALL:
        return next((name for name, number in FUNCTIONS.items() if number == function), f"{CALL} {function:#x}")
    return next((name for name, number in LEAVES.items() if number == leaf), f"leaf {leaf:#x}")


def refusal(leaf: str, allowed: Set[str]) -> str:
    """Return why code is not given what it asks for."""
    if not allowed:
        return f"#UD: TDCALL for {leaf}, and this is declared to be no TD"
    return f"TDCALL for {leaf}, which is not declared: {', '.join(sorted(allowed))}"
