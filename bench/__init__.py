"""Benchmarks: each measures the real programs beside what bounds them. Run one by `python -m bench.<name>`."""
