"""Command lines: one module an experiment, run as ``python -m experiments.NAME``."""
