"""A campaign on a Dask cluster: each round of each worker is a task, and what it found comes back as it ends.

A round that is lost with its machine is carried out again elsewhere, with the same seed and with what was known before
it; so a campaign finds there what it finds here.
"""

from __future__ import annotations

import contextlib
import queue
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
from hypothesis.errors import HypothesisDeprecationWarning

from mpwake.fuzz.campaign import SHRINKS, Lane, Message, Task, one_round
from mpwake.fuzz.problem import Job
from mpwake.spec.editions import Edition
from mpwake.spec.errors import ToolError
from mpwake.spec.requirements import Role
from mpwake.suite.cluster import RETRIES, UNPACKED, Identity, broken, connected, identity, must_be
from mpwake.suite.parcel import Parcel, packed

EVERY = 0.5
ALONE_FOR = 120.0  # so long may there be no worker at all
GRACE = 2 * SHRINKS
Answer = tuple[Message, Lane]


@attrs.frozen
class Order:
    """All that a machine needs to do what we would do: the target, how it is taken, and who has to carry it out.

    ``platform`` is what examples call theirs: its path is another one there.
    """

    parcel: Parcel
    role: Role | None
    edition: Edition | None
    digest: str
    platform: str
    identity: Identity


# On a worker


def carried(
    order: Order, contents: Mapping[str, bytes], task: Task, number: int, lane: Lane, left: float | None, stop: str
) -> Answer | None:
    """Go one round, for at most so many seconds; None where files of the order have not come here yet.

    ``stop`` is the name of the event that ends it early.
    """
    must_be(order.identity)
    with UNPACKED.alone, warnings.catch_warnings():  # what judges a trial is not made for threads
        warnings.simplefilter("ignore", HypothesisDeprecationWarning)  # Dask's threads use the module random
        job = UNPACKED.get(order, order.parcel, contents, lambda place, out: _job(order, place, out))
        if job is None:
            return None
        until = None if left is None else time.monotonic() + left
        return one_round(job, attrs.evolve(task, until=until), number, lane, Stops(stop).asked)


def _job(order: Order, place: str, out: Path) -> Job:
    from mpwake.fuzz.jobs import job_named

    job = job_named(place, order.role, out, order.edition, order.platform)
    if job is None or job.digest != order.digest:
        raise ToolError(f"{order.parcel.location} is read otherwise on this worker than where it was sent from")
    return job


@attrs.define
class Stops:
    """Asks the scheduler now and then whether a campaign is to end."""

    name: str
    found: bool = False
    next: float = 0.0

    def asked(self) -> bool:
        """Say whether it is."""
        if not self.found and time.monotonic() >= self.next:
            from distributed import Event

            self.found = bool(Event(self.name).is_set())
            self.next = time.monotonic() + EVERY
        return self.found


# Here


@attrs.define
class Cluster:
    """A cluster that carries a campaign out."""

    client: Any
    address: str
    order: Order
    contents: Mapping[str, bytes]
    name: str = attrs.field(factory=lambda: f"mpwake-fuzz-{uuid.uuid4().hex}")

    @property
    def workers(self) -> int:
        """How many processes there are to work."""
        return len(self.client.nthreads())

    def carry_out(self, tasks: tuple[Task, ...], stops: Callable[[], bool], take: Callable[[Message], None]) -> None:
        """Carry tasks out, and give on each message as it comes. Raises ``ToolError`` where one cannot be had."""
        run = Run(self, stops, take)
        try:
            for task in tasks:
                run.submit(task, task.first, Lane(task.known))
            run.gather()
        finally:
            run.end()


@attrs.define
class Run:
    """The tasks of one campaign that the cluster has, by their keys."""

    cluster: Cluster
    stops: Callable[[], bool]
    take: Callable[[Message], None]
    going: dict[str, tuple[Any, Task, int, Lane]] = attrs.field(factory=dict)
    done: queue.SimpleQueue[Any] = attrs.field(factory=queue.SimpleQueue)
    tries: int = 0
    stopped: float | None = None
    deserted: float | None = None

    def submit(self, task: Task, number: int, lane: Lane, contents: Mapping[str, bytes] | None = None) -> None:
        """Have the cluster go one round of a task."""
        cluster, self.tries = self.cluster, self.tries + 1
        left = None if task.until is None else max(0.0, task.until - time.monotonic())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # an image is large; it goes to each machine once
            future = cluster.client.submit(
                carried,
                *(cluster.order, contents or {}, task, number, lane, left, cluster.name),
                key=f"{cluster.name}-{task.worker}-{number}-{self.tries}",
                retries=RETRIES,
                pure=False,
            )
        self.going[future.key] = (future, task, number, lane)
        future.add_done_callback(self.done.put)

    def gather(self) -> None:
        """Take what comes, and go on with each task, until all are done."""
        while self.going:
            self._look()
            with contextlib.suppress(queue.Empty):
                self._ended(self.done.get(timeout=EVERY))

    def _look(self) -> None:
        now = time.monotonic()
        untils = [task.until for _, task, _, _ in self.going.values() if task.until is not None]
        if self.stopped is None and (self.stops() or (untils and now > max(untils) + GRACE)):
            self.stopped = now
            self._tell()
        if self.stopped is not None and now > self.stopped + GRACE:
            self.going.clear()  # what has not begun by now is not waited for
        self._look_for_workers(now)

    def _look_for_workers(self, now: float) -> None:
        if self.cluster.client.status != "running":
            raise ToolError(f"the cluster at {self.cluster.address} is gone")
        if self.cluster.client.nthreads():
            self.deserted = None
        elif self.deserted is None:
            self.deserted = now
        elif now > self.deserted + ALONE_FOR:
            raise ToolError(f"the cluster at {self.cluster.address} has had no worker for {ALONE_FOR:g} seconds")

    def _tell(self) -> None:
        from distributed import Event

        Event(self.cluster.name, client=self.cluster.client).set()

    def _ended(self, future: Any) -> None:
        if future.key not in self.going:
            return
        _, task, number, lane = self.going.pop(future.key)
        what = f"round {number} of worker {task.worker}"
        if future.status == "error":
            raise broken(future.exception(), what) from None
        if future.status != "finished":
            raise ToolError(f"{what} was {future.status} by the cluster at {self.cluster.address}")
        answer: Answer | None = future.result()
        if answer is None:
            self.submit(task, number, lane, self.cluster.contents)
            return
        message, lane = answer
        self.take(message)
        if not message.last and self.stopped is None:
            self.submit(attrs.evolve(task, known=()) if lane.known else task, number + 1, lane)

    def end(self) -> None:
        """Leave nothing behind on the cluster."""
        with contextlib.suppress(Exception):  # it may be gone
            self._tell()
            self.cluster.client.cancel([future for future, *_ in self.going.values()], force=True)


@contextlib.contextmanager
def on_cluster(address: str, job: Job, location: str, role: Role | None, edition: Edition | None) -> Iterator[Cluster]:
    """Reach a cluster for a job that a location names. Raises ``InputError`` for what cannot be sent."""
    parcel, contents = packed(location)
    order = Order(parcel, role, edition, job.digest, job.platform, identity())
    with connected(address) as client:
        yield Cluster(client, address, order, contents)
