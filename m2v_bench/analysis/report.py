"""What a run or a sweep leaves for people: table, figure and rows, made from their records."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from m2v_bench.analysis.plots import score_lines, speed_vs_score
from m2v_bench.analysis.tables import AVERAGE, ScoreTable, print_table, score_table, to_markdown

Record = Mapping[str, Any]
"""What `run.run` writes to record.json."""


def table_of(record: Record) -> ScoreTable:
    """The table models x task types of one run."""
    return score_table(pd.DataFrame(record["scores"]), teacher=record["teacher"])


def report_run(record: Record, output_dir: Path) -> ScoreTable:
    """Write scores.csv, table.md and speed_vs_score.png of a run to its folder."""
    table = table_of(record)
    pd.DataFrame(record["scores"]).to_csv(output_dir / "scores.csv", index=False)
    markdown = to_markdown(table, signature=record["signature"])
    (output_dir / "table.md").write_text(markdown, encoding="utf-8")
    speeds = record["speed"]
    if not speeds:
        return table  # nothing to plot: the suite gave no text to measure speed on
    points = [{**speed, "score": table.cells[speed["label"], AVERAGE].value} for speed in speeds]
    machine = f"speed on one thread of {speeds[0]['hardware']['processor']}, {speeds[0]['texts']} texts of the suite"
    speed_vs_score(points, output_dir / "speed_vs_score.png", caption=f"{record['signature']}\n{machine}")
    return table


def show_run(record: Record, table: ScoreTable, output_dir: Path, results_dir: Path) -> None:
    """Print a run's table and speeds, and make its table and figure the latest ones in `results_dir`."""
    suite = record["settings"]["suite.name"]
    print_table(table, title=f"{record['label']} on {suite}", signature=record["signature"])
    for speed in record["speed"]:
        print(
            f"{speed['label']:<34} {speed['texts_per_second']:>10,.0f} texts/s  "
            f"{speed['n_parameters'] / 1e6:>6.1f} M parameters  {speed['bytes_on_disk'] / 1e6:>6.1f} MB on disk"
        )
    for made, kept in (
        ("speed_vs_score.png", "figures/speed_vs_score.png"),
        ("table.md", f"tables/{suite}.md"),
    ):
        if not (output_dir / made).is_file():
            continue
        target = results_dir / kept
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(output_dir / made, target)
        print(f"wrote {target}")


def report_sweep(records: Sequence[Record], results_dir: Path, *, name: str, axis: str | None) -> dict[Path, str]:
    """Print one table over the jobs of a sweep; write it, its rows and the plot along `axis`.

    Args:
        records: of the jobs, in the order of the sweep.
        results_dir: gets tables/NAME.md, tables/NAME.csv and figures/NAME.png.
        name: the sweep's name.
        axis: the setting that the plot runs along; None takes the one that differs, and plots nothing when
            several do.

    Returns:
        The files written, each with the folder it belongs to.
    """
    scores = pd.DataFrame([row for record in records for row in record["scores"]])
    students = [record["label"] for record in records]
    # the sweep's models in its order, then those they are compared with
    scores = pd.concat([scores[scores["label"].isin(students)], scores[~scores["label"].isin(students)]])
    scores = scores.drop_duplicates(["label", "task"])
    table = score_table(scores, teacher=records[0]["teacher"])
    signature = records[0]["signature"]
    print_table(table, title=f"sweep {name}", signature=signature)
    markdown, rows = results_dir / "tables" / f"{name}.md", results_dir / "tables" / f"{name}.csv"
    markdown.parent.mkdir(parents=True, exist_ok=True)
    markdown.write_text(to_markdown(table, signature=signature), encoding="utf-8")
    scores.drop(columns=["seconds", "state"]).to_csv(rows, index=False)
    files = {markdown: "tables", rows: "tables"}
    axis = axis or _only_difference(records)
    if axis is not None:
        figure = results_dir / "figures" / f"{name}.png"
        score_lines(
            {str(record["settings"][axis]): table.cells[record["label"], AVERAGE].value for record in records},
            {label: table.cells[label, AVERAGE].value for label in table.labels if label not in students},
            figure,
            axis=axis,
            caption=signature,
        )
        files[figure] = "figures"
    for path in files:
        print(f"wrote {path}")
    return files


def _only_difference(records: Sequence[Record]) -> str | None:
    """The one setting that differs between the jobs, if it is one."""
    settings = [record["settings"] for record in records]
    changed = [key for key in settings[0] if len({str(each.get(key)) for each in settings}) > 1]
    return changed[0] if len(changed) == 1 else None
