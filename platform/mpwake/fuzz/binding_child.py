"""Run by the Python of dt-schema, and by no other: reads blobs, and answers what is wrong with the mailbox in each.

A blob is four bytes of length and its bytes. An answer is a line: a list of complaints, or null where none can be had.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any


def complaints(group: Any, folder: Path, data: bytes) -> list[str] | None:
    """Return what the binding's schema complains of."""
    path = folder / "drawn.dtb"
    path.write_bytes(data)
    try:
        found = group.check_dtb(str(path))
    except Exception:  # libfdt, or a tree that dt-schema does not expect
        return None
    return [f"{one['nodename']}: {one['message']}" for one in found if "wakeup-mailbox" in (one.get("schema") or "")]


def main() -> None:
    """Answer until the input ends."""
    del sys.path[0]  # the folder of this file, whose other modules are not for this Python
    from dtschema import dtb_validate  # type: ignore[import-not-found,unused-ignore]

    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    sys.stdout = sys.stderr
    group = dtb_validate.schema_group(sys.argv[1], collect_diagnostics=True)
    with tempfile.TemporaryDirectory(prefix="mpwake-") as folder:
        while len(size := sys.stdin.buffer.read(4)) == 4:
            data = sys.stdin.buffer.read(int.from_bytes(size, "little"))
            answers.write(json.dumps(complaints(group, Path(folder), data)) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
