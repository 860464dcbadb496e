"""What goes to a cluster, who may take part in it, and in which order its messages are taken."""

import importlib.metadata
from collections import Counter, deque

import attrs
import pytest
import yaml

from mpwake.fuzz.campaign import Message
from mpwake.fuzz.run import InTurn
from mpwake.spec.errors import InputError, ToolError
from mpwake.suite import cluster
from mpwake.suite.cluster import Unpacked, broken, check_workers, identity, must_be
from mpwake.suite.parcel import packed, unpacked

# Parcels


def test_an_image_goes_by_its_digest_and_lies_where_it_did(tmp_path):
    image = tmp_path / "here" / "OVMF.fd"
    image.parent.mkdir()
    image.write_bytes(b"image")
    parcel, contents = packed(f"firmware:{image}")
    assert list(contents.values()) == [b"image"]
    assert parcel.digests == set(contents)
    place = unpacked(parcel, contents, tmp_path / "there")
    assert place == f"firmware:{tmp_path}/there{image}"
    assert (tmp_path / "there" / str(image).lstrip("/")).read_bytes() == b"image"


def test_what_a_document_names_goes_along(tmp_path):
    (tmp_path / "image").mkdir()
    (tmp_path / "deep").mkdir()
    (tmp_path / "image" / "loop.bin").write_bytes(b"code")
    target = tmp_path / "deep" / "target.yaml"
    target.write_text(yaml.safe_dump({"kind": "firmware", "code": {"file": "../image/loop.bin"}}), encoding="utf-8")
    parcel, contents = packed(str(target))
    place = unpacked(parcel, contents, tmp_path / "there")
    assert place.endswith("/deep/target.yaml")
    assert len(contents) == 2
    assert (tmp_path / "there" / str(tmp_path).lstrip("/") / "image" / "loop.bin").read_bytes() == b"code"


@pytest.mark.parametrize("name", ["model:reference", "mutant:rcv-halted", "suite:yaml", "tables:madt"])
def test_what_every_machine_has_is_only_named(name):
    parcel, contents = packed(name)
    assert (parcel.files, contents, parcel.location) == ((), {}, name)


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        ({"kind": "firmware", "code": {"file": "/abs/loop.bin"}}, "target.yaml:.*is not sent"),
        ({"kind": "runner", "location": "loop"}, "target.yaml:.*a program of yours"),
    ],
)
def test_what_cannot_be_sent_is_told(tmp_path, plain, said):
    target = tmp_path / "target.yaml"
    target.write_text(yaml.safe_dump(plain), encoding="utf-8")
    with pytest.raises(InputError, match=said):
        packed(str(target))
    with pytest.raises(InputError, match="a program of yours"):
        packed("runner:./loop")
    with pytest.raises(InputError, match="cannot be read"):
        packed("firmware:nowhere.fd")


def test_a_parcel_is_unpacked_once_and_asked_for_where_it_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "scratch", lambda: str(tmp_path))
    image = tmp_path / "x.fd"
    image.write_bytes(b"x")
    parcel, contents = packed(f"firmware:{image}")
    made, store = [], Unpacked()

    def make(place, _out):
        made.append(place)
        return place

    assert store.get("key", parcel, {}, make) is None
    first = store.get("key", parcel, contents, make)
    assert store.get("key", parcel, {}, make) == first == made[0]
    assert len(made) == 1


# Workers


class Client:
    """Answers as a cluster's workers would."""

    def __init__(self, versions, identities):
        self.answers = {importlib.metadata.version: versions, identity: identities}

    def run(self, function, *_words, workers=None, on_error):
        assert on_error == "return"
        return {one: found for one, found in self.answers[function].items() if workers is None or one in workers}


VERSION = identity().version


def test_workers_that_are_as_we_are_may_take_part():
    check_workers(Client({"a": VERSION}, {"a": identity()}), "tcp://x:1")


@pytest.mark.parametrize(
    ("versions", "identities", "said"),
    [
        ({}, {}, "has no workers"),
        ({"a": importlib.metadata.PackageNotFoundError("mpwake")}, {}, "a has no mpwake"),
        ({"a": VERSION, "b": "0.0.1"}, {"a": identity()}, rf"b has mpwake 0\.0\.1, and not {VERSION}"),
        ({"a": VERSION}, {"a": attrs.evolve(identity(), code="")}, f"a has other code of mpwake {VERSION}"),
        ({"a": VERSION}, {"a": attrs.evolve(identity(), hypothesis="1")}, "a has Hypothesis 1, and not"),
        ({"a": VERSION}, {"a": ModuleNotFoundError("mpwake.suite.cluster")}, "a has other code"),
        ({"a": OSError("gone")}, {}, "a has not answered: gone"),
    ],
)
def test_others_are_refused(versions, identities, said):
    with pytest.raises(ToolError, match=said):
        check_workers(Client(versions, identities), "tcp://x:1")


def test_a_worker_that_comes_later_is_asked_too():
    must_be(identity())
    with pytest.raises(ToolError, match=r"has mpwake .*, and not 0\.0\.1"):
        must_be(attrs.evolve(identity(), version="0.0.1"))


def test_a_lost_round_says_how_often_it_was_tried():
    killed = type("KilledWorker", (Exception,), {"allowed_failures": 3})
    assert "round 1 was lost with its worker 4 times" in str(broken(killed(), "round 1"))
    assert "round 1 broke 3 times: ValueError: x" in str(broken(ValueError("x"), "round 1"))
    assert str(broken(ToolError("no server"), "round 1")) == "round 1: no server"


# Messages


def test_messages_are_taken_in_turn():
    def message(number, worker, last=False):
        return Message(worker, number, 0, 0.0, Counter(), 0, (), last)

    taken = []
    turns = InTurn(lambda one: taken.append((one.round, one.worker)), deque([(5, 0), (5, 1)]))
    for number, worker, last in ((5, 1, False), (6, 1, False)):
        turns.put(message(number, worker, last))
    assert taken == []
    turns.put(message(5, 0, last=True))
    assert taken == [(5, 0), (5, 1), (6, 1)]
    turns.put(message(9, 1))
    turns.end()
    assert taken[-1] == (9, 1)
