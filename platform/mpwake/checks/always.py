"""What holds of every trial, whatever was done in it: the checks that a fuzzer may ask of any scenario.

The other checks speak of one situation (the second wake of a processor, a poisoned page) and say nothing of a trial in
which it did not arise.
"""

from __future__ import annotations

from mpwake.spec.requirements import Role

ALWAYS: dict[Role, tuple[str, ...]] = {
    Role.SENDER: (
        *("SND-01", "SND-02", "SND-03", "SND-04", "SND-05", "SND-06", "SND-08", "SND-11"),
        *("ORD-01", "ORD-06", "TMO-04", "MEM-05", "MEM-09"),
    ),
    Role.RECEIVER: (
        *("RCV-02", "RCV-05", "RCV-06", "RCV-08", "RCV-09", "ORD-04", "ORD-05", "ORD-09", "ORD-10"),
        *("MEM-06", "MEM-07"),
    ),
}

# What can be asked of any boot, whoever arranged it: what rests on stores and on the page alone.
ANY_BOOT: dict[Role, tuple[str, ...]] = {
    Role.SENDER: ("SND-02", "SND-03", "SND-05", "SND-06", "MEM-05", "MEM-09"),
    Role.RECEIVER: ("RCV-09", "ORD-10", "MEM-06"),
}
