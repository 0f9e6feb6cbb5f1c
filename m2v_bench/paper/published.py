"""Compare the published averages with averages recomputed from the official per-task scores."""

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
# Column names in tables.toml, and their headers.
COLUMNS = {"avg_all": "Avg (All)", "avg_mteb": "Avg (MTEB)", **{label.lower(): label for label in TYPE_LABELS.values()}}
# Published numbers have two decimals and were averaged from rounded ones.
TOLERANCE = 0.01

Cells = dict[str, Average]
"""Recomputed averages, keyed by column."""


@functools.cache
def published_tables() -> dict[str, Any]:
    """Load the numbers published by the Model2Vec authors, in points, keyed by table; see data/tables.toml."""
    return tomllib.loads(_data().joinpath("tables.toml").read_text(encoding="utf-8"))


def published_scores() -> pd.DataFrame:
    """Load the official scores.

    Returns:
        One row per model, task, subset and split: `model`, `revision` (of the model; `external` if from its card),
        `task`, `subset`, `split`, `main_score` (0 to 1), `mteb_version` and `dataset_revision` (empty if unknown).
    """
    with _data().joinpath("scores.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file, keep_default_na=False)


def _data() -> Any:
    return files("m2v_bench.paper") / "data"


def recomputed(table: str, *, msmarco: str) -> dict[str, Cells]:
    """Recompute every column of a table, keyed by model, for all models with official scores.

    PEARL and WordSim have no official scores: `avg_all` uses the table's means for them, and is absent for models
    without a row in the table.

    Args:
        table: one of `TABLES`.
        msmarco: MSMARCO split to use, one of `SPLITS`.
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
    group_scores = _group_scores(published_tables()[table]["rows"])
    over_all = avg_all(pd.concat([scores, group_scores]), aggregation, msmarco=msmarco)
    for model, columns in cells.items():
        columns["avg_mteb"] = over_mteb[model]
        if model in set(group_scores["model"]):
            columns["avg_all"] = over_all[model]
    return cells


@functools.cache
def _long() -> pd.DataFrame:
    """Return the official scores as a long table; models have the last part of their name, as in the tables."""
    rows = published_scores()
    return pd.DataFrame(
        {
            "model": rows["model"].str.rpartition("/")[2],
            "task": [task_name(task, split) for task, split in zip(rows["task"], rows["split"], strict=True)],
            "type": "",  # a benchmark knows the types of its tasks
            "score": rows["main_score"],
        }
    )


def _group_scores(rows: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """Give every PEARL and WordSim dataset the published mean of its group, which makes their sums right."""
    return pd.DataFrame(
        [
            {"model": model, "task": f"{group} {number}", "type": group, "score": row[group.lower()] / 100}
            for model, row in rows.items()
            for group, size in OWN_GROUPS.items()
            for number in range(size)
        ]
    )


def comes_out(published: float, average: Average) -> bool:
    """Return whether a published number (in points) equals a complete recomputed average, within `TOLERANCE`."""
    return average.n == average.n_all and abs(100 * average.value - published) < TOLERANCE


def retrieval_splits(table: str) -> dict[str, str]:
    """Return the MSMARCO split that reproduces each model's retrieval column; skip models that neither reproduces."""
    splits = {}
    for model, row in published_tables()[table]["rows"].items():
        for split in SPLITS:
            cells = recomputed(table, msmarco=split).get(model)
            if cells is not None and comes_out(row["ret"], cells["ret"]):
                splits[model] = split
    return splits


def comparability(table: str) -> str | None:
    """Describe the MSMARCO splits used in a table and their effect, or return None for a table without MSMARCO."""
    if published_tables()[table]["aggregation"] != "micro_v1":
        return None
    splits, rows = retrieval_splits(table), published_tables()[table]["rows"]
    parts = [
        f"its {split} split for "
        + ", ".join(f"{model} ({rows[model]['ret']:.2f})" for model, used in splits.items() if used == split)
        for split in SPLITS
        if split in splits.values()
    ]
    summary = f"Ret comes out with {' and with '.join(parts)}."
    if len(parts) < 2:
        return summary.replace("its", "MSMARCO's")
    dev = recomputed(table, msmarco="dev")
    changed = [model for model, split in splits.items() if split != "dev"]
    retrieval = ", ".join(f"{model} {100 * dev[model]['ret'].value:.2f}" for model in changed)
    averages = ", ".join(f"{model} {100 * dev[model]['avg_mteb'].value:.2f}" for model in changed)
    return (
        f"NOT COMPARABLE: this table mixes two splits of MSMARCO. {summary} "
        f"With dev throughout Ret is {retrieval}; Avg (MTEB) is {averages}."
    )


def published_grids() -> list[Grid]:
    """Return a grid per published table, with published and recomputed averages, their difference and n/N.

    They are followed by the published numbers that cannot be recomputed: the classification table, speeds and claims.
    """
    aggregations: set[str] = set()
    grids = []
    for name in TABLES:
        aggregation = published_tables()[name]["aggregation"]
        grids.append(_grid(name, others=aggregation not in aggregations))
        aggregations.add(aggregation)
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
    announced = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in claims.items())
    notes = [
        f"as published, nothing recomputed; {table['note']}",
        f"{source}: {announced}",
        f"source: {table['source']}",
    ]
    return Grid(["Model", "Texts/s", "M parameters"], rows, title=table["title"], notes=notes)


def _grid(name: str, *, others: bool) -> Grid:
    """Return the grid of a table; `others` adds models that have official scores but no row in the table."""
    table = published_tables()[name]
    by_split = {split: recomputed(name, msmarco=split) for split in SPLITS}
    known = by_split["dev"]
    rows: list[list[str]] = []
    bold: set[tuple[int, int]] = set()
    deviating: list[str] = []
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
                (len(rows), position)
                for position, column in enumerate(COLUMNS, start=2)
                if column in cells and not comes_out(published[column], cells[column])
            }
            rows.append([model, "difference", *(_difference(published[c], cells.get(c)) for c in COLUMNS)])
            deviating += _deviating(model, published, cells) if split == best else []
        rows.append([model, "n/N", *(_tasks(known[model], column) for column in COLUMNS)])
    missing = [model for model in table["rows"] if model not in known]
    notes = [
        f"source: {table['source']}; per-task scores: {published_tables()['scores']['source']}",
        "n/N counts tasks with an official score. PEARL and WordSim have none; Avg (All) is recomputed with their "
        "published means",
        f"rows without official scores, not recomputed: {', '.join(missing) or 'none'}",
        f"bold differences are {TOLERANCE} or more before they are rounded; cells that do not come out even with the "
        f"split of MSMARCO with which Ret does: {', '.join(deviating) or 'none'}",
    ]
    statement = comparability(name)
    title = f"{table['title']} ({table['aggregation']}: {BENCHMARKS[table['aggregation']]})"
    notes += [*([statement] if statement else []), _signature(table, {row[0] for row in rows})]
    return Grid(["Model", "", *COLUMNS.values()], rows, title=title, notes=notes, bold=frozenset(bold))


def _splits(aggregation: str, model: str) -> list[str]:
    """Return the MSMARCO splits that a model has a score for, or dev if it has none."""
    if aggregation == "macro_v2":
        return ["dev"]
    tasks = wide(_long()).loc[model].dropna().index
    return [split for split in SPLITS if task_name("MSMARCO", split) in tasks] or ["dev"]


def _deviating(model: str, published: Mapping[str, float], cells: Cells) -> list[str]:
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
    """Return the number of tasks of a column that have official scores, as n/N."""
    groups = {group.lower(): size for group, size in OWN_GROUPS.items()}
    if column in groups:
        return f"0/{groups[column]}"
    known = cells["avg_mteb" if column == "avg_all" else column]
    return f"{known.n}/{known.n_all + (sum(groups.values()) if column == 'avg_all' else 0)}"


def _signature(table: Mapping[str, Any], models: Collection[str]) -> str:
    aggregation, _, _ = table["aggregation"].partition("_")
    tasks = {task.partition(" (")[0] for task in benchmark_tasks(table["aggregation"])}
    scores = published_scores()
    used = scores[scores["task"].isin(tasks) & scores["model"].str.rpartition("/")[2].isin(models)]
    versions = {version for version in used["mteb_version"] if version}
    ordered = sorted(versions, key=lambda version: [int(part) for part in version.split(".")])
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
    """Render grids one after another.

    As CSV, return one table of the grids that have the columns of the first, with the title as an extra column.
    """
    if style == "csv":
        rows = [[grid.title, *row] for grid in grids if grid.columns == grids[0].columns for row in grid.rows]
        return Grid(["Table", *grids[0].columns], rows).csv()
    titles = {"md": "## {}\n\n", "latex": "% {}\n"}
    return "\n".join(titles.get(style, "").format(grid.title) + grid.render(style) for grid in grids)
