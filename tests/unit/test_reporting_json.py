"""The JSON document, and the plain text that the reports share."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpwake.reporting import evidence_text, files, json_document
from mpwake.spec.errors import InputError
from mpwake.spec.verdicts import Verdict
from mpwake.suite.events import Run, Shown
from support import runs


def test_the_document_of_a_failing_run_says_what_failed_and_shows_it() -> None:
    document = json.loads(json_document.text(runs.non_conforming()))
    assert (document["complete"], document["verdict"], document["exit_code"]) == (True, "fail", 1)
    assert document["counts"] == {"pass": 1, "fail": 2}
    assert document["subject"]["inputs"][0]["size"] == len(runs.MADT)
    first = document["requirements"][0]
    assert first["id"] == "MADT-03"
    name = "A version 1 structure is 24 bytes long, as published"
    assert first["scenarios"] == [{"name": name, "file": "features/madt.feature:3", "verdict": "fail"}]
    exhibit = first["evidence"][1]["exhibits"][0]
    assert bytes.fromhex(exhibit["data"])[0x35 - exhibit["offset"]] == 0x10
    assert exhibit["marks"] == [[0x35, 1]]


def test_the_document_has_every_key_that_is_promised() -> None:
    document = json_document.document(runs.every_verdict())
    whole = "complete verdict exit_code edition edition_reason mpwake command seed started finished target strict"
    assert set(document) == {*whole.split(), "subject", "counts", "requirements"}
    keys = "id title area basis weight role clause statement verdict reason scenarios evidence"
    assert all(set(one) == set(keys.split()) for one in document["requirements"])
    assert {one["verdict"] for one in document["requirements"]} == {verdict.value for verdict in Verdict}


def test_an_incomplete_run_says_so() -> None:
    document = json_document.document(runs.incomplete())
    assert (document["complete"], document["verdict"], document["exit_code"]) == (False, "incomplete", 4)
    assert document["finished"] is None


def test_the_weight_is_that_of_what_failed() -> None:
    document = json_document.document(runs.interop_failing())
    assert [(one["weight"], one["verdict"]) for one in document["requirements"]] == [
        ("conformance", "pass"),
        ("interop", "fail"),
    ]


@given(st.text())
def test_any_text_comes_back_from_the_document(text: str) -> None:
    document = json.loads(json_document.text(runs.worded(text)))
    assert document["subject"]["name"] == text
    assert document["requirements"][0]["evidence"][0]["found"] == text


def test_half_a_surrogate_pair_is_written_as_an_escape() -> None:
    assert "\\udcff" in json_document.text(runs.worded("a\udcff"))


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (runs.conforming(), "conforming with acpi-6.6: 2 requirements pass"),
        (runs.non_conforming(), "non-conforming: 2 requirements fail (MADT-03, MEM-01)"),
        (runs.interop_failing(), "conforming with acpi-6.6: 1 requirement passes; 1 other finding (MADT-14)"),
        (runs.interop_failing("interop"), "failing under --strict interop: 1 requirement fails (MADT-14)"),
        (runs.run_of(runs.interop_fails()), "nothing that counts could be judged: 1 other finding (MADT-14)"),
        (runs.single(Verdict.NOT_APPLICABLE), "nothing could be judged: 1 not applicable"),
        (runs.single(Verdict.NOT_TESTABLE), "nothing could be judged: 1 not testable"),
        (runs.single(Verdict.INCONCLUSIVE), "inconclusive: 1 requirement stays open (MADT-07)"),
        (runs.single(Verdict.ERROR), "the harness or the target broke: 1 requirement was not judged (MADT-07)"),
        (
            runs.single(Verdict.WAIVED),
            "conforming with acpi-6.6, but for what is waived: 0 requirements pass; 1 waived (MADT-07)",
        ),
        (
            runs.incomplete(),
            "incomplete: the run ended before it was finished, after 2 of 3 scenarios; so far: 1 fail (MADT-03)",
        ),
    ],
)
def test_the_verdict_in_words(run: Run, words: str) -> None:
    assert evidence_text.sentence(run) == words


def test_a_hex_dump_marks_bytes_in_brackets() -> None:
    assert evidence_text.hex_lines(runs.bytes_shown(0x22, 0x35, 3)) == [
        "00000020        00 10 00 00 e0 fe  01 00 00 00 00 08 00 00  |  ..............|",
        "00000030  01 00 00 00 10[10 01 00] 00 00 00 00 00 f0 0e 00  |................|",
        "00000040  00 00 00 00                                       |....            |",
    ]


def test_marks_at_the_edges_and_in_the_middle_of_a_line_keep_the_columns() -> None:
    shown = Shown("x", 0, bytes(range(16)).hex(), ((0, 1), (7, 2), (15, 1)), "")
    assert evidence_text.hex_lines(shown) == [
        "00000000 [00]01 02 03 04 05 06[07  08]09 0a 0b 0c 0d 0e[0f] |................|"
    ]


@given(
    offset=st.integers(0, 1 << 40),
    data=st.binary(min_size=1, max_size=200),
    marks=st.lists(st.tuples(st.integers(0, 1 << 41), st.integers(-5, 1 << 62)), max_size=4),
    width=st.integers(44, 120),
)
def test_a_hex_dump_holds_every_byte_and_keeps_to_the_width(
    offset: int, data: bytes, marks: list[tuple[int, int]], width: int
) -> None:
    shown = Shown("x", offset, data.hex(), tuple(marks), "")
    lines = evidence_text.hex_lines(shown, width)
    assert all(len(line) <= width for line in lines)
    digits = max(8, len(f"{offset + len(data):x}"))
    cells = "".join(line[digits:].split("|")[0] for line in lines)
    assert bytes.fromhex(cells.replace("[", " ").replace("]", " ")) == data


def test_a_long_exhibit_shows_the_marked_lines_and_their_neighbours() -> None:
    shown = Shown("x", 0, bytes(16 * 100).hex(), ((16 * 50, 1),), "")
    lines = evidence_text.hex_lines(shown)
    assert [line[:8] for line in lines] == ["     ...", "00000310", "00000320", "00000330", "     ..."]
    assert lines[0].endswith("49 more lines")
    assert lines[-1].endswith("48 more lines")


@pytest.mark.parametrize(
    "broken", [Shown("x", 0, "0g", (), ""), Shown("x", 0, "00", ((1,),), ""), Shown("x", 0, "00", ((1, 2, 3),), "")]
)
def test_an_exhibit_that_is_not_bytes_is_an_input_error(broken: Shown) -> None:
    with pytest.raises(InputError):
        evidence_text.exhibit_lines(broken)


@given(st.text(st.characters()))
def test_visible_text_has_nothing_that_a_terminal_obeys_or_xml_forbids(text: str) -> None:
    shown = evidence_text.visible(text)
    assert all(character in "\n\t" or character.isprintable() or ord(character) > 0x9F for character in shown)
    assert "\x1b" not in shown
    shown.encode()


def test_files_are_written_whole_and_in_new_folders(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    files.write(folder / "x", "one")
    files.write(folder / "x", "two \udcff")
    assert (folder / "x").read_bytes() == b"two \\udcff"
    assert [path.name for path in folder.iterdir()] == ["x"]


def test_a_place_that_cannot_be_written_to_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        files.write(tmp_path / "file" / "x", b"")


def test_a_requirement_that_fails_in_two_roles_is_counted_once() -> None:
    one, finished = runs.length_fails()
    twin = attrs.evolve(one, role="sender")
    run = runs.run_of((one, finished), (twin, attrs.evolve(finished, role="sender")))
    assert evidence_text.sentence(run) == "non-conforming: 1 requirement fails (MADT-03)"
