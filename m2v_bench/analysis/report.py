"""What a run or a sweep leaves for people: table, figure and rows, made from their records."""

import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from m2v_bench.analysis.marks import daggers
from m2v_bench.analysis.paired import complete
from m2v_bench.analysis.plots import score_lines, speed_vs_score
from m2v_bench.analysis.samples import Samples
from m2v_bench.analysis.signature import merged
from m2v_bench.analysis.stored import read_task_samples, stored_models
from m2v_bench.analysis.tables import AVERAGE, ScoreTable, score_table, to_grid
from m2v_bench.errors import BenchError

Record = Mapping[str, Any]
"""What `run.run` writes to record.json."""


def report_run(record: Record, output_dir: Path) -> ScoreTable:
    """Write scores.csv, table.md and, where speed was measured, speed_vs_score.png of a run to its folder."""
    rows, table = _rows(record), record_table(record)
    rows.to_csv(output_dir / "scores.csv", index=False)
    markdown = to_grid(table, signature=record["signature"]).markdown()
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


def record_table(record: Record) -> ScoreTable:
    """The table of one run."""
    return score_table(_rows(record), _aggregation(record))


def _rows(record: Record) -> pd.DataFrame:
    return pd.DataFrame(record["scores"]).assign(teacher=record["teacher"])


def _aggregation(record: Record) -> str:
    return str(record["settings"].get("suite.aggregation", "micro"))


def _plotted(table: ScoreTable) -> str:
    """What a plot must say when it cannot be over all tasks."""
    n_all = table.cells[table.labels[0], AVERAGE].n_all
    return (
        "" if table.n_common == n_all else f"; plotted over the {table.n_common} of {n_all} tasks that all models have"
    )


def show_run(record: Record, table: ScoreTable, output_dir: Path, results_dir: Path) -> None:
    """Print a run's table and speeds, and make its table and figure the latest ones in `results_dir`."""
    suite = record["settings"]["suite.name"]
    to_grid(table, title=f"{record['label']} on {suite}", signature=record["signature"]).show()
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
    changed = [
        key
        for key in records[0]["settings"]
        if len({str(each["settings"].get(key)) for each in records}) > 1
        and not key.startswith("baselines.")  # they are rows of their own and change no other
    ]
    rows, students = _sweep_rows(records, changed)
    table = score_table(rows, _aggregation(records[0]))
    signature = merged(each["signature"] for each in records)
    marks, notes = _daggers(rows, table, _aggregation(records[0]), results_dir)
    grid = to_grid(table, title=f"sweep {name}", signature=signature, marks=marks, notes=notes)
    grid.show()
    markdown, data = results_dir / "tables" / f"{name}.md", results_dir / "tables" / f"{name}.csv"
    markdown.parent.mkdir(parents=True, exist_ok=True)
    markdown.write_text(grid.markdown(), encoding="utf-8")
    rows.drop(columns=["seconds", "state", "seed"]).to_csv(data, index=False)
    files = {markdown: "tables", data: "tables"}
    axis = axis or (changed[0] if len(changed) == 1 else None)
    if axis is not None and table.n_common:
        values = {key: _values(records, key) for key in {*changed, axis}}
        series: dict[str, dict[str, float]] = {}
        for number, label in enumerate(students):
            others = ", ".join(f"{key}={values[key][number]}" for key in changed if key != axis)
            series.setdefault(others or "distilled", {})[values[axis][number]] = table.common[label]
        references = {
            label: table.common[label]
            for label in table.labels
            if label not in students and not math.isnan(table.common[label])
        }
        figure = results_dir / "figures" / f"{name}.png"
        score_lines(series, references, figure, axis=axis, caption=f"{signature}{_plotted(table)}")
        files[figure] = "figures"
    for path in files:
        print(f"wrote {path}")
    return files


def _daggers(
    rows: pd.DataFrame, table: ScoreTable, aggregation: str, results_dir: Path
) -> tuple[dict[str, set[str]], list[str]]:
    """What chance may explain, corrected over all models of the sweep; a sweep's table never fails for it."""
    try:
        stored = stored_models(results_dir)
    except BenchError as error:
        return {}, [f"not tested for chance: {error}"]
    owners = {row.label: (row.model, row.revision, row.seed) for row in rows.itertuples()}

    def read(label: str, task: str) -> Mapping[str, Samples] | None:
        own = [each for each in stored if (each.name, each.revision, each.variant.get("seed", 42)) == owners[label]]
        samples = read_task_samples(own[0], task, results_dir) if len(own) == 1 else None
        return complete(samples, list(samples)) if samples else None

    return daggers(rows, table, aggregation, read)


def _values(records: Sequence[Record], setting: str) -> list[str]:
    """A setting's value per job; base models are called as their results are, where that tells them apart."""
    values = [str(each["settings"][setting]) for each in records]
    if setting != "base_model.name":
        return values
    names = [each["variant"]["base_model"] for each in records]
    return names if len(set(names)) == len(set(values)) else values


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
        rows["seed"] = settings["seed"]
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
