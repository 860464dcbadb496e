"""Traces in a file: a run that was saved, or what somebody else's recorder has seen, judged as if it were run."""
