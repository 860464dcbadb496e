"""The offline site and the written pages: complete, linked, off the network, and no number that the code has not."""

import fcntl
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from markupsafe import escape

from mpwake.evidence import acpi, acpidump, aml, command_line, fdt, madt, memory_map
from mpwake.reporting.html import policy
from mpwake.spec import document
from mpwake.spec.requirements import ID, registry
from mpwake.spec.verdicts import TABLE
from mpwake.suite import catalogue, events
from mpwake.suite.mutants import declared
from mpwake.targets import tables

ROOT = Path(__file__).parent.parent.parent
WRITTEN = [
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "CONTRIBUTING.md",
    ROOT / "README.md",
    ROOT / "benchmarks/README.md",
]
LINKS = ("href", "src", "srcset", "action", "data", "poster", "formaction", "cite")


class Page(HTMLParser):
    """A page: what it links to, the ids that can be linked to, and its text."""

    def __init__(self, path):
        super().__init__()
        self.links, self.ids, self.tags, self.text = [], [], set(), ""
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        for name, value in attributes:
            if name in LINKS:
                self.links.append(value)
            elif name == "id":
                self.ids.append(value)

    def handle_data(self, data):
        self.text += data


def written(out):
    """Write the site as `make docs` does."""
    made = [sys.executable, ROOT / "docs/pages.py", out]
    told = subprocess.run(made, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert told == f"232 pages: {out}/index.html\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return every page of the site, which the workers of one test run share."""
    root = tmp_path_factory.getbasetemp()
    out = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "site"
    with out.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not out.is_dir():
            written(out.with_name("site-being-written"))
            out.with_name("site-being-written").rename(out)
    return {path.name: Page(path) for path in out.iterdir()}


def test_there_is_a_page_for_each_requirement_and_three_more(site):
    ids = [name.removesuffix(".html") for name in site if ID.fullmatch(name.removesuffix(".html"))]
    assert len(ids) == 229
    assert set(ids) == set(registry().requirements)
    assert set(site) - {f"{one}.html" for one in ids} == {"index.html", "mutants.html", "editions.html"}


def test_every_link_resolves(site):
    for name, page in site.items():
        assert len(page.ids) == len(set(page.ids)), name
        for link in page.links:
            if link == "data:,":
                continue
            file, _, fragment = link.partition("#")
            assert (file or name) in site, f"{name} links to {link}"
            assert not fragment or unquote(fragment) in site[file or name].ids, f"{name} links to {link}"


def test_no_page_asks_the_network_for_anything(site):
    for name, page in site.items():
        assert not page.tags & {"script", "img", "iframe", "object", "embed", "form", "base", "audio", "video"}, name
        assert not re.search(r"url\(|@import|https?://", page.source), name
        assert f'content="{escape(policy(page.source))}"' in page.source, name
        assert policy(page.source).startswith("default-src 'none'; style-src 'sha256-"), name


@pytest.mark.parametrize("one", registry().requirements.values(), ids=lambda one: one.id)
def test_a_page_says_what_the_registry_and_the_features_say(one, site):
    page = site[f"{one.id}.html"]
    for text in (one.title, one.statement, one.rationale, one.observed, one.mistakes, *map(str, one.clauses.values())):
        assert " ".join(text.replace("`", "").split()) in page.text
    for scenario in catalogue.of_requirement(one.id):
        assert scenario.place in page.text
        for word in (scenario.name, *(f"{keyword} {sentence}" for keyword, sentence in scenario.steps)):
            assert word in page.text
    for mutant, _ in declared():
        assert (mutant.id in page.ids) == (mutant.breaks == one.id)


def test_pages_lead_to_their_neighbours(site):
    ids = list(registry().requirements)
    for before, one, after in zip(ids, ids[1:], ids[2:], strict=False):
        assert {f"{before}.html", f"{after}.html"} <= set(site[f"{one}.html"].links)


def test_the_matrix_holds_every_mutant(site):
    page = site["mutants.html"]
    assert {mutant.id for mutant, _ in declared()} == set(page.ids) - {"matrix", "platforms"}
    assert f"{len(declared())} mutants: {len(declared())} killed" in page.text


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_in_the_written_pages_resolve(path):
    text = path.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        assert "://" in link or (path.parent / link).exists(), f"{path.name} links to {link}"


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_written_pages_keep_to_the_style(path):
    text = path.read_text(encoding="utf-8")
    assert "\N{EM DASH}" not in text
    assert not re.search(r"/(?:work|root|tmp)/", text)


def bounds():
    """What docs/evidence.md says of each size, as the code has it."""
    return [
        f"any file | {acpi.MAX_TABLE >> 20} MiB",
        f"files of a directory | {tables.MAX_FILES}",
        f"entries of a MADT | {madt.MAX_ENTRIES}",
        f"acpidump text | {acpidump.MAX_TEXT >> 20} MiB, {acpidump.MAX_TABLES} tables",
        f"DeviceTree blob | {fdt.MAX_BLOB >> 20} MiB, {fdt.MAX_DEPTH} levels, {fdt.MAX_NODES} nodes, "
        f"{fdt.MAX_PROPERTIES} properties",
        f"memory map | {memory_map.MAX_RANGES} ranges",
        f"YAML | {document.MAX_BYTES >> 20} MiB, {document.MAX_DEPTH} levels",
        f"`_MAT` objects of an AML table | {aml.MAX_FOUND}",
        f"kernel command line | {command_line.MAX_TEXT >> 10} KiB",
        f"mailbox page | {tables.PAGE} bytes",
    ]


@pytest.mark.parametrize("line", bounds(), ids=lambda line: line.split(" |")[0])
def test_the_bounds_are_those_of_the_code(line):
    assert f"| {line} |" in (ROOT / "docs/evidence.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", [*tables.NAMED, *tables.NUMBERS])
def test_every_kind_of_evidence_is_described(kind):
    assert f"`{kind}:" in (ROOT / "docs/evidence.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("verdict", TABLE, ids=lambda verdict: verdict.value)
def test_the_verdicts_are_those_of_the_table(verdict):
    row = TABLE[verdict]
    line = rf"\| `{verdict.value}` \| .* \| {row.exit_code} \| `{row.allure}` \| `{row.junit}` \|"
    assert re.search(line, (ROOT / "docs/reports.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("kind", events.KINDS)
def test_every_kind_of_line_in_a_stream_is_described(kind):
    assert f"| `{kind}` |" in (ROOT / "docs/reports.md").read_text(encoding="utf-8")


def quoted():
    """What docs/adding-a-requirement.md quotes: the file that the sentence before a block names, and the block."""
    text = (ROOT / "docs/adding-a-requirement.md").read_text(encoding="utf-8")
    return re.findall(r"`([^`\n]+)`:\n\n```\w+\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_what_is_quoted_stands_in_the_files():
    assert len(quoted()) == 5
    for name, block in quoted():
        source = (ROOT / name).read_text(encoding="utf-8")
        assert block in source, f"{name} does not hold\n{block}"
