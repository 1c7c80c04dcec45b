"""Measurements of the whole night against the sandbox: `python -m benchmarks`."""
