"""Fuzzing: any order of what can be done, drawn by Hypothesis, judged by the checks and beside a reference."""
