"""The rooms of dixc and their order, as the table of CONTRIBUTING.md has them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "dixc"


def rooms_in_order() -> list[list[str]]:
    """Names in the first column of the table of rooms, row by row."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = page.split("| room | content |")[1].split("\n\n")[0]
    return [re.findall(r"`(\w+)`", row.split("|")[1]) for row in table.splitlines()[2:]]


def room_of(module: str) -> str | None:
    """dixc.core.xc.expansion is in the room core; dixc itself is in none."""
    return module.split(".")[1] if "." in module else None


def imports(path: Path) -> Iterator[str]:
    """Modules of dixc that a file imports: at its top, within functions, and for types alone."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.partition(".")[0] == "dixc")


def modules() -> dict[str, Path]:
    """Every module of the package, and its file."""
    paths = {path.relative_to(ROOT).with_suffix(""): path for path in PACKAGE.rglob("*.py")}
    return {".".join(parts.parts).removesuffix(".__init__"): path for parts, path in paths.items()}


def test_every_room_is_in_the_table():
    assert {room for row in rooms_in_order() for room in row} == {room_of(name) for name in modules()} - {
        None
    }


def test_no_room_imports_one_below_it():
    row = {room: number for number, rooms in enumerate(rooms_in_order()) for room in rooms}
    upwards = []
    for name, path in modules().items():
        here = room_of(name)
        for imported in imports(path):
            there = room_of(imported)
            # dixc/__init__.py gathers what users call
            if here is not None and there in row and row[there] > row[here]:
                upwards.append(f"{name} imports {imported}")
    assert not upwards


def test_unit_tests_mirror_the_rooms():
    rooms = {room for row in rooms_in_order() for room in row}
    folders = {path.name for path in (ROOT / "tests/unit").iterdir() if path.is_dir()} - {"__pycache__"}
    assert folders <= rooms
