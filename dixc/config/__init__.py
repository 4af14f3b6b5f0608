"""config.yaml as an object: `load(path)` reads and checks it.

`Config` knows the names of the run's chunks and functionals too.
"""

from dixc.config.base import LOSSES, SPLITS
from dixc.config.reading import load, validate, write
from dixc.config.root import Config, FunctionalId

__all__ = ["LOSSES", "SPLITS", "Config", "FunctionalId", "load", "validate", "write"]
