# The checked config of the run, and helpers of all rules. Parsed again for every job on a cluster: keep it cheap.
#
# Every command reads results/<run>/config.yaml. That file is no input of any rule: a rule states in its params the
# settings that it depends on, and its version of the method, so that Snakemake reruns it when one of those changes,
# and not when another does. What needs none of Snakemake's objects is in the package, in dixc.workflow.
import sys
import time
from pathlib import Path

from snakemake.exceptions import WorkflowError

from dixc.config import SPLITS, validate
from dixc.errors import UserError
from dixc.molecules import source_files, source_versions
from dixc.report.terminal import summary_text
from dixc.workflow import METHODS, jobs, priorities, settings, start, upgrade_notice, words
from dixc.workflow.files import RunFiles, checkpoints_of
from dixc.workflow.resources import memory

# whether this process decides what runs, in the environment that the steps use too
DECIDES = workflow.is_main_process and not workflow.deployment_settings.deployment_method

try:
    CONFIG = validate(config, source=" + ".join(map(str, workflow.configfiles)) or "config")
    if DECIDES:
        from dixc.workflow.functionals import check_functionals

        check_functionals(CONFIG)
        for file in source_files(CONFIG.molecules.files):
            if {"{", "}"} & set(file):
                raise UserError(
                    f"{file}: braces stand for wildcards in Snakemake; rename the file or its folder"
                )
    # an error in a function of a rule would drown in Snakemake's own words
    PACKAGES = source_versions(CONFIG.molecules.files)
except UserError as error:
    raise WorkflowError(str(error)) from None


BEGIN = time.time()
FILES = RunFiles.of_run(CONFIG)
FIRST = priorities.first(CONFIG)
result = FILES.path


def repeated(option, name):
    """A params function that gives a command-line option once for each file of the input `name`."""
    return lambda wildcards, input: words.options(option, input.get(name, []))


def scaled(amount):
    """A resources function: `amount`, once more with every attempt."""
    return lambda wildcards, attempt: amount * attempt


def memory_for(stage):
    """A resources function: MB of a job on one chunk, more with every attempt."""
    return lambda wildcards, attempt: attempt * requested(stage, wildcards)[0]


def minutes_for(stage):
    """A resources function: wall time of a job on one chunk, more with every attempt."""
    return lambda wildcards, attempt: attempt * requested(stage, wildcards)[1]


def requested(stage, wildcards):
    return jobs.request(CONFIG, stage, wildcards.chunk, FILES.molecules_table)


def molecule_files(wildcards):
    """The files to watch: those in a folder or named in a table too, none of an installed package."""
    try:
        return source_files(CONFIG.molecules.files)
    except UserError as error:
        raise WorkflowError(str(error)) from None


def priority_of_reference(wildcards):
    return priorities.of_reference(CONFIG, wildcards.chunk)


def priority_of_evaluation(wildcards):
    return priorities.of_evaluation(CONFIG, wildcards.functional)


def model_file(wildcards):
    """The file of a trained functional; none for a baseline."""
    return FILES.model_of(wildcards.functional) or []


def functional_argument(wildcards, input):
    """How a command names the functional: a model file, or a name in the registry."""
    return input.get("model") or wildcards.functional


def table(name):
    """An output of `tables`, shown in Snakemake's report."""
    return report(
        result(f"tables/{name}.csv"),
        caption=f"../report/{name}.rst",
        category="Tables",
        labels={"table": name, "run": CONFIG.run},
    )


if workflow.is_main_process and (notice := upgrade_notice(result("").rstrip("/"))):
    print(notice, file=sys.stderr)


wildcard_constraints:
    # a quantifier without an upper bound, {3,}, is not understood here
    chunk=rf"({words.one_of(SPLITS)})-\d\d\d+",
    model=words.one_of(model.key for model in CONFIG.models),
    loss=words.one_of(CONFIG.training.losses),
    seed=words.one_of(map(str, CONFIG.training.seeds)),
    functional=words.one_of(CONFIG.functionals()),


onstart:
    # not while parsing: a dry run, or a second call refused by the lock, must not change a running run's settings
    try:
        if DECIDES and workflow.local_exec and CONFIG.models:
            from dixc.training.device import chosen_device

            # on a cluster the GPUs are elsewhere
            chosen_device(CONFIG.training.device)
        start(CONFIG)
    except UserError as error:
        raise WorkflowError(str(error)) from None


onsuccess:
    # only if this call made it, and not one that stopped before, such as at the molecules
    if Path(result("report.html")).is_file() and Path(result("report.html")).stat().st_mtime > BEGIN:
        print(summary_text(result("tables/summary.csv")))
        print(f"dixc: the report is {result('report.html')}; tables are in {result('tables/')}")


onerror:
    print(f"dixc: a step failed; see its log in {result('logs/')}")
