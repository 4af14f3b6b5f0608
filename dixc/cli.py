"""Command line of dixc: one command for each stage of the workflow, and those for a person.

This module only parses, and hands each stage its section of the config. Each command imports its stage when it runs
(see `dixc.launch`): `--help` is quick, and the number of threads is in the environment before torch and PySCF read it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dixc.errors import InputError
from dixc.launch import CommandGroup, run_stage
from dixc.models import DEFAULT
from dixc.version import __version__

if TYPE_CHECKING:
    from dixc.config import Config

app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ConfigFile = Annotated[Path, typer.Option("--config", help="Settings of the run (config.yaml).")]
Out = Annotated[Path, typer.Option("--out", help="File or folder to write.")]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        help="Number of threads [default: DIXC_THREADS, else OMP_NUM_THREADS, else all cores].",
    ),
]
References = Annotated[list[Path], typer.Option("--reference", help="Reference file; may be repeated.")]
ReferenceFile = Annotated[Path, typer.Option("--reference", help="Reference file of the molecules.")]
FunctionalArgument = Annotated[
    str,
    typer.Argument(help="Name (see `dixc models`) or import path of a functional, or a model file."),
]
ModelName = Annotated[str, typer.Option("--model", help="Name of a model of the config.")]
Seed = Annotated[
    int,
    typer.Option(
        "--seed", min=0, max=2**63 - 1, help="Seed of the initial weights and of all random choices."
    ),
]


def _version(show: bool) -> None:
    if show:
        typer.echo(f"dixc {__version__}")
        raise typer.Exit()


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Train exchange-correlation functionals on energies, densities and their derivatives, and measure them.

    The stages of the workflow are listed in their order. `plan` says what a run will
    cost, `scf` runs molecules with any functional, `models` lists them.
    """


@app.command()
def molecules(config: ConfigFile, out: Out, threads: Threads = None) -> None:
    """Choose molecules and write them in files by split."""
    run = _load(config)
    # what is wrong with a functional would stop the run hours later
    run_stage("dixc.workflow.functionals", threads, run, function="check_functionals")
    run_stage("dixc.stages.molecules", threads, run.molecules, out, run.digest)


@app.command()
def reference(
    chunk: Annotated[Path, typer.Argument(help="Molecules (extended xyz) written by `dixc molecules`.")],
    config: ConfigFile,
    out: Out,
    threads: Threads = None,
) -> None:
    """Run the reference SCF on a file of molecules."""
    run = _load(config)
    run_stage("dixc.stages.reference", threads, chunk, run.reference, out, run.digest)


@app.command()
def derivatives(
    reference: Annotated[Path, typer.Argument(help="Reference file.")],
    config: ConfigFile,
    out: Out,
    threads: Threads = None,
) -> None:
    """Compute the reference's second derivatives and excitations."""
    run = _load(config)
    run_stage("dixc.stages.derivatives", threads, reference, run.derivatives, out, run.digest)


@app.command()
def prefit(
    config: ConfigFile, model: ModelName, seed: Seed, reference: References, out: Out, threads: Threads = None
) -> None:
    """Fit a model to a classical functional, to start from."""
    run = _load(config)
    settings = run.prefit_of(model)
    run_stage("dixc.stages.prefit", threads, run.model(model), seed, settings, reference, out, run.digest)


@app.command()
def train(
    config: ConfigFile,
    model: ModelName,
    loss: Annotated[str, typer.Option("--loss", help="base, grad or hess.")],
    seed: Seed,
    start: Annotated[Path, typer.Option("--start", help="Model file written by `dixc prefit`.")],
    train_reference: Annotated[list[Path], typer.Option("--train-reference", help="May be repeated.")],
    train_derivatives: Annotated[list[Path], typer.Option("--train-derivatives", help="May be repeated.")],
    validation_reference: Annotated[
        list[Path], typer.Option("--validation-reference", help="May be repeated.")
    ],
    out: Out,
    log: Annotated[Path, typer.Option("--log", help="Table of losses to write, one row a step (csv).")],
    checkpoints: Annotated[Path, typer.Option("--checkpoints", help="Folder to save to and resume from.")],
    threads: Threads = None,
) -> None:
    """Train a model with one loss; resumes if interrupted."""
    from dixc.config import LOSSES, FunctionalId
    from dixc.stages.training_files import TrainingInputs, TrainingOutputs

    run = _load(config)
    if loss not in LOSSES:
        raise InputError(f"--loss {loss}: no such loss; there are {', '.join(LOSSES)}")
    inputs = TrainingInputs(start, train_reference, train_derivatives, validation_reference)
    outputs = TrainingOutputs(out, log, checkpoints)
    functional, settings = FunctionalId(model, loss, seed), run.training_of(model)
    run_stage("dixc.stages.train", threads, functional, settings, inputs, outputs, run.classes(), run.digest)


@app.command()
def evaluate(
    functional: FunctionalArgument,
    config: ConfigFile,
    reference: ReferenceFile,
    out: Out,
    threads: Threads = None,
) -> None:
    """Run SCF with a functional, compare with the reference."""
    run = _load(config)
    settings = run.evaluation.scf
    run_stage(
        "dixc.stages.evaluate", threads, functional, settings, reference, out, run.classes(), run.digest
    )


@app.command()
def warmstart(
    functional: Annotated[
        str, typer.Argument(help="Registry name, model file, or `reference`: the default guess.")
    ],
    config: ConfigFile,
    reference: ReferenceFile,
    out: Out,
    scf: Annotated[Path | None, typer.Option("--scf", help="File written by `dixc evaluate`.")] = None,
    threads: Threads = None,
) -> None:
    """Run the reference SCF from a functional's solution."""
    if scf is None and functional != "reference":
        raise InputError(f"warmstart of {functional} needs --scf, the file written by `dixc evaluate`")
    run = _load(config)
    settings, module = run.evaluation.scf, "dixc.stages.warmstart"
    if scf is None:
        run_stage(module, threads, settings, reference, out, run.digest, function="run_default_guess")
        return
    accelerate = run.evaluation.warmstart.accelerate
    files = (reference, scf, out)
    run_stage(module, threads, functional, settings, accelerate, *files, run.classes(), run.digest)


@app.command()
def tddft(
    functional: FunctionalArgument,
    config: ConfigFile,
    reference: ReferenceFile,
    derivatives: Annotated[Path, typer.Option("--derivatives", help="File written by `dixc derivatives`.")],
    scf: Annotated[Path, typer.Option("--scf", help="File written by `dixc evaluate`.")],
    out: Out,
    threads: Threads = None,
) -> None:
    """Compare excitation energies with the reference's."""
    run = _load(config)
    settings, files = run.evaluation.tddft, (reference, derivatives, scf, out)
    run_stage("dixc.stages.tddft", threads, functional, settings, *files, run.classes(), run.digest)


@app.command()
def tables(
    config: ConfigFile,
    scf: Annotated[list[Path], typer.Option("--scf", help="May be repeated.")],
    out: Out,
    warmstart: Annotated[list[Path] | None, typer.Option("--warmstart", help="May be repeated.")] = None,
    tddft: Annotated[list[Path] | None, typer.Option("--tddft", help="May be repeated.")] = None,
    threads: Threads = None,
) -> None:
    """Collect the results in tables."""
    digest = _load(config).digest
    run_stage("dixc.stages.tables", threads, scf, warmstart or [], tddft or [], out, digest)


@app.command()
def report(
    config: ConfigFile,
    tables: Annotated[Path, typer.Option("--tables", help="Folder written by `dixc tables`.")],
    out: Out,
    training: Annotated[
        list[Path] | None, typer.Option("--training", help="Log of a training; repeat.")
    ] = None,
    molecules: Annotated[
        Path | None, typer.Option("--molecules", help="The run's molecules.csv, for formulas and logs.")
    ] = None,
    threads: Threads = None,
) -> None:
    """Write the report, one self-contained HTML file."""
    run_stage("dixc.stages.report", threads, _load(config), tables, training or [], out, molecules)


@app.command()
def partial(
    folder: Annotated[Path, typer.Argument(help="Folder of a run, results/<run>.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder to write [default: partial/ in the run's folder].")
    ] = None,
    threads: Threads = None,
) -> None:
    """Tables and report of what a run has finished so far."""
    run_stage("dixc.commands.partial", threads, folder, out)


@app.command()
def plan(
    config: ConfigFile,
    node_cores: Annotated[
        int, typer.Option("--node-cores", min=1, help="Cores of a node, for the sum in node-hours.")
    ] = 32,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
    threads: Threads = None,
) -> None:
    """Estimate jobs, time, memory and storage of a config."""
    run_stage("dixc.commands.plan", threads, _load(config), node_cores, as_json)


@app.command()
def scf(
    molecule: Annotated[Path, typer.Argument(help="Molecule, or several (xyz, angstrom).")],
    xc: Annotated[
        str | None,
        typer.Option(
            "--xc",
            help="Name (see `dixc models`) or import path of a functional, or a model file "
            f"[default: {DEFAULT}; with --accelerate r2scan for elements that it was not trained on].",
        ),
    ] = None,
    hybrid: Annotated[
        str | None, typer.Option("--hybrid", help="A functional of PySCF (such as b3lyp), or hf, instead.")
    ] = None,
    accelerate: Annotated[
        bool, typer.Option("--accelerate", help="Converge --hybrid in fewer Fock builds by means of --xc.")
    ] = False,
    max_builds: Annotated[
        int | None,
        typer.Option(
            "--max-builds",
            min=1,
            help="With --accelerate: the energy that so many exact Fock builds tell, with an estimate of its error.",
        ),
    ] = None,
    basis: Annotated[str, typer.Option("--basis", help="Orbital basis, as PySCF names it.")] = "def2-svp",
    charge: Annotated[
        int | None, typer.Option("--charge", help="Total charge, e [default: the file's, else 0].")
    ] = None,
    grid_level: Annotated[int, typer.Option("--grid-level", min=0, max=9, help="PySCF grid level.")] = 3,
    tddft: Annotated[int, typer.Option("--tddft", min=0, help="Number of singlet excitations.")] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, one object a line, instead of text.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="File for the results, JSON lines; a rerun goes on after those there."),
    ] = None,
    threads: Threads = None,
) -> None:
    """Run SCF on molecules, with a functional or a hybrid."""
    from dixc.commands.options import Options

    options = Options(molecule, basis, charge, grid_level, as_json, out)
    for name, value in (("--xc", xc), ("--hybrid", hybrid)):
        if value is not None and not value.strip():
            raise InputError(f"{name}: no functional is named")
    if hybrid is None:
        if accelerate:
            raise InputError("--accelerate needs --hybrid, the functional to be converged")
        if max_builds is not None:
            raise InputError("--max-builds needs --accelerate and --hybrid")
        run_stage("dixc.commands.scf", threads, options, xc or DEFAULT, tddft)
        return
    if tddft:
        raise InputError("--tddft goes with --xc, not with --hybrid")
    if xc is not None and not accelerate:
        raise InputError("--hybrid with --xc: add --accelerate, or leave one of them out")
    if max_builds is not None and not accelerate:
        raise InputError("--max-builds needs --accelerate")
    run_stage("dixc.commands.hybrid", threads, options, hybrid, xc, accelerate, max_builds)


@app.command()
def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
    threads: Threads = None,
) -> None:
    """List functionals: classical, learned, and trained ones."""
    run_stage("dixc.commands.models", threads, as_json)


@app.command()
def info(
    file: Annotated[Path, typer.Argument(help="Any file that dixc has written.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
    threads: Threads = None,
) -> None:
    """Show what a file holds, and which versions made it."""
    run_stage("dixc.commands.info", threads, file, as_json)


def _load(path: Path) -> Config:
    from dixc.config import load

    return load(path)


def main() -> None:
    """Entry point of the `dixc` command."""
    app(prog_name="dixc")


if __name__ == "__main__":
    main()
