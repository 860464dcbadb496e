"""The sequence diagram: well-formed, complete, safe to show, and nothing in it over anything else."""

from __future__ import annotations

import itertools
import re
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import attrs
import pytest

from mpwake.reporting import sequence
from mpwake.suite.events import Lane, Traffic, TrafficRow
from support import runs

SVG = "{http://www.w3.org/2000/svg}"
TITLE = "Mailbox traffic: found, expected"


def drawn(traffic: Traffic, title: str = TITLE) -> Element:
    """Return a diagram, parsed."""
    return ElementTree.fromstring(sequence.document(traffic, title))


def of_kind(root: Element, tag: str, kind: str = "") -> list[Element]:
    """Return the elements of a tag that have a class."""
    return [one for one in root.iter(SVG + tag) if not kind or kind in (one.get("class") or "").split()]


def texts(root: Element) -> list[str]:
    """Return what is written, in the order of drawing."""
    return [one.text or "" for one in of_kind(root, "text")]


def box(text: Element) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of a text."""
    left, base, wide = (float(text.get(name, "0")) for name in ("x", "y", "textLength"))
    left -= {"end": wide, "middle": wide / 2}.get(text.get("text-anchor", ""), 0)
    return left, base - 9, left + wide, base + 2


def row(text: str = "", kind: str = "console", lane: int = 0) -> TrafficRow:
    """Return a row that is neither load nor store."""
    return TrafficRow(5, lane, kind, text=text)


def test_each_row_is_an_arrow_or_a_marker_with_its_label() -> None:
    written = texts(drawn(runs.traffic()))
    for label in (
        "request wake APIC ID 0x1ff 0x9a000",
        "ApicId = 0x1ff (4 bytes)",
        "Command = 1 (2 bytes, release)",
        "Command is 1 (2 bytes) x 400",
        "Command to ApicId = 0 (8 bytes)",
        "landing 0x9a000",
    ):
        assert label in written
    root = drawn(runs.traffic())
    assert len(of_kind(root, "path", "arrow")) == 4
    assert len(of_kind(root, "path", "load")) == 1
    assert len(of_kind(root, "path", "open")) == 1


@pytest.mark.parametrize(
    ("agent", "kind", "order"), [(0, "store", 1), (0, "load", -1), (3, "store", -1), (3, "load", 1)]
)
def test_an_arrow_leads_to_the_mailbox_for_a_store_and_from_it_for_a_load(agent: int, kind: str, order: int) -> None:
    root = drawn(Traffic((Lane(agent, "x"),), (TrafficRow(1, 0, kind, "Command", 0, 2),), "0" * 32))
    places = [str(one.get("d")) for name in ("life", "arrow") for one in of_kind(root, "path", name)]
    lifeline, start, end = (int(part) for place in places for part in re.findall("[MH]([0-9]+)", place))
    assert lifeline == (start if kind == "store" else end)
    assert (end - start) * order > 100


def test_every_participant_and_the_mailbox_have_a_lifeline() -> None:
    root = drawn(runs.traffic())
    assert {"OS", "AP 0x1ff", "index 2", "Mailbox", "time", "before"} <= set(texts(root))
    assert len(of_kind(root, "path", "life")) == 2
    assert len(of_kind(root, "rect", "mailbox")) == 1


def test_the_marked_row_has_a_frame_a_flag_and_a_legend() -> None:
    root = drawn(runs.traffic())
    (frame,) = of_kind(root, "rect", "band")
    (marked,) = [group for group in of_kind(root, "g", "marked") if any(one.text == "74" for one in group)]
    assert "Command to ApicId = 0 (8 bytes)" in texts(marked)
    top = float(str(frame.get("y")))
    assert all(
        top < box(one)[1] and box(one)[3] < top + float(str(frame.get("height"))) for one in of_kind(marked, "text")
    )
    assert texts(root).count("!") == 2
    assert "what the finding is about" in texts(root)


def test_without_a_marked_row_there_is_neither() -> None:
    rows = tuple(attrs.evolve(one, marked=False) for one in runs.traffic().rows)
    root = drawn(attrs.evolve(runs.traffic(), rows=rows))
    assert not of_kind(root, "g", "marked")
    assert "!" not in texts(root)


def test_the_fields_stand_beside_each_store_those_that_changed_in_bold() -> None:
    root = drawn(runs.traffic())
    small = [(one.text, "bold" in str(one.get("class"))) for one in of_kind(root, "text", "small")]
    none = [("0000", False), ("0000", False)]
    assert small == [
        ("Command", False),
        ("Reserved", False),
        ("ApicId", False),
        ("WakeupVector", False),
        *none,
        ("ffffffff", False),
        ("0" * 16, False),
        *none,
        ("000001ff", True),
        ("0" * 16, False),
        ("0001", True),
        ("0000", False),
        ("000001ff", False),
        ("0" * 16, False),
        ("0000", True),
        ("0000", False),
        ("00000000", True),
        ("0" * 16, False),
    ]


def test_what_is_not_shown_is_told() -> None:
    written = texts(drawn(runs.traffic()))
    assert "12 events before these are not shown." in written
    assert "1 event after these is not shown." in written
    assert "3 loads among these are not shown." in written
    whole = attrs.evolve(runs.traffic(), earlier=0, later=0, loads=0)
    assert not any("not shown" in one for one in texts(drawn(whole)))


def test_it_reads_without_being_seen() -> None:
    root = drawn(runs.traffic())
    assert root.get("role") == "img"
    assert [one.tag for one in root][:2] == [f"{SVG}title", f"{SVG}desc"]
    assert root[0].text == TITLE
    assert root[1].text == (
        "6 rows by OS, AP 0x1ff. Marked: AP 0x1ff at 74: store Command to ApicId = 0 (8 bytes). "
        "12 events before these are not shown. 1 event after these is not shown. 3 loads among these are not shown."
    )


def test_a_file_has_its_style_for_both_schemes_and_a_fragment_has_none() -> None:
    text = sequence.document(runs.traffic(), TITLE)
    assert sequence.RULES.strip() in text
    assert "@media (prefers-color-scheme: dark)" in text
    assert set(sequence.LIGHT) == set(sequence.DARK)
    for name in sequence.LIGHT:
        assert text.count(f"--q-{name}: #") == 2
    assert "<style" not in sequence.fragment(runs.traffic(), TITLE)


def test_it_runs_nothing_names_nothing_and_fetches_nothing() -> None:
    for one in drawn(runs.worded("<script>x</script>").results[0].seen[0].exhibits[1].traffic, "a").iter():
        assert one.tag.removeprefix(SVG) in {"svg", "title", "desc", "style", "rect", "path", "text", "g"}
        assert not any(name in ("id", "href", "style") or name.startswith("on") for name in one.attrib)
    assert "url(" not in sequence.RULES
    assert "@import" not in sequence.RULES


@pytest.mark.parametrize(
    "hostile", ['</text><script>alert("1")</script>', "a\x00bSURROGATE\u202e", "&lt;", "]]>", "\n\t "]
)
def test_any_text_is_shown_as_text(hostile: str) -> None:
    hostile = hostile.replace("SURROGATE", "\udcff")
    lane = Lane(0, hostile)
    rows = (row(hostile), row(kind=hostile), TrafficRow(1, 0, "store", hostile, 0, 2, text=hostile, marked=True))
    root = drawn(Traffic((lane,), rows, "0" * 32), hostile)
    plain = drawn(Traffic((Lane(0, "x"),), tuple(attrs.evolve(one, text="x") for one in rows), "0" * 32), "x")
    assert [one.tag for one in root.iter()] == [one.tag for one in plain.iter()]
    assert not any("\x00" in one or "\u202e" in one for one in root.itertext())


def test_a_long_text_is_cut_visibly() -> None:
    root = drawn(Traffic((Lane(0, "n" * 500),), (row("x" * 500),), "0" * 32))
    (label,) = [one for one in texts(root) if one.startswith("console")]
    assert (len(label), label[-3:]) == (sequence.MAX_LABEL, "...")
    assert "n" * 17 + "..." in texts(root)


@pytest.mark.parametrize("name", ["few", "many", "long", "nobody", "no system"])
def test_no_text_lies_over_another_or_outside(name: str) -> None:
    lanes = tuple(Lane(at, f"AP {at * 97:#x}") for at in range(1, 41))
    store = TrafficRow(10**9, 0, "store", "ReservedForFirmware[0x800-0x807]", 0x800, 8, 2**64 - 1, page="f" * 32)
    made = {
        "few": runs.traffic(),
        "many": Traffic(lanes, tuple(attrs.evolve(store, lane=at) for at in range(40)), "0" * 32, 5, 5, 5),
        "long": Traffic(
            (Lane(0, "OS"), *lanes[:3]), tuple(row("w" * 200, "ipi", at % 4) for at in range(12)), "0" * 32
        ),
        "nobody": Traffic((), (), "0" * 32),
        "no system": Traffic(lanes[:2], (row("0x1", "landing", 1), attrs.evolve(store, marked=True)), "0" * 32),
    }
    root = drawn(made[name])
    boxes = [box(one) for one in of_kind(root, "text")]
    for one, other in itertools.combinations(boxes, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
    wide, high = float(str(root.get("width"))), float(str(root.get("height")))
    assert all(left >= 0 and top >= 0 and right <= wide and bottom <= high for left, top, right, bottom in boxes)


def test_the_same_traffic_gives_the_same_diagram() -> None:
    assert sequence.document(runs.traffic(), TITLE) == sequence.document(runs.traffic(), TITLE)
