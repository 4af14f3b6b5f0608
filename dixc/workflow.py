"""What the Snakefile needs from the package: versions of the stages' methods, and the files that open a run.

Snakemake does not see changes of the package. Every rule therefore has its stage's number of `METHODS` among its
params: a release that raises a number makes that stage, and what depends on it, run again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dixc import __version__
from dixc.config import Config, validate, write

RECORD = "dixc.json"
# raise a stage's number when the same inputs and settings give other results than in the release before
METHODS = {
    "molecules": 1,
    "reference": 1,
    "derivatives": 2,
    "prefit": 1,
    "train": 1,
    "evaluate": 1,
    "warmstart": 1,
    "tddft": 1,
    "tables": 1,
    "report": 1,
}


def start(config: Config | Mapping[str, Any], root: str | os.PathLike[str] = "results") -> None:
    """Writes the settings that all commands of a run read, and which dixc it is, to `<root>/<run>/`.

    To be called when Snakemake has locked its folder and no job has started: in `onstart`.

    Args:
        config: settings as in config.yaml.
        root: folder of all runs.

    Raises:
        UserError: a wrong setting.
    """
    config = config if isinstance(config, Config) else validate(config)
    folder = Path(root) / config.run
    write(config, folder / "config.yaml")
    (folder / RECORD).write_text(json.dumps({"dixc": __version__, "methods": METHODS}, indent=1) + "\n")


def upgrade_notice(folder: str | os.PathLike[str]) -> str | None:
    """One line if the results of a run were made by another version of dixc; None if not, or if there are none.

    Args:
        folder: the run's folder.
    """
    try:
        record = json.loads((Path(folder) / RECORD).read_text(encoding="utf-8"))
        version, methods = str(record["dixc"]), dict(record["methods"])
    except (OSError, ValueError, KeyError, TypeError):  # no run yet, or a record that says nothing
        return None
    changed = [stage for stage, number in METHODS.items() if methods.get(stage) != number]
    if version == __version__ and not changed:
        return None
    made = f"dixc: {folder} was made by dixc {version}, this is {__version__}: "
    if not changed:
        return made + "no stage computes anything else now, the results are kept"
    return made + f"rebuilt are {', '.join(changed)} and what depends on them, the rest is kept"
