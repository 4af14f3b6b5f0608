"""`python -m dixc.results collect|page`: see the package."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dixc.errors import UserError
from dixc.results import collect, page


def main(arguments: list[str] | None = None) -> int:
    """Run one of the two steps; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m dixc.results", description=__doc__)
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
    chosen = vars(parser.parse_args(arguments))
    try:
        chosen.pop("function")(**chosen)
    except UserError as error:
        print(f"dixc: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
