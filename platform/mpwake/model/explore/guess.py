"""Which local states many processors will come to: those that a few come to, until a step leads elsewhere.

What agents can do covers more than can happen: a processor may load any vector that is ever stored. With fewer local
states the tables are made sooner, and a state has fewer bits. A search that steps out of them begins again with all.
"""

from __future__ import annotations

import attrs
import numpy as np

from mpwake.model.explore.local import Local, Unexplorable
from mpwake.model.explore.packing import pack
from mpwake.model.explore.search import Bounds, Search
from mpwake.model.explore.symmetry import Alike, Tables, UnlikeError, form, named
from mpwake.model.explore.tables import Behaviours, Setup, Within

FEW = 3
STATES = 100_000


def likely(setup: Setup) -> Within | None:
    """Return whether a few processors of the same kind come to a local state, or None where they tell nothing."""
    few = attrs.evolve(
        setup, programs=setup.programs[: FEW + 1], ids=setup.ids[: FEW + 1], requests=setup.requests[:FEW]
    )
    if len(setup.ids) <= FEW + 1:
        return None
    try:
        who, forms = named(setup), _forms(few)
    except (UnlikeError, Unexplorable):
        return None

    def within(agent: int, local: Local) -> bool:
        return form(setup, who, agent, local)[0] in forms

    return within if forms else None


def _forms(setup: Setup) -> frozenset[object]:
    known = Behaviours(setup)
    alike = Alike(known)
    packed = pack(known)
    search = Search(packed, Bounds(states=STATES), alike=Tables(alike, packed.layout).arrays())
    search.run()
    if search.incomplete:
        return frozenset()
    states = np.concatenate(search.levels)
    found: set[object] = set()
    for agent, (field, numbers) in enumerate(zip(packed.layout.agents, known.locals, strict=True)):
        seen = set(np.unique(states[:, field.word] >> np.uint64(field.shift) & np.uint64(field.mask)).tolist())
        found |= {form(setup, alike.named, agent, local)[0] for local, number in numbers.items() if number in seen}
    return frozenset(found)
