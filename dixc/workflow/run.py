"""Versions of the stages' methods, and the files that open a run.

`results/<run>/environments/` gets a list of all installed packages, as `pip install -r` takes it,
for each environment in which Snakemake was started; its name is the hash that all results carry in
their provenance.

Snakemake does not see changes of the package. Every rule therefore has its stage's number of
`METHODS` among its params: a release that raises a number makes that stage, and what depends on it,
run again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dixc import provenance
from dixc.config import Config, validate, write
from dixc.store.files import writing
from dixc.version import __version__

RECORD = "dixc.json"
# raise a stage's number when the same inputs and settings give other results than in the release
# before
METHODS = {
    "molecules": 1,
    "reference": 2,
    "derivatives": 3,
    "prefit": 2,
    "train": 7,
    "evaluate": 3,
    "warmstart": 2,
    "tddft": 2,
    "tables": 3,
    "report": 4,
}


def start(config: Config | Mapping[str, Any], root: str | os.PathLike[str] = "results") -> None:
    """Writes the settings that all commands of a run read, and which dixc it is.

    To be called when Snakemake has locked its folder and no job has started: in `onstart`.

    Args:
        config: settings as in config.yaml.
        root: folder of all runs.

    Raises:
        InputError: a wrong setting, or a folder that cannot be written.
    """
    config = config if isinstance(config, Config) else validate(config)
    folder = Path(root) / config.run
    with writing(folder):
        write(config, folder / "config.yaml")
        (folder / RECORD).write_text(json.dumps({"dixc": __version__, "methods": METHODS}, indent=1) + "\n")
        lock = folder / "environments" / f"{provenance.environment()}.txt"
        lock.parent.mkdir(exist_ok=True)
        lock.write_text(environment_text(), encoding="utf-8")


def environment_text() -> str:
    """The present environment as a file of requirements."""
    made_by = provenance.collect()
    head = f"# dixc {made_by['dixc']} (commit {made_by['commit']}), Python {made_by['python']}, {made_by['platform']}\n"
    # dixc itself may be a checkout, which no index has
    return head + "".join(
        f"{'# ' if name == 'dixc' else ''}{name}=={version}\n"
        for name, version in provenance.installed().items()
    )


def upgrade_notice(folder: str | os.PathLike[str]) -> str | None:
    """One line if another version of dixc made the results of a run; None otherwise.

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
