"""What several verbs share: options, and how tables are shown."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from m2v_bench.reports.grid import FORMATS, Format, Grid

Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_config_dir(verb: argparse.ArgumentParser) -> None:
    """Add `--config-dir`, of verbs that take settings of a run."""
    verb.add_argument("--config-dir", metavar="DIR", help="folder of your own config files, as of a run")


def add_results(verb: argparse.ArgumentParser) -> None:
    """Add `--results`."""
    verb.add_argument(
        "--results", default="results", type=Path, metavar="DIR", help="results_dir of the runs (results)"
    )


def add_format(verb: argparse.ArgumentParser) -> None:
    """Add `--format`, of verbs that show tables."""
    verb.add_argument("--format", choices=FORMATS, default="terminal", help="default: %(default)s")


def add_out(verb: argparse.ArgumentParser) -> None:
    """Add `--out`, of verbs that make tables of what is there; without it they print and write nothing."""
    verb.add_argument("--out", type=Path, metavar="FOLDER", help="write the tables to this folder, too")


def say_written(paths: Sequence[Path]) -> None:
    """Name the files that were written, beside the tables."""
    print("".join(f"wrote {path}\n" for path in paths), end="", file=sys.stderr)


def show(grid: Grid, style: Format) -> None:
    """Print a table."""
    grid.show() if style == "terminal" else print(grid.render(style), end="")
    say_notes([grid], style)


def say_notes(grids: Sequence[Grid], style: Format) -> None:
    """Print the notes of tables where their format has no place for them, as CSV has none."""
    if style == "csv":
        print("\n".join(note for grid in grids for note in grid.notes), file=sys.stderr)
