"""The published numbers: averages recomputed from the official per-task scores, beside those of the tables."""

import functools
import tomllib
from collections.abc import Collection, Mapping
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd

from m2v_bench.reports.grid import Format, Grid
from m2v_bench.reports.signature import signature
from m2v_bench.stats.aggregates import (
    BENCHMARKS,
    OWN_GROUPS,
    TYPE_LABELS,
    Average,
    avg_all,
    benchmark_tasks,
    by_type,
    macro_v2,
    micro_v1,
    restricted,
    task_name,
    wide,
)

TABLES = ("main_2024_09", "ablations", "main_2026")
SPLITS = ("dev", "test")
# Columns of the tables as tables.toml names them, and as they are shown.
COLUMNS = {"avg_all": "Avg (All)", "avg_mteb": "Avg (MTEB)", **{label.lower(): label for label in TYPE_LABELS.values()}}
# Published numbers have two digits, and were averaged from rounded ones.
TOLERANCE = 0.01

Cells = dict[str, Average]
"""By column: the recomputed average."""


@functools.cache
def published_tables() -> dict[str, Any]:
    """What the authors of Model2Vec published, in points, by table; see data/tables.toml."""
    return tomllib.loads(_data().joinpath("tables.toml").read_text(encoding="utf-8"))


def published_scores() -> pd.DataFrame:
    """The official scores.

    Returns:
        A row per model, task, subset and split: `model`, `revision` (of the model; `external`: from its card), `task`,
        `subset`, `split`, `main_score` (0 to 1), `mteb_version` and `dataset_revision` (empty where unknown).
    """
    with _data().joinpath("scores.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file, keep_default_na=False)


def _data() -> Any:
    return files("m2v_bench.paper") / "data"


def recomputed(table: str, *, msmarco: str) -> dict[str, Cells]:
    """Every column of a table, by model, for all models that have official scores.

    Of PEARL and WordSim there are no official scores: `avg_all` takes the table's own means of them, and is absent
    for models that the table does not have.

    Args:
        table: one of `TABLES`.
        msmarco: the split of MSMARCO that counts, of `SPLITS`.
    """
    return _recomputed(table, msmarco)


@functools.cache
def _recomputed(table: str, msmarco: str) -> dict[str, Cells]:
    aggregation = published_tables()[table]["aggregation"]
    scores = _long()
    cells: dict[str, Cells] = {}
    for (model, name), average in by_type(restricted(scores, benchmark_tasks(aggregation, msmarco=msmarco))).items():
        cells.setdefault(model, {})[TYPE_LABELS[name].lower()] = average
    over_mteb = micro_v1(scores, msmarco=msmarco) if aggregation == "micro_v1" else macro_v2(scores)
    own = _own_groups(published_tables()[table]["rows"])
    over_all = avg_all(pd.concat([scores, own]), aggregation, msmarco=msmarco)
    for model, columns in cells.items():
        columns["avg_mteb"] = over_mteb[model]
        if model in set(own["model"]):
            columns["avg_all"] = over_all[model]
    return cells


@functools.cache
def _long() -> pd.DataFrame:
    """The official scores as a long table; models by the last part of their name, as the tables have them."""
    rows = published_scores()
    return pd.DataFrame(
        {
            "model": rows["model"].str.rpartition("/")[2],
            "task": [task_name(task, split) for task, split in zip(rows["task"], rows["split"], strict=True)],
            "type": "",  # a benchmark knows the types of its tasks
            "score": rows["main_score"],
        }
    )


def _own_groups(rows: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """The datasets of PEARL and WordSim, each with the published mean of its group: so their sums are right."""
    return pd.DataFrame(
        [
            {"model": model, "task": f"{group} {number}", "type": group, "score": row[group.lower()] / 100}
            for model, row in rows.items()
            for group, size in OWN_GROUPS.items()
            for number in range(size)
        ]
    )


def comes_out(published: float, average: Average) -> bool:
    """Whether a published number (in points) is that of an average over all its tasks."""
    return average.n == average.n_all and abs(100 * average.value - published) < TOLERANCE


def retrieval_splits(table: str) -> dict[str, str]:
    """By model, the split of MSMARCO with which the table's retrieval column comes out; without those of neither."""
    found = {}
    for model, row in published_tables()[table]["rows"].items():
        for split in SPLITS:
            cells = recomputed(table, msmarco=split).get(model)
            if cells is not None and comes_out(row["ret"], cells["ret"]):
                found[model] = split
    return found


def comparability(table: str) -> str | None:
    """With which split of MSMARCO the rows of a table were made, and what that means; None without MSMARCO."""
    if published_tables()[table]["aggregation"] != "micro_v1":
        return None
    splits, rows = retrieval_splits(table), published_tables()[table]["rows"]
    parts = [
        f"its {split} split for "
        + ", ".join(f"{m} ({rows[m]['ret']:.2f})" for m, own in splits.items() if own == split)
        for split in SPLITS
        if split in splits.values()
    ]
    comes = f"Ret comes out with {' and with '.join(parts)}."
    if len(parts) < 2:
        return comes.replace("its", "MSMARCO's")
    dev = recomputed(table, msmarco="dev")
    moved = [model for model, split in splits.items() if split != "dev"]
    instead = ", ".join(f"{m} {100 * dev[m]['ret'].value:.2f}" for m in moved)
    averages = ", ".join(f"{m} {100 * dev[m]['avg_mteb'].value:.2f}" for m in moved)
    return (
        f"NOT COMPARABLE: this table mixes two splits of MSMARCO. {comes} "
        f"With dev throughout Ret is {instead}; Avg (MTEB) is {averages}."
    )


def published_grids() -> list[Grid]:
    """A grid per published table of averages: per row published, recomputed, difference and n/N.

    After them what was published and cannot be recomputed: the classification table, speeds and claims.
    """
    shown: set[str] = set()
    grids = []
    for name in TABLES:
        aggregation = published_tables()[name]["aggregation"]
        grids.append(_grid(name, others=aggregation not in shown))
        shown.add(aggregation)
    return [*grids, _classification(), _speeds()]


def _classification() -> Grid:
    table = published_tables()["classification_2024_09"]
    columns = {"average": "Avg", "sst2": "SST-2", "imdb": "IMDB", "trec": "TREC", "ag_news": "AG News"}
    rows = [[model, *(f"{row[column]:.2f}" for column in columns)] for model, row in table["rows"].items()]
    notes = [f"as published, nothing recomputed; {table['metric']}", f"source: {table['source']}"]
    return Grid(["Model", *columns.values()], rows, title=table["title"], notes=notes)


def _speeds() -> Grid:
    table, claims = published_tables()["speed"], dict(published_tables()["announcement"])
    speeds, sizes = table["rows"], table["millions_of_parameters"]
    rows = [
        [model, f"{speeds[model]:.2f}" if model in speeds else "-", f"{sizes[model]:g}" if model in sizes else "-"]
        for model in dict.fromkeys([*speeds, *sizes])
    ]
    source = claims.pop("source")
    said = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in claims.items())
    notes = [f"as published, nothing recomputed; {table['note']}", f"{source}: {said}", f"source: {table['source']}"]
    return Grid(["Model", "Texts/s", "M parameters"], rows, title=table["title"], notes=notes)


def _grid(name: str, *, others: bool) -> Grid:
    """One table; with `others`, the models that have official scores and no row in it, too."""
    table = published_tables()[name]
    by_split = {split: recomputed(name, msmarco=split) for split in SPLITS}
    known = by_split["dev"]
    rows: list[list[str]] = []
    bold: set[tuple[int, int]] = set()
    off: list[str] = []
    for model in [*table["rows"], *(model for model in known if others and model not in table["rows"])]:
        if model not in known:
            continue
        published = table["rows"].get(model, {})
        if published:
            rows.append([model, "published", *(f"{published[column]:.2f}" for column in COLUMNS)])
        best = retrieval_splits(name).get(model, "dev")
        for split in _splits(table["aggregation"], model):
            cells = by_split[split][model]
            label = "recomputed" if table["aggregation"] == "macro_v2" else f"MSMARCO {split}"
            rows.append([model, label, *(_points(cells.get(column)) for column in COLUMNS)])
            if not published:
                continue
            bold |= {
                (len(rows), place)
                for place, column in enumerate(COLUMNS, start=2)
                if column in cells and not comes_out(published[column], cells[column])
            }
            rows.append([model, "difference", *(_difference(published[c], cells.get(c)) for c in COLUMNS)])
            off += _off(model, published, cells) if split == best else []
        rows.append([model, "n/N", *(_tasks(known[model], column) for column in COLUMNS)])
    absent = [model for model in table["rows"] if model not in known]
    notes = [
        f"source: {table['source']}; per-task scores: {published_tables()['scores']['source']}",
        "n/N counts tasks with an official score. PEARL and WordSim have none; Avg (All) is recomputed with their "
        "published means",
        f"rows without official scores, not recomputed: {', '.join(absent) or 'none'}",
        f"bold differences are {TOLERANCE} or more before they are rounded; cells that do not come out even with the "
        f"split of MSMARCO with which Ret does: {', '.join(off) or 'none'}",
    ]
    statement = comparability(name)
    title = f"{table['title']} ({table['aggregation']}: {BENCHMARKS[table['aggregation']]})"
    notes += [*([statement] if statement else []), _signature(table, {row[0] for row in rows})]
    return Grid(["Model", "", *COLUMNS.values()], rows, title=title, notes=notes, bold=frozenset(bold))


def _splits(aggregation: str, model: str) -> list[str]:
    """The splits of MSMARCO that a model has a score of; dev where it has none."""
    if aggregation == "macro_v2":
        return ["dev"]
    tasks = wide(_long()).loc[model].dropna().index
    return [split for split in SPLITS if task_name("MSMARCO", split) in tasks] or ["dev"]


def _off(model: str, published: Mapping[str, float], cells: Cells) -> list[str]:
    return [
        f"{model} {COLUMNS[column]} {_difference(published[column], cells[column])}"
        for column in COLUMNS
        if column in cells and not comes_out(published[column], cells[column])
    ]


def _points(average: Average | None) -> str:
    return "-" if average is None or np.isnan(average.value) else f"{100 * average.value:.2f}"


def _difference(published: float, average: Average | None) -> str:
    return (
        "-" if average is None or np.isnan(average.value) else f"{round(100 * average.value - published, 2) + 0.0:+.2f}"
    )


def _tasks(cells: Cells, column: str) -> str:
    """How many tasks of a column have official scores."""
    groups = {group.lower(): size for group, size in OWN_GROUPS.items()}
    if column in groups:
        return f"0/{groups[column]}"
    known = cells["avg_mteb" if column == "avg_all" else column]
    return f"{known.n}/{known.n_all + (sum(groups.values()) if column == 'avg_all' else 0)}"


def _signature(table: Mapping[str, Any], models: Collection[str]) -> str:
    aggregation, _, _ = table["aggregation"].partition("_")
    tasks = {task.partition(" (")[0] for task in benchmark_tasks(table["aggregation"])}
    scores = published_scores()
    own = scores[scores["task"].isin(tasks) & scores["model"].str.rpartition("/")[2].isin(models)]
    made_with = {version for version in own["mteb_version"] if version}
    ordered = sorted(made_with, key=lambda version: [int(part) for part in version.split(".")])
    return signature(
        suite=BENCHMARKS[table["aggregation"]],
        n_tasks=len(benchmark_tasks(table["aggregation"])),
        aggregation=aggregation,
        splits={"MSMARCO": "as each line says"} if aggregation == "micro" else None,
        dialect=f"{table['dialect']} (M2V rows)",
        seed="as published",
        versions={"mteb": " to ".join(dict.fromkeys([ordered[0], ordered[-1]]))},
    )


def render_all(grids: list[Grid], style: Format) -> str:
    """The grids one after another; as CSV one table of those with the first one's columns, with the grid's title."""
    if style == "csv":
        rows = [[grid.title, *row] for grid in grids if grid.columns == grids[0].columns for row in grid.rows]
        return Grid(["Table", *grids[0].columns], rows).csv()
    titles = {"markdown": "## {}\n\n", "latex": "% {}\n", "terminal": ""}
    return "\n".join(titles[style].format(grid.title) + grid.render(style) for grid in grids)
