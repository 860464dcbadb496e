"""The words of ``--strict``: which weights fail a run beside conformance."""

from __future__ import annotations

from mpwake.spec.errors import InputError, did_you_mean
from mpwake.spec.requirements import Weight

STRICT = [weight.value for weight in Weight if weight is not Weight.CONFORMANCE]


def strict(words: str) -> tuple[str, ...]:
    """Return the weights that are named, with commas between them. Raises ``InputError`` for what is none."""
    chosen = tuple(word for word in words.split(",") if word)
    for word in chosen:
        if word not in STRICT:
            raise InputError(f"--strict: {word!r} is not a weight", hint=did_you_mean(word, STRICT))
    return chosen
