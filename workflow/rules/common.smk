# The checked config of the run, and helpers of all rules. Parsed again for every job on a cluster: keep it cheap.
#
# Every command reads results/<run>/config.yaml. That file is no input of any rule: a rule states in its params the
# settings that it depends on, so that Snakemake reruns it when one of those changes, and not when another does.
import json
import re
from pathlib import Path

from snakemake.exceptions import WorkflowError

from dixc.config import SPLITS, validate, write
from dixc.errors import UserError
from dixc.report.terminal import summary_text

try:
    CONFIG = validate(config, source=" + ".join(map(str, workflow.configfiles)) or "config")
except UserError as error:
    raise WorkflowError(str(error)) from None


def result(path):
    """Path of a file of this run."""
    return f"results/{CONFIG.run}/{path}"


def chunks(splits=SPLITS):
    """Names of all files of the given splits."""
    return [chunk for split in splits for chunk in CONFIG.chunks(split)]


def settings(*sections):
    """Sections of the config as text, for params; a section is a name or a path such as evaluation.scf."""
    values = {}
    for section in sections:
        value = CONFIG.model_dump(mode="json")
        for key in section.split("."):
            value = value[key]
        values[section] = value
    return json.dumps(values, sort_keys=True)


def repeated(option, name):
    """A params function that gives a command-line option once for each file of the input `name`."""

    def flags(wildcards, input):
        files = input.get(name, [])
        return [f"{option} {file}" for file in ([files] if isinstance(files, str) else files)]

    return flags


def scaled(amount):
    """A resources function: `amount`, once more with every attempt."""

    def resource(wildcards, attempt):
        return amount * attempt

    return resource


def one_of(values):
    """A regular expression for any of the values, and for nothing else."""
    return "|".join(map(re.escape, values)) or "(?!)"


def is_training_data(wildcards):
    """Priority of the reference and its derivatives: training is the longest part and waits for these."""
    return 0 if wildcards.chunk.startswith("test") else 50


wildcard_constraints:
    # a quantifier without an upper bound, {3,}, is not understood here
    chunk=rf"({one_of(SPLITS)})-\d\d\d+",
    model=one_of(model.name for model in CONFIG.models),
    loss=one_of(CONFIG.training.losses),
    seed=one_of(map(str, CONFIG.training.seeds)),
    functional=one_of(CONFIG.functionals()),


onstart:
    # not while parsing: a dry run, or a second call refused by the lock, must not change a running run's settings
    write(CONFIG, result("config.yaml"))


onsuccess:
    if Path(result("report.html")).is_file():
        print(summary_text(result("tables/summary.csv")))
        print(f"dixc: the report is {result('report.html')}; tables are in {result('tables/')}")


onerror:
    print(f"dixc: a step failed; see its log in {result('logs/')}")
