"""The offline page."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpwake.reporting import html, sequence
from mpwake.reporting.evidence_text import visible
from mpwake.spec.verdicts import Verdict
from mpwake.suite.events import Run
from support import runs


class Page(HTMLParser):
    """Elements with their attributes, and the text of each kind of element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of an element."""
        self.elements.append((tag, dict(attrs)))
        self.texts.setdefault(tag, []).append("")
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Leave it."""
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        """Add text to every element around it."""
        for tag in set(self.open):
            self.texts[tag][-1] += data

    def of(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        """Return the attributes of the elements of a kind that have these."""
        return [one for name, one in self.elements if name == tag and attributes.items() <= one.items()]


def banner(run: Run) -> str:
    """Return the class that colours the verdict."""
    (found,) = Page(html.text(run)).of("div", id="verdict")
    return str(found["class"])


def test_the_page_names_what_was_tested_and_how() -> None:
    run = runs.non_conforming()
    text = html.text(run)
    for part in (
        "tables:/sys/firmware/acpi",
        run.header.subject.inputs[0].sha256,
        "acpi-6.6: the MADT declares revision 7",
        "mpwake run tables:/sys/firmware/acpi",
        "20260314",
        runs.STARTED,
        runs.FINISHED,
        "mpwake 0.1.0",
        "the DSDT was not read: it is not needed",
    ):
        assert part in text


def test_a_failure_is_open_with_clause_reason_and_marked_bytes() -> None:
    text = html.text(runs.non_conforming())
    page = Page(text)
    (card,) = page.of("details", id="MADT-03.tables")
    assert "open" in card
    assert card["data-verdict"] == "fail"
    assert "acpi-6.6 section 5.2.12.19, Table 5.45" in text
    assert "the structure is 16 bytes long, not 24" in text
    assert "01 00 00 00 10 <mark>10</mark> 01 00  00" in text
    assert "MADT, byte 0x35" in text
    assert "features/madt.feature:3" in text
    assert "Then the structure is as required" in text
    assert "open" not in page.of("details", id="MADT-07.tables")[0]


def test_evidence_that_is_as_required_is_marked_apart() -> None:
    text = html.text(runs.non_conforming())
    good = text[text.index('class="seen good"') :]
    assert "<mark>01 00</mark>" in good[: good.index("</figure>")]


@pytest.mark.parametrize(
    ("run", "name"),
    [
        (runs.conforming(), "verdict is-pass"),
        (runs.interop_failing(), "verdict is-pass"),
        (runs.non_conforming(), "verdict is-fail"),
        (runs.incomplete(), "verdict is-incomplete"),
        (runs.single(Verdict.ERROR), "verdict is-error"),
        (runs.single(Verdict.INCONCLUSIVE), "verdict is-inconclusive"),
        (runs.single(Verdict.NOT_TESTABLE), "verdict is-not-testable"),
        (runs.run_of(runs.passed(runs.selected("MADT-07")), complete=False), "verdict is-incomplete"),
    ],
)
def test_the_banner_has_the_colour_of_the_verdict(run: Run, name: str) -> None:
    assert banner(run) == name


def test_every_result_is_there_with_what_it_is_filtered_by() -> None:
    run = runs.every_verdict()
    cards = Page(html.text(run)).of("details")
    found = {(card["data-area"], card["data-role"], card["data-weight"]) for card in cards if "data-area" in card}
    assert found == {(one.selected.area, one.selected.role, one.weight.value) for one in run.results}
    assert len([card for card in cards if "data-area" in card]) == len(run.results)


def test_each_filter_value_has_a_chip_with_its_count() -> None:
    facets = {facet.name: facet.values for facet in html.facets(runs.every_verdict())}
    assert set(facets) == {"verdict", "weight", "role", "area"}
    assert ("finding", "other findings", 2) in facets["verdict"]
    assert all(sum(number for _, _, number in values) == 13 for values in facets.values())


@pytest.mark.parametrize("run", [runs.every_verdict(), runs.incomplete(), runs.worded("http://x.invalid/")])
def test_the_page_refers_to_nothing_outside_itself(run: Run) -> None:
    page = Page(html.text(run))
    for _, attributes in page.elements:
        assert not {"src", "srcset", "action", "background", "ping", "style"} & set(attributes)
        assert not any(name.startswith("on") for name in attributes)
        assert str(attributes.get("href", "#")).startswith(("#", "data:,"))
    assert not re.search(r"@import|url\(", "".join(page.texts["style"]))


def test_the_policy_names_the_style_and_the_script_and_allows_nothing_else() -> None:
    page = Page(html.text(runs.every_verdict()))
    (meta,) = page.of("meta", **{"http-equiv": "Content-Security-Policy"})
    parts = dict(part.split(" ", 1) for part in str(meta["content"]).split("; "))
    for kind in ("style", "script"):
        (content,) = page.texts[kind]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert parts.pop(f"{kind}-src") == f"'sha256-{digest}'"
    assert parts == {
        "default-src": "'none'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


@settings(deadline=None)
@given(st.one_of(st.text(), st.from_regex(r"</?[a-z]+ [\"'>]|&[a-z]+;|\{\{ [a-z]+ \}\}|-->", fullmatch=True)))
def test_any_text_is_shown_as_text(text: str) -> None:
    page = Page(html.text(runs.worded(text)))
    plain = Page(html.text(runs.worded("x")))
    assert page.texts["h1"] == [visible(text)]
    assert visible(text) in page.texts["dd"]
    if text:
        assert [tag for tag, _ in page.elements] == [tag for tag, _ in plain.elements]


def test_half_a_surrogate_pair_and_a_nul_are_shown_as_escapes() -> None:
    text = html.text(runs.worded("a\x00b\udcff"))
    text.encode()
    assert "a\\x00b\\udcff" in text


def test_a_failure_has_a_diagram_of_its_traffic_and_the_text_behind_it() -> None:
    text = html.text(runs.run_of(runs.traffic_fails()))
    page = Page(text)
    (drawn,) = page.of("svg")
    assert drawn["role"] == "img"
    assert page.texts["title"][1:] == ["Mailbox traffic: a store of 8 bytes at 0x0, expected 2 bytes at 0"]
    assert page.of("div", **{"class": "wide", "role": "region", "tabindex": "0"})
    bad = text[text.index('class="seen bad"') : text.index('class="seen good"')]
    assert bad.index("<svg") < bad.index("<summary>As text</summary>") < bad.index("&gt; 74  AP 0x1ff store 8 bytes")


def test_traffic_that_is_as_required_is_shown_as_text() -> None:
    text = html.text(runs.run_of(runs.traffic_fails()))
    good = text[text.index('class="seen good"') :]
    assert "&gt; 74  AP 0x1ff store 8 bytes" in good
    assert "<svg" not in good
    assert "As text" not in good


def test_the_page_has_the_rules_of_a_diagram_and_sets_each_of_its_colours() -> None:
    (style,) = Page(html.text(runs.conforming())).texts["style"]
    assert sequence.RULES in style
    for name in sequence.LIGHT:
        assert f"--q-{name}: var(--" in style


def test_a_long_dump_is_cut_to_the_lines_around_its_marks() -> None:
    shown = runs.Shown("x", 0, bytes(16 * 100).hex(), ((16 * 50, 1),), "")
    assert [part if isinstance(part, int) else part.offset for part in html.dump(shown)] == [
        49,
        "00000310",
        "00000320",
        "00000330",
        48,
    ]
