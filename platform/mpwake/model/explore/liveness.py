"""Which registers of a program may be read again: the others do not make two states differ."""

from __future__ import annotations

from mpwake.model.program import ALWAYS, REGISTER, Op, Program

_OPERANDS: dict[int, tuple[int, ...]] = {
    Op.STORE: (3,),
    Op.BRANCH: (2, 4),
    Op.SET: (2,),
    Op.ADD: (2,),
    Op.POLL: (4,),
    Op.SWAP: (4,),
    Op.EMIT: (2,),
    **dict.fromkeys((Op.JUMP, Op.ENTER, Op.RETURN, Op.WOKEN_TEST, Op.WOKEN_ADD, Op.WOKEN_REMOVE, Op.RESET), (1,)),
    Op.DELAY: (1,),
}
_WRITES: dict[int, tuple[int, ...]] = {Op.LOAD: (1,), Op.SWAP: (1,), Op.SET: (1,), Op.NEXT: (1, 2, 3)}
_TARGETS: dict[int, int] = {Op.BRANCH: 6, Op.POLL: 6, Op.NEXT: 4, Op.WOKEN_TEST: 3}


def _reads(row: list[int]) -> set[int]:
    found = {row[column + 1] for column in _OPERANDS.get(row[0], ()) if row[column] == REGISTER}
    if row[0] == Op.ADD:
        found.add(row[1])
    if row[0] == Op.POLL and row[7] >= 0:
        found.add(row[7])
    return found


def _following(at: int, row: list[int]) -> list[int]:
    ends = row[0] in (Op.HALT, Op.DIE, Op.JUMP) or (row[0] == Op.BRANCH and row[1] == ALWAYS)
    return ([] if ends else [at + 1]) + ([row[_TARGETS[row[0]]]] if row[0] in _TARGETS else [])


def live_registers(program: Program) -> list[frozenset[int]]:
    """Return for each row the registers that it, or a row after it, may read before they are written."""
    rows = program.code.tolist()
    live: list[frozenset[int]] = [frozenset() for _ in rows]
    changed = True
    while changed:
        changed = False
        for at in range(len(rows) - 1, -1, -1):
            row = rows[at]
            after = frozenset[int]().union(*(live[one] for one in _following(at, row)))
            if row[0] == Op.JUMP and program.reset >= 0:
                after |= live[program.reset]
            now = (after - {row[column] for column in _WRITES.get(row[0], ())}) | _reads(row)
            changed, live[at] = changed or now != live[at], now
    return live
