"""The result of a run as one JSON document, for programs."""

from __future__ import annotations

import json
from typing import Any

from mpwake.reporting.evidence_text import judgements
from mpwake.suite.events import Result, Run, to_json


def document(run: Run) -> dict[str, Any]:
    """Return a run as bare data. ``finished`` is None, and ``verdict`` is ``incomplete``, when it was cut short."""
    header = run.header
    return {
        "complete": run.complete,
        "verdict": run.verdict,
        "exit_code": run.exit_code,
        "edition": header.edition,
        "edition_reason": header.edition_reason,
        "mpwake": header.mpwake,
        "command": list(header.command),
        "seed": header.seed,
        "started": header.started,
        "finished": run.footer.finished if run.footer else None,
        "target": header.target,
        "strict": list(header.strict),
        "subject": to_json(header.subject),
        "counts": run.counts,
        "requirements": [_requirement(result) for result in run.results],
    }


def _requirement(result: Result) -> dict[str, Any]:
    selected = result.selected
    return {
        "id": selected.id,
        "title": selected.title,
        "area": selected.area,
        "basis": selected.basis,
        "weight": result.weight.value,
        "role": selected.role,
        "clause": selected.clause,
        "statement": selected.statement,
        "verdict": result.verdict.value,
        "reason": result.reason,
        "scenarios": _scenarios(result),
        "evidence": [to_json(seen) for seen in result.seen],
    }


def _scenarios(result: Result) -> list[dict[str, str]]:
    return [
        {"name": scenario.name, "file": scenario.file, "verdict": one.verdict.value}
        for scenario, one in judgements(result)
    ]


def text(run: Run) -> str:
    """Return the document as indented JSON in ASCII, with a line feed at its end."""
    return json.dumps(document(run), indent=2) + "\n"
