"""Write and print tables, figures and rows of a run or a sweep from its records."""

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from m2v_bench.errors import BenchError
from m2v_bench.reports.figures import save
from m2v_bench.reports.grid import Grid
from m2v_bench.reports.leaderboard_page import write_leaderboard
from m2v_bench.reports.summary import daggers_of, record_rows, summarise, with_daggers
from m2v_bench.reports.sweep_figures import draw
from m2v_bench.results.record import RunRecord

_FIGURE = "speed_vs_score"
# of a sweep's CSV file
_COLUMNS = ["kind", "label", "main_score", "model", "peak_rss_bytes", "reason", "revision", "task", "type", "teacher"]


def report_run(record: RunRecord, output_dir: Path, results_dir: Path) -> Grid:
    """Write scores.csv, table.md and, where speed was measured, the figure of a run to its folder.

    Returns:
        The table, with daggers by the samples in `results_dir`.
    """
    summary = summarise([record])
    record_rows(record).to_csv(output_dir / "scores.csv", index=False)
    tested = daggers_of(summary, results_dir)
    grid = with_daggers(summary, tested, title=f"{record.label} on {record.suite}")
    (output_dir / "table.md").write_text(grid.markdown(), encoding="utf-8")
    if (figure := draw(summary, None, tested.errors).get("-speed")) is not None:
        save(figure, output_dir / _FIGURE)
    return grid


def show_run(record: RunRecord, grid: Grid, output_dir: Path, results_dir: Path) -> None:
    """Print a run's table and speeds, and copy its table and figure to `results_dir` as the latest ones."""
    grid.show()
    for speed in record.speed[:1]:
        print(f"speed on one CPU thread, {speed.texts} texts of {speed.mean_characters:.0f} characters on average:")
    for speed in record.speed:
        print(
            f"{speed.label:<34} {speed.texts_per_second:>10,.0f} texts/s  "
            f"{speed.n_parameters / 1e6:>6.1f} M parameters  {speed.bytes_on_disk / 1e6:>6.1f} MB on disk"
        )
    figures = {f"{_FIGURE}.{end}": f"figures/{record.suite}-speed.{end}" for end in ("svg", "png")}
    for source, name in {**figures, "table.md": f"tables/{record.suite}.md"}.items():
        if not (output_dir / source).is_file():
            continue
        target = results_dir / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(output_dir / source, target)
        print(f"wrote {target}")


def show_end(experiment: Path, results_dir: Path, *, model: Path | None = None, store: str | None = None) -> None:
    """Write the leaderboard of all results, and print where the results are and what to type next.

    Args:
        experiment: folder of the run or sweep that has ended.
        results_dir: its results folder.
        model: folder of the distilled model of a run.
        store: address of the MLflow store; None without one.
    """
    places = {} if model is None else {"model": os.path.relpath(model)}
    try:
        # damaged files cost the page, not the run
        places["leaderboard"] = str(write_leaderboard([results_dir], intervals=None))
    except (BenchError, OSError, ModuleNotFoundError) as error:
        print(f"no leaderboard: {error}")
    if store is not None:
        places["MLflow"] = f"{store}; `mlflow ui --backend-store-uri {store}` shows it"
    width = max(map(len, places), default=0) + 2
    print("\n" + "".join(f"{name:<{width}}{place}\n" for name, place in places.items()), end="")
    here = [] if results_dir == Path("results") else ["--results", str(results_dir)]
    report = shlex.join([_program("m2v-bench"), "report", experiment.name, *here])
    if model is None:
        export = shlex.join([_program("m2v-bench"), "export", experiment.name, *here])
        following = {report: "a page about this sweep", export: "its scores and records in one file"}
    else:
        sweep = f"{_program('python')} -m m2v_bench +sweep=pca_dims"
        following = {report: "a page about this run", sweep: "scores against the number of dimensions"}
    serve = shlex.join([_program("m2v-bench"), "leaderboard", str(results_dir), "--serve"])
    following[serve] = "the leaderboard, updated while runs go on"
    width = max(map(len, following)) + 2
    print("next:\n" + "\n".join(f"  {command:<{width}}# {about}" for command, about in following.items()))


def _program(name: str) -> str:
    """Return how to call a program of this environment: by its name where the environment is active."""
    beside = Path(sys.executable).with_name(name)
    found = shutil.which(name)
    if not beside.is_file() or (found is not None and Path(found).parent == beside.parent):
        return name
    return str(beside.relative_to(Path.cwd()) if beside.is_relative_to(Path.cwd()) else beside)


def report_sweep(records: Sequence[RunRecord], results_dir: Path, *, name: str, axis: str | None) -> dict[Path, str]:
    """Print the table of a sweep, and write it with its rows and figures.

    Args:
        records: of the jobs, in the order of the sweep.
        results_dir: gets tables/NAME.md and .csv, and of what `sweep_figures.draw` draws figures/NAME.svg and .png
            (scores), NAME-types (by task type) and NAME-speed (speed against score).
        name: the sweep's name.
        axis: the setting that scores are drawn along, as in `sweep_figures.draw`.

    Returns:
        The written files, with the name of their folder.
    """
    summary = summarise(records)
    tested = daggers_of(summary, results_dir)
    grid = with_daggers(summary, tested, title=f"sweep {name}")
    markdown, data = results_dir / "tables" / f"{name}.md", results_dir / "tables" / f"{name}.csv"
    markdown.parent.mkdir(parents=True, exist_ok=True)
    markdown.write_text(grid.markdown(), encoding="utf-8")
    summary.rows[_COLUMNS].to_csv(data, index=False)
    files = {markdown: "tables", data: "tables"}
    figures = draw(summary, axis, tested.errors)
    for ending in ("", "-types", "-speed"):
        stem = results_dir / "figures" / f"{name}{ending}"
        if ending in figures:
            files |= dict.fromkeys(save(figures[ending], stem), "figures")
        else:  # a figure of an earlier start would show other jobs
            for old in ("svg", "png"):
                stem.with_name(f"{stem.name}.{old}").unlink(missing_ok=True)
    grid.show()
    for path in files:
        print(f"wrote {path}")
    return files
