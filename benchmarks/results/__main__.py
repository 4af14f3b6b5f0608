"""`python -m benchmarks.results collect|page`: see the package."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NoReturn

import typer

from benchmarks.results import collect, page
from dixc.errors import InputError
from dixc.launch import errors_as_lines


def main(arguments: list[str] | None = None) -> int:
    """Run one of the two steps; returns the exit code."""
    try:
        with errors_as_lines():
            chosen = vars(_parser().parse_args(arguments))
            chosen.pop("function")(**chosen)
    except typer.Exit as done:
        return done.exit_code
    return 0


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are errors like others."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see {self.prog} --help)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m benchmarks.results", description=__doc__)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("collect", help="keep what the page needs of a run")
    one.add_argument("source", type=Path, help="folder of the run, or its folder `partial`")
    one.add_argument("out", type=Path, help="folder for the CSV files")
    one.add_argument(
        "--add", action="store_true", help="keep what is there of other seeds, of the same settings"
    )
    one.set_defaults(function=collect.run)
    two = commands.add_parser("page", help="write the page")
    two.add_argument("source", type=Path, help="folder with a folder of CSV files for each run")
    two.add_argument("out", type=Path, help="Markdown file")
    two.set_defaults(function=page.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
