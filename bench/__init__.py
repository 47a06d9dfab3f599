"""Measurements: `python -m bench [section]`. One file a section, each with `run(options) -> Section`."""
