"""Disagreements between readers whose cause is known: they are counted, and not told again.

Each is a shape of what a comparison finds, and a sentence that says why it is so. What is not here is told as a
finding, to be explained; where another program is wrong, the tests under ``tests/real`` hold that it still is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from mpwake.fuzz.problem import Problem

KNOWN: tuple[tuple[str, str], ...] = (
    (
        r"differs from iasl: iasl ends behind an entry of Length 2",
        "iasl stops at an entry that has no body, although its Length is right",
    ),
    (
        r"differs from dtc: dtc takes what we call damaged: expected a (node |property )?name (of|without)\b.*",
        "dtc checks names as a rule of the tree, and is asked to go on after broken rules (-f)",
    ),
    (
        r"differs from dtc: dtc takes what we call damaged: expected a(n off_mem_rsvmap| block| memory reservation"
        r"| last_comp_version| version)\b.*",
        "dtc reads of the header what it needs to find the blocks, and nothing else",
    ),
    (
        r"differs from dtc: dtc takes what we call damaged: expected (FDT_\w+.*|a node name that ends inside .*) "
        r"\(the structure block ends before\)",
        "dtc bounds the structure block by the blob, and not by the size that the header gives it",
    ),
    (
        r"differs from fwts: SPECMADTSub\w+ for type 16 under revision 5",
        "fwts does not know type 0x10 under MADT revision 5, although ACPI 6.4 has it",
    ),
    (
        r"differs from fwts: SPECMADTSub(Len|Type) for type (?!16\b)\d+",
        "fwts checks structures of every type, and the mailbox demands nothing of the others",
    ),
)


def told_apart(problems: Iterable[Problem]) -> tuple[tuple[Problem, ...], Counter[str]]:
    """Return the problems that nobody has explained yet, and how often each explanation was the one."""
    fresh, explained = list[Problem](), Counter[str]()
    for one in problems:
        why = next((why for shape, why in KNOWN if re.fullmatch(shape, one.key)), "")
        if why:
            explained[f"known: {why}"] += 1
        else:
            fresh.append(one)
    return tuple(fresh), explained
