# The checked config of the run, and helpers of all rules. Parsed again for every job on a cluster: keep it cheap.
#
# Every command reads results/<run>/config.yaml. That file is no input of any rule: a rule states in its params the
# settings that it depends on, and its version of the method, so that Snakemake reruns it when one of those changes,
# and not when another does.
import json
import re
import sys
import time
from pathlib import Path

from snakemake.exceptions import WorkflowError

from dixc.config import SPLITS, validate
from dixc.errors import UserError
from dixc.molecules import source_files, source_versions
from dixc.report.terminal import summary_text
from dixc.workflow.resources import LARGEST_UNKNOWN, estimate, memory, sizes
from dixc.workflow import METHODS, ranges, start, upgrade_notice

# whether this process decides what runs, in the environment that the steps use too
DECIDES = workflow.is_main_process and not workflow.deployment_settings.deployment_method

try:
    CONFIG = validate(config, source=" + ".join(map(str, workflow.configfiles)) or "config")
    if DECIDES:
        from dixc.config.functionals import check_functionals

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
    """A params function that gives a command-line option once for each file of the input `name`, in bash's short form."""

    def flags(wildcards, input):
        files = input.get(name, [])
        # --option=a-{0..9}.h5 and not --option a-{0..9}.h5: bash repeats a word, and the option must be in it
        return [f"{option}={file}" for file in ranges([files] if isinstance(files, str) else files)]

    return flags


def scaled(amount):
    """A resources function: `amount`, once more with every attempt."""

    def resource(wildcards, attempt):
        return amount * attempt

    return resource


def heavy_atoms(chunk):
    """Heavy atoms of a chunk's molecules, or at most so many where nobody has looked yet."""
    known = sizes(result("molecules/molecules.csv"), chunk)
    largest = getattr(CONFIG.molecules, chunk.rsplit("-", 1)[0]).max_heavy
    return known or [largest or LARGEST_UNKNOWN] * CONFIG.molecules.chunk_size


def with_excitations(stage, chunk):
    """Heavy atoms of those of a chunk's molecules that a stage works on."""
    heavy, limit = heavy_atoms(chunk), CONFIG.derivatives.states_max_heavy
    if limit is None or stage not in ("derivatives", "tddft") or not chunk.startswith("test"):
        return heavy
    # where nobody has looked yet, the largest molecule stands for all
    return [n for n in heavy if n <= limit] or [min(n, limit) for n in heavy]


def for_chunk(stage, which):
    """A resources function: mem_mb or runtime of a job on one chunk, more with every attempt."""

    def resource(wildcards, attempt):
        megabytes, minutes = estimate(stage, with_excitations(stage, wildcards.chunk), CONFIG.reference.basis)
        return {"mem_mb": megabytes, "runtime": minutes}[which] * attempt

    return resource


def one_of(values):
    """A regular expression for any of the values, and for nothing else."""
    return "|".join(map(re.escape, values)) or "(?!)"


def molecule_files(wildcards):
    """The files to watch: those in a folder or named in a table too, none of an installed package."""
    try:
        return source_files(CONFIG.molecules.files)
    except UserError as error:
        raise WorkflowError(str(error)) from None


def turn(seed):
    """Priority of all that is made with a seed: whole results of the first come before those of the others."""
    seeds = CONFIG.training.seeds
    return 100 * (len(seeds) - 1 - seeds.index(int(seed)))


FIRST = turn(CONFIG.training.seeds[0])


def is_training_data(wildcards):
    """Priority of the reference and its derivatives: training is the longest part and waits for these."""
    return FIRST + (0 if wildcards.chunk.startswith("test") else 50)


def start_of_training(wildcards):
    """Priority of a pre-fit."""
    return turn(wildcards.seed) + 40


def model_settings(wildcards):
    """Hyperparameters of the model, as text, and its class if its name does not say it."""
    entry = CONFIG.model(wildcards.model)
    named = {"name": entry.name} if entry.label else {}
    return json.dumps({**entry.hyperparameters, **named}, sort_keys=True)


def derivative_settings(wildcards):
    """The section `derivatives` as text; the limit for excitations concerns test molecules alone."""
    section = CONFIG.derivatives
    if not wildcards.chunk.startswith("test"):
        section = section.model_copy(update={"states_max_heavy": None})
    return json.dumps({"derivatives": section.model_dump(mode="json")}, sort_keys=True)


def prefit_settings(wildcards):
    """The section `prefit` of a model, as text."""
    return json.dumps({"prefit": CONFIG.prefit_of(wildcards.model).model_dump(mode="json")}, sort_keys=True)


def training_settings(wildcards):
    """The training settings of a model that decide the weights of this loss, as text."""
    return json.dumps(CONFIG.training_of(wildcards.model).settings(wildcards.loss), sort_keys=True)


def longest_first(wildcards):
    """Priority of a training: a loss with more terms takes longer and must not be the last to start."""
    return turn(wildcards.seed) + {"hess": 30, "grad": 20, "base": 10}[wildcards.loss]


def with_its_seed(wildcards):
    """Priority of what is measured with a functional: with the first seed's for baselines."""
    functional = CONFIG.parse(wildcards.functional)
    return turn(functional.seed) if functional.trained else FIRST


def checkpoint_folder(wildcards, output):
    """Folder of a training's checkpoints, beside that of the models."""
    model = Path(output.model)
    return str(model.parents[1] / "checkpoints" / model.stem)


def model_file(wildcards):
    """The file of a trained functional; none for a baseline."""
    trained = CONFIG.parse(wildcards.functional).trained
    return result(f"models/{wildcards.functional}.pt") if trained else []


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
    chunk=rf"({one_of(SPLITS)})-\d\d\d+",
    model=one_of(model.key for model in CONFIG.models),
    loss=one_of(CONFIG.training.losses),
    seed=one_of(map(str, CONFIG.training.seeds)),
    functional=one_of(CONFIG.functionals()),


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
