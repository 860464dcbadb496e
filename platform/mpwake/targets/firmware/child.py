"""Others' parsers are run in a process of their own: what they do with hostile bytes stays there, and is bounded."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from typing import Any

MEMORY = 1 << 30
CPU_SECONDS = 20
TOO_MUCH = "it unpacks to more than can be read"
Answer = tuple[dict[str, Any], bytes]


def ask(module: str, question: object, data: bytes, seconds: float) -> Answer:
    """Return what a module of ours answers, run in a process of its own. Raises ``ValueError`` when it gives none."""
    command, asked = [sys.executable, "-m", module], json.dumps(question).encode() + b"\n" + data
    try:
        result = subprocess.run(  # noqa: S603  # our own module, on a pipe
            command, input=asked, capture_output=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise ValueError(f"not unpacked within {seconds} seconds") from None
    line, _, found = result.stdout.partition(b"\n")
    if result.returncode or not line:
        raise ValueError("it could not be unpacked: the unpacker used more than it may, or broke")
    told: dict[str, Any] = json.loads(line)
    return told, found


def answer(work: Callable[[Any, bytes], Answer]) -> None:
    """In that process: take the question and the data from stdin, and write the answer to stdout, under limits.

    The answer is one line of JSON, and bytes after it.
    """
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # libraries print what they do not like
    question, data = sys.stdin.buffer.readline(), sys.stdin.buffer.read()
    told, found = attempt(work, json.loads(question), data)
    with out:
        out.write(json.dumps(told).encode() + b"\n" + found)


def attempt(work: Callable[[Any, bytes], Answer], question: Any, data: bytes) -> Answer:
    """Return what ``work`` answers, or an ``error`` for what it raises."""
    try:
        return work(question, data)
    except (MemoryError, RecursionError):
        return {"error": TOO_MUCH, "offset": 0}, b""
    except Exception as error:
        return {"error": f"damaged: {type(error).__name__}: {error}", "offset": 0}, b""
