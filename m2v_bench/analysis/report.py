"""What a run or a sweep leaves for people: table, figure and rows, made from their records."""

import functools
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from m2v_bench.analysis.plots import score_lines, speed_vs_score
from m2v_bench.analysis.tables import AVERAGE, ScoreTable, print_table, score_table, to_markdown

Record = Mapping[str, Any]
"""What `run.run` writes to record.json."""


def report_run(record: Record, output_dir: Path) -> ScoreTable:
    """Write scores.csv, table.md and, where speed was measured, speed_vs_score.png of a run to its folder."""
    rows = _rows(record)
    table = score_table(rows)
    rows.to_csv(output_dir / "scores.csv", index=False)
    markdown = to_markdown(table, signature=record["signature"])
    (output_dir / "table.md").write_text(markdown, encoding="utf-8")
    speeds = record["speed"]
    if speeds and table.n_common:
        points = [{**speed, "score": table.common[speed["label"]]} for speed in speeds]
        machine = (
            f"speed on one thread of {speeds[0]['hardware']['processor']}, {speeds[0]['texts']} texts of the suite"
        )
        caption = f"{record['signature']}{_plotted(table)}\n{machine}"
        speed_vs_score(points, output_dir / "speed_vs_score.png", caption=caption)
    return table


def _rows(record: Record) -> pd.DataFrame:
    return pd.DataFrame(record["scores"]).assign(teacher=record["teacher"])


def _plotted(table: ScoreTable) -> str:
    """What a plot must say when it cannot be over all tasks."""
    n_all = table.cells[table.labels[0], AVERAGE].n_all
    return (
        "" if table.n_common == n_all else f"; plotted over the {table.n_common} of {n_all} tasks that all models have"
    )


def show_run(record: Record, table: ScoreTable, output_dir: Path, results_dir: Path) -> None:
    """Print a run's table and speeds, and make its table and figure the latest ones in `results_dir`."""
    suite = record["settings"]["suite.name"]
    print_table(table, title=f"{record['label']} on {suite}", signature=record["signature"])
    for speed in record["speed"][:1]:
        print(
            f"speed on one CPU thread, {speed['texts']} texts of {speed['mean_characters']:.0f} characters on average:"
        )
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
    changed = [key for key in records[0]["settings"] if len({str(each["settings"].get(key)) for each in records}) > 1]
    rows, students = _sweep_rows(records, changed)
    table = score_table(rows)
    signature = records[0]["signature"]
    print_table(table, title=f"sweep {name}", signature=signature)
    markdown, data = results_dir / "tables" / f"{name}.md", results_dir / "tables" / f"{name}.csv"
    markdown.parent.mkdir(parents=True, exist_ok=True)
    markdown.write_text(to_markdown(table, signature=signature), encoding="utf-8")
    rows.drop(columns=["seconds", "state"]).to_csv(data, index=False)
    files = {markdown: "tables", data: "tables"}
    axis = axis or (changed[0] if len(changed) == 1 else None)
    if axis is not None and table.n_common:
        names = functools.cache(functools.partial(_names, records))
        series: dict[str, dict[str, float]] = {}
        for record, label in zip(records, students, strict=True):
            others = ", ".join(f"{key}={names(key)[str(record['settings'][key])]}" for key in changed if key != axis)
            series.setdefault(others or "distilled", {})[names(axis)[str(record["settings"][axis])]] = table.common[
                label
            ]
        references = {label: table.common[label] for label in table.labels if label not in students}
        figure = results_dir / "figures" / f"{name}.png"
        score_lines(series, references, figure, axis=axis, caption=f"{signature}{_plotted(table)}")
        files[figure] = "figures"
    for path in files:
        print(f"wrote {path}")
    return files


def _names(records: Sequence[Record], setting: str) -> dict[str, str]:
    """What the plot calls a setting's values: base models as their results are called, where that tells them apart."""
    values = [str(each["settings"][setting]) for each in records]
    names = {value: each["variant"]["base_model"] for value, each in zip(values, records, strict=True)}
    if setting == "base_model.name" and len(set(names.values())) == len(names):
        return names
    return {value: value for value in values}


# Settings that give other scores to every model, and not only to the distilled one.
_COMMON_SETTINGS = ("seed", "suite.", "hub_dir")


def _sweep_rows(records: Sequence[Record], changed: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """The rows of all jobs under labels that are unique, and the label of each job's distilled model.

    The distilled models come first, in the order of the sweep, then those they are compared with.
    """
    parts, students = [], []
    for record in records:
        settings = record["settings"]
        suffix = "".join(f" {key}={settings[key]}" for key in changed if key.startswith(_COMMON_SETTINGS))
        rows = _rows(record)
        rows["student"] = rows["label"] == record["label"]
        rows["label"] += suffix
        rows["teacher"] = None if record["teacher"] is None else record["teacher"] + suffix
        parts.append(rows)
        students.append((record["label"] + suffix, record["revision"]))
    rows = pd.concat(parts)
    # two base models may share their last name, and then their label
    identities = rows.groupby("label")["revision"].nunique()
    shared = set(identities.index[identities > 1])
    taken = rows["label"].isin(shared)
    rows.loc[taken, "label"] += " " + rows.loc[taken, "revision"].str[:6]
    students_now = [f"{label} {revision[:6]}" if label in shared else label for label, revision in students]
    rows = rows.sort_values("student", ascending=False, kind="stable").drop(columns="student")
    return rows.drop_duplicates(["label", "task"]), students_now
