"""`dixc info FILE`: what a file holds, and which code, settings, molecules and libraries made it.

A file's kind is told by its content where that is possible, never by running anything in it.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dixc import provenance, text
from dixc.display import one_line
from dixc.errors import InputError
from dixc.inputs import opened
from dixc.store import read_info, sidecar
from dixc.store.files import MAGIC

Facts = dict[str, Any]
NO_RECORD = "none recorded: written by an older dixc, or taken out of its folder"
ZIP = b"PK\x03\x04"


def run(path: Path, as_json: bool = False) -> None:
    """Print what `describe` finds.

    Raises:
        InputError: as `describe`.
    """
    facts = describe(path)
    print(text.as_json(facts) if as_json else as_text(facts))


def describe(path: Path) -> Facts:
    """What a file holds and where it comes from, ready for JSON.

    Returns:
        file, kind, more facts by kind, and `provenance`: a mapping, or the words that there is
            none.

    Raises:
        InputError: no such file, a damaged one, or one that dixc did not write.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: a folder; name one of its files")
    head = _head(path)
    if head.startswith(MAGIC):
        facts = _chunk(path)
    elif head.startswith(ZIP):
        facts = _torch_file(path)
    else:
        facts = _by_name(path)
    record = facts.pop("provenance", None)
    return {"file": str(path), **facts, "provenance": record or NO_RECORD}


def _head(path: Path) -> bytes:
    with opened(path) as file:
        return file.read(len(MAGIC))


def _by_name(path: Path) -> Facts:
    readers: dict[str, Callable[[Path], Facts]] = {
        ".csv": _table, ".xyz": _molecules, ".extxyz": _molecules, ".yaml": _config, ".yml": _config,
        ".html": _page, ".svg": _page, ".json": _sidecar,
    }  # fmt: skip
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: not a file that dixc writes (or damaged)")
    return reader(path)


def _chunk(path: Path) -> Facts:
    info = read_info(path)
    molecules, failed = info.pop("molecules"), info.pop("failed")
    return {
        "kind": f"chunk of the stage {info.pop('stage')}", **info,
        "molecules": len(molecules), "failed": failed,
    }  # fmt: skip


def _torch_file(path: Path) -> Facts:
    from dixc.functionals import files
    from dixc.training import checkpoints

    content = files.read(path)
    if isinstance(content, dict) and content.get("format") == checkpoints.FORMAT:
        keys = ("loss", "seed", "step", "wall_s", "best_score", "provenance")
        return {"kind": "checkpoint of a training"} | {key: content.get(key) for key in keys}
    content = files.checked(content, path)
    metadata = dict(content["metadata"])
    for key in ("train_molecules", "validation_molecules"):
        if isinstance(metadata.get(key), list):
            metadata[key] = len(metadata[key])
    return {
        "kind": f"model of the functional {content['name']}", "format_version": content["version"],
        "hyperparameters": content["hyperparameters"],
        "parameters": sum(int(value.numel()) for value in content["state"].values()), **metadata,
    }  # fmt: skip


def _table(path: Path) -> Facts:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file)
            columns = next(rows, [])
            count = sum(1 for _ in rows)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a CSV table ({error})") from None
    record = sidecar.read_sidecar(path)
    kind = _kind_of_table(columns)
    if kind is None and record is None:
        raise InputError(f"{path}: not a table of dixc (columns {', '.join(columns)[:60]})")
    return {"kind": kind or "table", "rows": count, "columns": columns, "provenance": record}


def _kind_of_table(columns: list[str]) -> str | None:
    from dixc.stages.molecules import COLUMNS as OF_MOLECULES
    from dixc.tables.schema import TABLES

    kinds = {f"table {name}": table.columns for name, table in TABLES.items()}
    for kind, of_kind in (kinds | {"molecules": list(OF_MOLECULES)}).items():
        if columns == of_kind:
            return kind
    return "log of a training" if {"step", "wall_s", "grad_norm"} <= set(columns) else None


def _molecules(path: Path) -> Facts:
    from dixc.molecules import read_xyz

    molecules = read_xyz(path, closed_shells_only=False)
    elements = Counter(symbol for molecule in molecules for symbol in molecule.symbols)
    return {
        "kind": "molecules (extended xyz)", "molecules": len(molecules),
        "split": ", ".join(sorted({molecule.split for molecule in molecules} - {""})),
        "heavy_atoms": [f(molecule.n_heavy for molecule in molecules) for f in (min, max)],
        "atoms": dict(sorted(elements.items())), "hash": provenance.short_hash(provenance.file_hash(path)),
        "provenance": sidecar.read_sidecar(path),
    }  # fmt: skip


def _config(path: Path) -> Facts:
    from dixc.config import load

    config = load(path)
    values = config.model_dump(mode="json")
    sections = {key: provenance.hash_of(value) for key, value in values.items() if key != "run"}
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    version = first.rpartition(" written by dixc ")[2] if " written by dixc " in first else None
    record = {"config": provenance.hash_of(values)} | ({"dixc": version} if version else {})
    return {
        "kind": "settings of a run", "run": config.run, "functionals": config.functionals(),
        "sections": sections, "provenance": record,
    }  # fmt: skip


def _page(path: Path) -> Facts:
    record = sidecar.read_comment(path)
    if record is None:
        raise InputError(f"{path}: not a page or figure of dixc, or one of an older version")
    return {"kind": "report" if path.suffix.lower() == ".html" else "figure", "provenance": record}


def _sidecar(path: Path) -> Facts:
    content = sidecar.parse(path)
    return {"kind": "provenance of other files", "files": list(content["files"]), **content}


def as_text(facts: Facts) -> str:
    """Lines of key and value, nested mappings indented.

    Of the list of all packages only the length is shown.
    """
    return "\n".join(_lines(facts, 0))


def _lines(mapping: Mapping[str, Any], depth: int) -> list[str]:
    lines = []
    for key, value in mapping.items():
        margin = "  " * depth
        if key == "packages" and isinstance(value, Mapping):
            value = f"{len(value)} (listed by --json)"
        if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
            for item in value:
                lines += [f"{margin}{one_line(key)}", *_lines(item, depth + 1)]
        elif isinstance(value, Mapping) and value:
            lines += [f"{margin}{one_line(key)}", *_lines(value, depth + 1)]
        else:
            # text of others must not add lines
            shown = one_line(", ".join(map(str, value)) if isinstance(value, list | dict) else value)
            lines.append(
                f"{margin}{one_line(key) + ' ':<{max(1, 22 - len(margin))}}"
                + ("-" if value is None or shown == "" else shown)
            )
    return lines
