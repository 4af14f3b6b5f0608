"""What the Snakefile takes from the package: see `run` for the files of a run, `resources` for what its jobs need."""

from dixc.workflow.run import METHODS, ranges, start, upgrade_notice

__all__ = ["METHODS", "ranges", "start", "upgrade_notice"]
