"""All molecules of a file one after the other, for a person at a terminal: a failure is a result like others."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, NamedTuple

from dixc import provenance
from dixc.commands.rows import Rows, as_line
from dixc.display import one_line
from dixc.errors import InputError, UserError
from dixc.functionals import files
from dixc.molecules import Molecule
from dixc.molecules.frames import Frame
from dixc.molecules.molecule import hill_formula
from dixc.molecules.xyz import charge_of, each_molecule, symbols_of
from dixc.version import __version__

Row = dict[str, Any]
NAMES_SHOWN = 5
REASON_LENGTH = 300
UNCONVERGED = "SCF not converged"


class Task(NamedTuple):
    """A frame of the file.

    Attributes:
        name, formula, charge: of the molecule; the last two None if they could not be read.
        mol: its PySCF molecule; None if it cannot be computed.
        error: the reason then.
    """

    name: str
    formula: str | None
    charge: int | None
    mol: Any
    error: UserError | None


def each(
    path: Path,
    method: str,
    basis: str,
    charge: int | None,
    settings: Mapping[str, Any],
    one: Callable[[Any, str], Row],
    text: Callable[[Row], str],
    as_json: bool,
    out: Path | None,
) -> None:
    """Print what `one(mol, name)` finds for each molecule of a file, and write it to `out` as it is done.

    A molecule that cannot be computed, or whose calculation fails, has a row with `converged` False and the reason
    as `error`; rows with an `error` are those that failed. Rows that `out` has already, from the same file with the
    same settings, are not computed again.

    Args:
        path: extended xyz, one molecule or several.
        method, basis: what the rows say about the calculation.
        charge: overrules the file's, e.
        settings: all else that determines the results, for JSON.
        one: results of a PySCF molecule, with `converged`, and with `error` (None for none) where that does not tell
            whether the calculation failed.
        text: lines about a result.
        as_json: print a JSON object a molecule, one a line, instead of text.
        out: file for the same JSON lines.

    Raises:
        InputError: a file without any molecule that can be computed, or an `out` that cannot be written or goes on
            with other results: nothing is computed or written. Or, when all are done and written, failed molecules.
    """
    tasks = list(_tasks(path, basis, charge))
    if all(task.error is not None for task in tasks):
        assert tasks[0].error is not None
        raise tasks[0].error
    known = {"xc": method, "basis": basis}
    key = provenance.hash_of(
        [
            provenance.file_hash(path),
            charge,
            dict(settings) | known,
            __version__,
            provenance.collect()["pyscf"],
        ]
    )
    failed: list[tuple[str, str]] = []
    with nullcontext() if out is None else Rows(out, key, [task.name for task in tasks]) as rows:
        for number, task in enumerate(tasks):
            if rows is not None and number < len(rows.there):
                row = rows.there[number]
            else:
                about = {"run": key, "name": task.name, "formula": task.formula} | known
                row = about | {"charge": task.charge} | _result(task, path, one)
                if rows is not None:
                    rows.add(row)
            try:
                shown = as_line(row) if as_json else text(row) if "e_tot_Eh" in row else _failure_text(row)
            except (LookupError, TypeError, ValueError):
                if rows is not None and number < len(rows.there):  # changed by hand
                    raise rows.other() from None
                raise
            print(shown, flush=True)
            if "error" in row:
                failed.append((task.name, row["error"]))
    if failed:
        raise InputError(_summary(path, method, failed, len(tasks)))


def identity(xc: str | None) -> list[str | None]:
    """What tells functionals apart that a name or path may stand for: the name, and the hash of the file if any."""
    file = None if xc is None else files.model_file(xc)
    return [xc, None if file is None else provenance.file_hash(file)]


def _tasks(path: Path, basis: str, charge: int | None) -> Iterator[Task]:
    for frame, found in each_molecule(path, charge=charge):
        if isinstance(found, UserError):
            yield _refused(frame, charge, found)
            continue
        about = found.name, found.formula, found.charge
        try:
            yield Task(*about, _in_basis(found, basis), None)
        except UserError as error:
            yield Task(*about, None, InputError(f"{path}, {error}"))


def _refused(frame: Frame, charge: int | None, error: UserError) -> Task:
    """A frame that cannot be used, with what can be said of it all the same."""
    formula = None
    with suppress(UserError):
        charge = charge_of(frame) if charge is None else charge
        formula = hill_formula(symbols_of(frame), charge)
    return Task(frame.entries["name"], formula, charge, None, error)


def _in_basis(molecule: Molecule, basis: str) -> Any:
    mol = molecule.to_pyscf(basis)
    pairs = molecule.n_electrons // 2
    if pairs > mol.nao:
        raise InputError(
            f"{molecule.name}: {molecule.n_electrons} electrons need {pairs} orbitals, {basis} has {mol.nao}"
        )
    return mol


def _result(task: Task, path: Path, one: Callable[[Any, str], Row]) -> Row:
    """What `one` finds, or the reason why it finds nothing."""
    if task.error is not None:
        reason = str(task.error).removeprefix(f"{path}, {task.name}: ").removeprefix(f"{path}: ")
        return _failure(reason)
    try:
        result = one(task.mol, task.name)
    except UserError as error:
        return _failure(str(error))
    except Exception as error:  # whatever PySCF or a functional raises: the other molecules go on
        return _failure(_what_happened(error))
    try:
        as_line(result)
    except ValueError:
        return _failure("the SCF ended with numbers that are not finite")
    reason = None if result["converged"] else f"{UNCONVERGED} in {result['cycles']} cycles"
    if (reason := result.pop("error", reason)) is not None:
        result["error"] = reason
    return result


def _failure(reason: str) -> Row:
    return {"converged": False, "error": one_line(reason)[:REASON_LENGTH]}


def _what_happened(error: Exception) -> str:
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(where.filename).name}, line {where.lineno}: {one_line(error)}"


def _failure_text(row: Row) -> str:
    about = "" if row["formula"] is None else f" ({row['formula']}, charge {row['charge']})"
    return f"{row['name']}{about}  {row['xc']}/{row['basis']}\n  FAILED: {row['error']}"


def _summary(path: Path, method: str, failed: Sequence[tuple[str, str]], count: int) -> str:
    """One line about the failed molecules of a file, given with their reasons."""
    names = ", ".join(name for name, _ in failed[:NAMES_SHOWN]) + (
        " ..." if len(failed) > NAMES_SHOWN else ""
    )
    if all(reason.startswith(UNCONVERGED) for _, reason in failed):
        return f"{path}: SCF with {method} not converged for {len(failed)} of {count}: {names}"
    first, reason = failed[0]
    if count == 1:
        return f"{path}, {first}: {reason}"
    return f"{path}: {len(failed)} of {count} molecules failed: {names} (the first: {reason})"
