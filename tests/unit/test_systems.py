"""The features of single systems: each passes on its platform, and each claim of its own can fail."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest

from mpwake.checks import core
from mpwake.checks.core import CLAIMS, Check, Judgement
from mpwake.checks.core import everybodys as asked
from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.tables import Tables
from mpwake.evidence.trace import Trace
from mpwake.spec import document
from mpwake.spec.errors import InputError
from mpwake.spec.requirements import Role, registry
from mpwake.spec.resources import suite_root
from mpwake.spec.verdicts import Verdict, merge
from mpwake.suite import events
from mpwake.suite.catalogue import SYSTEMS, Scenario, scenarios
from mpwake.suite.engine import Options, run
from mpwake.suite.mutants import MutantFile, judge_all, mutated
from mpwake.suite.selection import select
from mpwake.targets import open_target

FILES = sorted((suite_root() / "features" / SYSTEMS).glob("*.feature"))
OWN = {check.then: check for check in CLAIMS.values() if check not in set(asked())}
# The systems of the model that the suite was asked for.
ASKED = {
    *("linux-tdx-acpi", "linux-6.1", "linux-7.2", "linux-kexec", "ohcl-vtl2-tdx-dt", "ohcl-vtl2-dt", "asterinas"),
    *("openhcl-boot-dt", "openhcl-draft-1", "openhcl-draft-3"),
    *("acpi-6.4", "acpi-6.6", "edk2-2022", "edk2-2025", "edk2-2026", "td-shim", "oak-stage0", "openhcl"),
}


def of_system(name: str) -> tuple[Scenario, ...]:
    return tuple(one for one in scenarios() if one.system == name)


# The features


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_every_scenario_of_a_system_passes_on_its_platform(path: Path) -> None:
    target = open_target(f"model:{path.stem}")
    told: list[events.Event] = []
    run(target, select([f"features/{SYSTEMS}/{path.name}"], target.roles, target.platform), Options(), told.append)
    finished = [one for one in told if isinstance(one, events.Finished)]
    assert [one.file for one in finished] == [one.place for one in of_system(path.stem)]
    judged = {f"{one.file} {each.id}": each for one in finished for each in one.judged}
    assert {place: one.reason for place, one in judged.items() if one.verdict is not Verdict.PASS} == {}
    assert all(one.seen for one in judged.values())
    assert {step.status for one in finished for step in one.steps} == {"passed"}


def test_every_system_that_was_asked_for_has_a_feature() -> None:
    assert {path.stem for path in FILES} == ASKED


def test_a_feature_of_a_system_is_judged_on_that_system_alone() -> None:
    target = open_target("model:linux-6.1")
    chosen = select([], target.roles, target.platform)
    assert {one.system for one in chosen} == {"", "linux-6.1"}
    assert {one.system for one in select([], target.roles)} == {""}
    with pytest.raises(InputError, match="is about the platform asterinas alone"):
        select([f"features/{SYSTEMS}/asterinas.feature"], target.roles, target.platform)


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_a_requirement_that_a_feature_names_as_a_deviation_is_one(path: Path) -> None:
    text = path.read_text(encoding="utf-8").partition("\n  @")[0]
    named = set(re.findall(r"\b[A-Z]+-[0-9]+\b", text)) & set(registry().requirements)
    failed = {one for one, judgement in everybodys(path.stem).items() if judgement.verdict is Verdict.FAIL}
    assert named - NOT_OF_ITS_EDITION.get(path.stem, set()) == failed


# Named as what another edition finds.
NOT_OF_ITS_EDITION = {"edk2-2025": {"RST-10", "RST-15"}}


@functools.cache
def everybodys(name: str) -> dict[str, Judgement]:
    """Judge a platform by the checks that everybody has; of two roles the worse verdict stands."""
    target = open_target(f"model:{name}").settled()
    found: dict[str, Judgement] = {}
    for role in sorted(target.roles, key=lambda role: role.value):
        for one, judgement in judge_all(target.evidence(role), role).items():
            worse = one in found and merge((found[one].verdict, judgement.verdict)) is found[one].verdict
            found[one] = found[one] if worse else judgement
    return found


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_a_claim_of_a_system_makes_no_requirement_pass_that_does_not_apply(path: Path) -> None:
    ids = {one for scenario in of_system(path.stem) for one in scenario.ids}
    verdicts = {one: everybodys(path.stem)[one].verdict for one in ids}
    assert set(verdicts.values()) <= {Verdict.PASS, Verdict.FAIL}, verdicts


# The claims of their own: a system or an agent on which each fails


LINUX = "linux-tdx-acpi"
VTL, PLAIN_VTL = "ohcl-vtl2-tdx-dt", "ohcl-vtl2-dt"
CPUS, ADDRESS = "tables, fdt, tree, cpus", "wakeup-mailbox-addr"
BROKEN = [
    ("after 255 loads", LINUX, "{path: [sender, program, 6, set, value], set: 256}", "256 loads"),
    ("after 255 loads", LINUX, "{path: [sender, program, 8], remove: true}", "0 warnings"),
    ("after 255 loads", LINUX, "{path: [sender, program, 8], insert: {emit: {kind: warning, value: 1}}}", "2 warnings"),
    ("after 255 loads", LINUX, "{path: [sender, program, 9], remove: true}", "Command not set to 0"),
    ("after 255 loads", LINUX, "{path: [sender, program, 10, return], set: 0}", "returned 0"),
    ("the mailbox is mapped once", LINUX, "{path: [system, mapping, when], set: every-use}", "mapped 3 times"),
    ("the mailbox is mapped once", LINUX, "{path: [system, mapping, when], set: boot}", "mapped 1 times, with 0"),
    ("no mailbox is adopted from an entry that the", LINUX, "{path: [system, parser, bounds], set: false}", "adopted"),
    ("the processor jumps", "linux-7.2", "{path: [system, reset, supported], set: false}", "1 Wakeups, 1 landings"),
    ("the processor jumps", "linux-7.2", "{path: [sender, program, 9], remove: true}", "0 jumps"),
    ("Test follows the jump", "linux-7.2", "{path: [system, reset, tests], set: false}", "answer, jump, Wakeup"),
    ("the mailbox is set up once", VTL, "{path: [system, mapping, private_pages], set: none}", "told nobody"),
    ("the mailbox is set up once", VTL, "{path: [system, mapping, private_pages], set: too-long}", "told 0xfffff000"),
    ("the wake callback", VTL, "{path: [system, selection, td], set: hypercall}", "installed: hypercall"),
    ("the wake callback", VTL, "{path: [system, vtl, td_hypercall], set: true}", "installed: mailbox, hypercall"),
    ("the wake callback", VTL, "{path: [system, tree, cpus_property], set: x}", "installed: nothing"),
    ("memory for real mode", VTL, "{path: [system, vtl, limits_first], set: false}", "realmode limit, together"),
    ("memory for real mode", VTL, "{path: [system, vtl, td_reserves], set: false}", "stub header"),
    ("the stub header", PLAIN_VTL, "{path: [system, vtl, stub], set: false}", "realmode limit, together"),
    ("the stub header", PLAIN_VTL, "{path: [system, vtl, limits_first], set: false}", "stub header, realmode limit"),
    ("each processor is started by", PLAIN_VTL, "{path: [system, vtl, hypercall_last], set: false}", "2 IPIs and"),
    ("each processor is started by", PLAIN_VTL, "{path: [system, tree, ids], set: index}", "hypercalls for 0x1, 0x2"),
    ("four entries of type 0", "asterinas", "{path: [sender, program, 3, store, value], set: 1}", "woken: 0x1, 0x1"),
    ("after 1000 loads", "asterinas", "{path: [sender, program, 6, set, value], set: 999}", "999 loads"),
    ("after 1000 loads", "asterinas", "{path: [system, failure], set: goes-on}", "0 panics"),
    ("whoever sees it first", "td-shim", "{path: [receiver, program, 2], remove: true}", "woken by it: nobody"),
    ("no processor takes it", "oak-stage0", "{path: [receiver, program, 2], remove: true}", "acted on by"),
    ("the address in /cpus", "openhcl-draft-1", f"{{path: [{CPUS}, {ADDRESS}], remove: true}}", "has enable-method"),
    ("the address in /cpus", "openhcl-boot-dt", f"{{path: [{CPUS}, {ADDRESS}], set: [0, 0]}}", "1 mailbox nodes"),
    (
        "the enable-method of each",
        "openhcl-draft-3",
        f"{{path: [{CPUS}, cpu@2, enable-method], remove: true}}",
        "cpu@2",
    ),
]


def claimed(words: str) -> Check:
    (found,) = [check for then, check in OWN.items() if then.startswith(words)]
    return found


@pytest.mark.parametrize(("words", "base", "change", "reason"), BROKEN)
def test_a_claim_of_a_system_fails_on_one_that_is_changed(words: str, base: str, change: str, reason: str) -> None:
    check = claimed(words)
    text = f"mutants:\n- {{id: m, title: M, breaks: {check.id}, base: {base}, role: {check.role.value}, changes: ["
    node = document.parse(f"{text}{change}]}}\n", "m.yaml")
    (mutant,) = document.decode(node, MutantFile).mutants
    judgement = core.judge(check, mutated(mutant, node.value["mutants"].value[0]))
    assert judgement.verdict is Verdict.FAIL, judgement.reason
    assert any(reason in one.found for one in judgement.findings if not one.ok), judgement.findings


def test_each_claim_of_a_system_has_a_changed_one_on_which_it_fails() -> None:
    assert {claimed(words).then for words, *_ in BROKEN} == set(OWN)


@pytest.mark.parametrize("then", OWN)
def test_silence_passes_no_claim_of_a_system(then: str) -> None:
    check = OWN[then]
    follows = frozenset({"linux", "hyperv-vtl", "asterinas", "dt-binding"})
    nothing = Behaviour(lambda _sentence, _seed: (), follows=follows, boots=True)
    judgement = core.judge(check, Tables() if check.role is Role.TABLES else nothing)
    assert judgement.verdict in (Verdict.NOT_APPLICABLE, Verdict.NOT_TESTABLE, Verdict.INCONCLUSIVE)


@pytest.mark.parametrize("then", [then for then, check in OWN.items() if check.role is not Role.TABLES])
def test_a_trace_in_which_nothing_happened_passes_no_claim_of_a_system(then: str) -> None:
    empty = Trace((0, 1, 2, 3), (), bytes(4096), bytes(4096), 0)
    follows = frozenset({"linux", "hyperv-vtl", "asterinas", "dt-binding"})
    still = Behaviour(lambda _sentence, _seed: (empty,), follows=follows, boots=True)
    assert core.judge(OWN[then], still).verdict is not Verdict.PASS
