"""What a run on a driven implementation writes of its mailbox traffic: the page and the attachments."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from support.cli import mpwake


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run a model that fails and return where its reports are."""
    folder = tmp_path_factory.mktemp("diagrams")
    result = mpwake("run", "model:td-shim", "RCV-05", "RCV-09", "RCV-06", "--role", "receiver", cwd=folder)
    assert result.returncode == 1, result.stderr
    assert "RCV-09" in result.stdout
    assert re.search(r"^    > +[0-9]+  AP 0x1   store   8 bytes at 0x000  0x0$", result.stdout, re.MULTILINE)
    return folder / "reports/out"


def test_the_page_has_a_diagram_of_each_failure(out: Path) -> None:
    page = (out / "report.html").read_text(encoding="utf-8")
    diagrams = [ElementTree.fromstring(found) for found in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]
    written = ["".join(one.itertext()) for one in diagrams]
    assert len(written) == 2
    assert "Marked: AP 0x2 at" in written[0]
    assert "landing 0x56789000" in written[0]
    assert "Command to ApicId = 0 (8 bytes)" in written[1]
    assert page.count("<summary>As text</summary>") == 2


def test_allure_gets_the_same_diagrams_as_attachments(out: Path) -> None:
    results = [json.loads(path.read_text()) for path in (out / "allure-results").glob("*-result.json")]
    kinds = {one["fullName"][16:22]: [part["type"] for part in one["attachments"]] for one in results}
    assert {name: kinds[name] for name in ("RCV-05", "RCV-06", "RCV-09")} == {
        "RCV-05": ["text/plain", "image/svg+xml"],
        "RCV-06": ["text/plain"],
        "RCV-09": ["text/plain", "image/svg+xml"],
    }
    for path in (out / "allure-results").glob("*.svg"):
        assert ElementTree.fromstring(path.read_text(encoding="utf-8")).get("role") == "img"


def test_the_same_page_is_made_from_the_stream(out: Path) -> None:
    again = mpwake("report", "html", str(out), "--out", "again.html", cwd=out)
    assert again.returncode == 1
    assert (out / "again.html").read_bytes() == (out / "report.html").read_bytes()
