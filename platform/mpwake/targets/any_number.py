"""The exploration of a platform of the model for any number of processors at once.

One and two are explored by themselves: with them nothing is taken together, and whether everybody gets where it was
asked to is known. All greater numbers are explored together (``model/explore/everybody.py``), where more may happen
than really can; what is wrong there counts only when some number of processors shows it.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from mpwake.evidence.exploration import Exploration
from mpwake.evidence.trace import OPS
from mpwake.model.explore.everybody import Covered, everybody
from mpwake.model.explore.local import Unexplorable
from mpwake.model.explore.monitors import Wrong
from mpwake.model.explore.search import Listener
from mpwake.model.explore.symmetry import UnlikeError
from mpwake.model.explore.tables import Setup
from mpwake.model.probe import BOOT_ID
from mpwake.targets.exploration import Explored, Sides, Task, agents_of, explored_with, ids_of, probe_of, setup_of

ALONE = (1, 2)
MORE = (3, 4)
# How many processors there are numbers for: the last stands for those whom nobody names.
POOLS = (3, 4, 5, 6)
# The second pool has nothing in common with the first: neither an APIC ID nor a vector, nor a byte of one, nor order.
OTHER_ID, OTHER_VECTOR = 0xFE00_7A93, 0x5B3C_F000


def explore_any(task: Task, both: Sides, listener: Listener | None = None) -> Explored:
    """Explore a platform for any number of processors."""
    known: frozenset[Wrong] = frozenset()
    for aps in ALONE:
        found = explored_with(task, both, aps, listener)
        if found.exploration.violation or found.exploration.incomplete or found.exploration.missing:
            return found
        known |= found.kinds
    try:
        covered = everybody(pools(task, both))
    except (UnlikeError, Unexplorable) as error:
        return Explored(_told(task, both, incomplete=f"nothing follows for any number of processors: {error.reason}"))
    doubtful = sorted(covered.wrongs.keys() - known)
    for aps in MORE if doubtful else ():
        found = explored_with(task, both, aps, listener)
        if found.exploration.violation:
            return found
    reason = ""
    if doubtful:
        names = ", ".join(one.name.lower().replace("_", " ") for one in doubtful)
        reason = (
            f"more than {MORE[-1]} processors may do wrong ({names}), or none at all; --aps {MORE[-1] + 1} tells more"
        )
    return Explored(_told(task, both, covered, found.exploration.notes, reason), edition=found.edition)


def pools(task: Task, both: Sides, sizes: tuple[int, ...] = POOLS) -> Iterator[tuple[Setup, Setup]]:
    """Yield what is explored with more and more numbers for processors, each beside one with nothing in common."""
    for aps in sizes:
        one = setup_of(both, probe_of(ids_of(both, aps)), task.memory, True)
        ids = [OTHER_ID - 0x0101_0305 * number for number in range(aps)]
        wanted = ((OPS["wake"], apic, OTHER_VECTOR - 0x0312_5000 * number) for number, apic in enumerate(ids))
        yield one, attrs.evolve(one, ids=(BOOT_ID, *ids), requests=tuple(wanted))


def _told(
    task: Task, both: Sides, covered: Covered | None = None, notes: tuple[str, ...] = (), incomplete: str = ""
) -> Exploration:
    one = covered or Covered()
    return Exploration(
        target=f"model:{task.platform}",
        agent=agents_of(both),
        ids=(BOOT_ID,),
        memory=task.memory,
        states=one.states,
        transitions=one.transitions,
        depth=one.depth,
        incomplete=incomplete,
        sometimes={
            "a processor at its vector": one.landings,
            "everybody landed, and the operating system at its end": one.goals,
        },
        notes=notes,
        any_number=True,
    )
