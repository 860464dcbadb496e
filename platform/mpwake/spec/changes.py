"""Named changes to YAML: how mutants are made from platforms, and situations from one another."""

from __future__ import annotations

import attrs

from mpwake.spec.document import Node, described
from mpwake.spec.errors import did_you_mean


@attrs.frozen
class Change:
    """One change: ``set`` a value, ``add`` an item at a list's end, ``insert`` one before another, ``remove`` one."""

    path: tuple[str | int, ...] = described("Keys and positions from the top of the platform to the value")
    set: Node | None = described("The new value at the path; keys that are missing are made", None)
    add: Node | None = described("An item for the list at the path", None)
    insert: Node | None = described("An item for a list, before the one at the path", None)
    remove: bool = described("Take the value at the path away", False)

    def __attrs_post_init__(self) -> None:
        if sum((self.set is not None, self.add is not None, self.insert is not None, self.remove)) != 1:
            raise ValueError("a change has exactly one of the keys set, add, insert, remove")
        if not self.path:
            raise ValueError("the path is empty")


def _step(node: Node, key: str | int, at: Node) -> Node:
    value = node.value
    if isinstance(value, list) and isinstance(key, int) and 0 <= key < len(value):
        return value[key]  # type: ignore[no-any-return]
    if isinstance(value, dict) and str(key) in value:
        return value[str(key)]  # type: ignore[no-any-return]
    known = list(value) if isinstance(value, dict) else [f"0 to {len(value) - 1}"] if isinstance(value, list) else []
    raise at.error(f"the base has nothing at {key!r}", did_you_mean(str(key), known))


def _change(root: Node, change: Change, at: Node) -> None:
    node = root
    for key in change.path[:-1]:
        if change.set is not None and isinstance(node.value, dict) and str(key) not in node.value:
            node.value[str(key)] = Node({}, at.file, at.line, at.column)
            node.keys[str(key)] = at
        node = _step(node, key, at)
    last = change.path[-1]
    if change.add is not None:
        target = _step(node, last, at)
        if not isinstance(target.value, list):
            raise at.error(f"the base has no list at {last!r}")
        target.value.append(change.add)
    elif change.insert is not None:
        _step(node, last, at)
        if not isinstance(node.value, list):
            raise at.error(f"the base has no list before {last!r}")
        node.value.insert(int(last), change.insert)
    elif change.remove:
        _step(node, last, at)
        node.value.pop(last if isinstance(node.value, list) else str(last))
    elif isinstance(node.value, dict):
        node.value[str(last)] = change.set
        node.keys.setdefault(str(last), at)
    else:
        _step(node, last, at)
        node.value[last] = change.set


def apply(root: Node, changes: tuple[Change, ...], at: Node) -> None:
    """Carry changes out on ``root``, in order; ``at`` is the list of their YAML.

    Raises ``InputError``, with the place of the change, at one that does not fit.
    """
    for change, where in zip(changes, at.value, strict=True):
        _change(root, change, where)
