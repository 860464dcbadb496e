"""Partial order: local states whose next step is nobody else's matter, so that it may as well be taken at once.

Such a step reads and writes no cell that others see, no monitor looks at it, and it commutes with each of the agent's
own buffered stores, which may become visible before it or after. So whatever the others do first, it can still be taken
and makes the same of it: its agent's next steps are a persistent set. No agent can take such steps for ever, so that
nobody is left out.
"""

from __future__ import annotations

from collections.abc import Iterator

from mpwake.model.explore.local import LEFT, SENDER, WOKEN, Local, Outcome
from mpwake.model.explore.tables import Behaviours, Move

PRIVATE = (LEFT, WOKEN)


class Eager:
    """The eager local states of each agent."""

    def __init__(self, known: Behaviours) -> None:
        self.known = known
        self.moves: dict[tuple[int, Local], tuple[list[Move], list[Move]]] = {}
        self.found = {
            (agent, local)
            for agent, numbers in enumerate(known.locals)
            for local in numbers
            if self._alone(agent, local)
        }
        self._commuting()
        self._ending()

    def _alone(self, agent: int, local: Local) -> bool:
        moves = [move for move in self.known.moves(agent, local) if any(move.outcomes.values())]
        own = [move for move in moves if move.action.number == 0]
        self.moves[agent, local] = own, [move for move in moves if move.action.number]
        return bool(own) and all(_private(agent, move) and self._known(agent, move) for move in own)

    def _known(self, agent: int, move: Move) -> bool:
        return all(outcome is None or outcome.local in self.known.locals[agent] for outcome in move.outcomes.values())

    def _commuting(self) -> None:
        # The greatest set in which every step commutes with every store that becomes visible, and stays eager after it.
        bad = self.found
        while bad:
            bad = {(agent, local) for agent, local in self.found if not self._commutes(agent, local)}
            self.found -= bad

    def _commutes(self, agent: int, local: Local) -> bool:
        own, drains = self.moves[agent, local]
        for drain in drains:
            (first,) = drain.outcomes.values()
            assert first
            if (agent, first.local) not in self.found:
                return False
            theirs = {move.action: move for move in self.moves[agent, first.local][0]}
            for move in own:
                if move.action not in theirs or not self._diamond(agent, move, drain, first, theirs[move.action]):
                    return False
        return True

    def _diamond(self, agent: int, move: Move, drain: Move, first: Outcome, after: Move) -> bool:
        if move.cells != after.cells or move.outcomes.keys() != after.outcomes.keys():
            return False
        for values, outcome in move.outcomes.items():
            second = after.outcomes[values]
            if outcome is None or second is None:
                return False
            drained = {one.action: one for one in self.moves[agent, outcome.local][1]}.get(drain.action)
            if drained is None:
                return False
            (last,) = drained.outcomes.values()
            assert last
            same = (last.local, last.writes) == (second.local, first.writes)
            if not (same and (outcome.writes, outcome.told) == (second.writes, second.told)):
                return False
        return True

    def _ending(self) -> None:
        # Without those on a ring of eager steps.
        state: dict[tuple[int, Local], int] = {}
        for start in sorted(self.found, key=lambda one: (one[0], self.known.locals[one[0]][one[1]])):
            pending = [(start, False)]
            while pending:
                one, left = pending.pop()
                if left:
                    state[one] = 2
                    continue
                if one in state or one not in self.found:
                    continue
                state[one] = 1
                pending.append((one, True))
                for after in self._following(*one):
                    if state.get(after) == 1:
                        self.found.discard(one)
                    pending.append((after, False))

    def _following(self, agent: int, local: Local) -> Iterator[tuple[int, Local]]:
        for move in self.moves[agent, local][0]:
            yield from ((agent, outcome.local) for outcome in move.outcomes.values() if outcome)


def _private(agent: int, move: Move) -> bool:
    if any(kind not in PRIVATE for kind, _ in move.cells):
        return False
    for outcome in move.outcomes.values():
        if outcome is None or any(kind not in PRIVATE for (kind, _), _ in outcome.writes):
            return False
        if any(one.kind == "visible" or (agent == SENDER and one.kind == "return") for one in outcome.told):
            return False
    return True
