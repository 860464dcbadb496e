"""Boots, at most two at a time, each machine once."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future

import attrs

AT_ONCE = 2
NOW, LATER = 0, 1

Boot = Callable[[], object]


@attrs.define
class Boots:
    """Runs boots in threads of its own; what is waited for goes before what is only expected to be.

    The threads end with the process, and a machine ends with its thread: Ctrl-C waits for none.
    """

    waiting: queue.PriorityQueue[tuple[int, int, str]] = attrs.field(factory=queue.PriorityQueue, init=False)
    known: dict[str, tuple[Boot, Future[object]]] = attrs.field(factory=dict, init=False)
    order: itertools.count[int] = attrs.field(factory=itertools.count, init=False)
    threads: list[threading.Thread] = attrs.field(factory=list, init=False)
    begun: set[str] = attrs.field(factory=set, init=False)
    lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def expect(self, key: str, boot: Boot, urgency: int = LATER) -> Future[object]:
        """Have a boot run some time, unless it has run; ``key`` tells it from others."""
        if key not in self.known:
            self.known[key] = (boot, Future())
        _, future = self.known[key]
        if not future.done():
            self.waiting.put((urgency, next(self.order), key))
            self._start()
        return future

    def result(self, key: str, boot: Boot) -> object:
        """Return what a boot comes to; raises what it raises."""
        return self.expect(key, boot, NOW).result()

    def _start(self) -> None:
        if len(self.threads) < AT_ONCE:
            thread = threading.Thread(target=self._work, daemon=True)
            self.threads.append(thread)
            thread.start()

    def _work(self) -> None:
        while True:
            key = self.waiting.get()[2]
            boot, future = self.known[key]
            with self.lock:
                begun = key in self.begun
                self.begun.add(key)
            if not begun:
                _carry_out(boot, future)


def _carry_out(boot: Boot, future: Future[object]) -> None:
    try:
        future.set_result(boot())
    except BaseException as error:
        future.set_exception(error)
