"""Averages and ranks over the tasks of a suite, computed from a long table of scores.

The table has one row per model and task, with columns `model`, `task`, `type` and `score` (0 to 1). A NaN score and an
absent row both count as missing: an average covers the available scores and reports n of N.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

# The paper's column names and order; other types follow, under their MTEB names.
TYPE_LABELS = {
    "Classification": "Class",
    "Clustering": "Clust",
    "PairClassification": "PairClass",
    "Reranking": "Rank",
    "Retrieval": "Ret",
    "STS": "STS",
    "Summarization": "Sum",
    "PEARL": "PEARL",
    "WordSim": "WordSim",
}
# Task groups that the Model2Vec authors add to MTEB's types, with their number of datasets; they count towards
# Avg (All) but not Avg (MTEB).
OWN_GROUPS = {"PEARL": 9, "WordSim": 7}
BENCHMARKS = {"micro_v1": "MTEB(eng, v1)", "macro_v2": "MTEB(eng, v2)"}


@dataclass(frozen=True)
class Average:
    """An average over n of N tasks; its value is 0 to 1, or NaN for n = 0."""

    value: float
    n: int
    n_all: int

    @property
    def text(self) -> str:
        """Value in points, followed by n/N."""
        return (
            f"- ({self.n}/{self.n_all})" if np.isnan(self.value) else f"{100 * self.value:.2f} ({self.n}/{self.n_all})"
        )


def wide(scores: pd.DataFrame) -> pd.DataFrame:
    """Pivot to a float table of models x tasks, in order of appearance, with NaN for missing scores.

    Raises:
        ValueError: if a model has two scores for a task.
    """
    table = scores.astype({"score": float}).pivot(index="model", columns="task", values="score")
    return table.loc[list(dict.fromkeys(scores["model"])), list(dict.fromkeys(scores["task"]))]


def micro(scores: pd.DataFrame) -> dict[str, Average]:
    """Return the mean over tasks, keyed by model."""
    table = wide(scores)
    return {model: _average(row) for model, row in zip(table.index, table.to_numpy(), strict=True)}


def by_type(scores: pd.DataFrame) -> dict[tuple[str, str], Average]:
    """Return the mean over the tasks of each type, keyed by (model, type)."""
    table = wide(scores)
    tasks = scores.drop_duplicates("task").groupby("type", sort=False)["task"].apply(list)
    return {
        (model, name): _average(values)
        for name, columns in tasks.items()
        for model, values in zip(table.index, table[columns].to_numpy(), strict=True)
    }


def macro(scores: pd.DataFrame) -> dict[str, Average]:
    """Return the mean of the per-type means, keyed by model; n and N count tasks. Skip empty types."""
    cells = by_type(scores)
    means = {}
    for model in dict.fromkeys(scores["model"]):
        parts = [cell for (name, _), cell in cells.items() if name == model]
        values = [part.value for part in parts if part.n]
        value = float(np.mean(values)) if values else float("nan")
        means[model] = Average(value, sum(part.n for part in parts), sum(part.n_all for part in parts))
    return means


AVERAGES: Mapping[str, Callable[[pd.DataFrame], dict[str, Average]]] = {"micro": micro, "macro": macro}


def micro_v1(scores: pd.DataFrame, *, msmarco: str = "dev") -> dict[str, Average]:
    """Return Avg (MTEB) of the 2024 tables: the mean over the 56 datasets of MTEB(eng, v1).

    CQADupstack counts once. `msmarco` is the MSMARCO split to use; the benchmark's is dev.
    """
    return micro(restricted(scores, benchmark_tasks("micro_v1", msmarco=msmarco)))


def macro_v2(scores: pd.DataFrame) -> dict[str, Average]:
    """Return Avg (MTEB) of the 2026 tables: the mean of the seven type means of MTEB(eng, v2), over 41 tasks."""
    return macro(restricted(scores, benchmark_tasks("macro_v2")))


def avg_all(scores: pd.DataFrame, aggregation: str, *, msmarco: str = "dev") -> dict[str, Average]:
    """Return Avg (All) of the tables, which adds nine PEARL and seven WordSim datasets (missing ones lower n, not N).

    Args:
        scores: long table, with rows of types `PEARL` and `WordSim`.
        aggregation: `micro_v1` for the mean over 72 datasets, `macro_v2` for the mean of nine type means.
        msmarco: as in `micro_v1`.
    """
    tasks = benchmark_tasks(aggregation, msmarco=msmarco)
    for group, size in OWN_GROUPS.items():
        known = list(dict.fromkeys(scores.loc[scores["type"] == group, "task"]))
        tasks |= dict.fromkeys([*known, *(f"{group} ({n + 1})" for n in range(len(known), size))], group)
    return AVERAGES[aggregation.partition("_")[0]](restricted(scores, tasks))


def borda(scores: pd.DataFrame) -> pd.DataFrame:
    """Return Borda ranks as defined by mteb's leaderboard (mteb 2.26, column `Rank (Borda)`).

    Within a task the best model has rank 1, and equal scores share the mean of their ranks. Each task gives a model
    (number of models - rank) points; a missing score gives none. Models are ranked by their total points, and equal
    totals share the better rank. Without missing scores this is the order of the mean rank over tasks.

    Returns:
        One row per model: `rank` (int, 1 is best), `points`, `mean_rank` (NaN without a score), `n` and `n_all` tasks.
    """
    table = wide(scores)
    ranks = table.rank(ascending=False, method="average")
    points = (len(table) - ranks).sum(axis=1)
    return pd.DataFrame(
        {
            "rank": points.rank(ascending=False, method="min").astype(int),
            "points": points,
            "mean_rank": ranks.mean(axis=1),
            "n": table.notna().sum(axis=1),
            "n_all": table.shape[1],
        }
    )


def restricted(scores: pd.DataFrame, tasks: Mapping[str, str]) -> pd.DataFrame:
    """Restrict to `tasks` ({name: type}); missing scores become NaN rows, CQADupstack forums one task."""
    rows = fold(scores, cqadupstack())
    models = pd.DataFrame({"model": list(dict.fromkeys(scores["model"]))})
    wanted = models.merge(pd.DataFrame({"task": list(tasks), "type": list(tasks.values())}), how="cross")
    return wanted.merge(rows[["model", "task", "score"]], on=["model", "task"], how="left")


def fold(scores: pd.DataFrame, wholes: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Add tasks that are the mean of others, for models that have all parts but no score for the whole.

    Args:
        scores: long table.
        wholes: names of the parts, keyed by the name of the whole.
    """
    table = wide(scores)
    new = []
    for whole, parts in wholes.items():
        if not set(parts) <= set(table.columns):
            continue
        known = table[whole].notna() if whole in table else pd.Series(False, index=table.index)
        means = table[list(parts)].mean(axis=1, skipna=False)[~known].dropna()
        name = scores.loc[scores["task"].isin(parts), "type"].iloc[0]
        new += [{"model": model, "task": whole, "type": name, "score": value} for model, value in means.items()]
    if not new:
        return scores
    added = pd.DataFrame(new)
    replaced = pd.MultiIndex.from_frame(scores[["model", "task"]]).isin(
        pd.MultiIndex.from_frame(added[["model", "task"]])
    )
    return pd.concat([scores[~replaced], added], ignore_index=True)


def benchmark_tasks(aggregation: str, *, msmarco: str = "dev") -> dict[str, str]:
    """Return {task: type} of the benchmark that `micro_v1` or `macro_v2` averages over, from mteb's metadata."""
    import mteb

    tasks = mteb.get_benchmark(BENCHMARKS[aggregation]).tasks
    return {task_name(task.metadata.name, msmarco): task.metadata.type for task in tasks}


def task_name(task: str, split: str) -> str:
    """Return a task's name in a long table; MSMARCO includes its split, because published tables use either one."""
    return f"{task} ({split})" if task == "MSMARCO" else task


@functools.cache
def cqadupstack() -> dict[str, list[str]]:
    """Return {CQADupstack: its twelve forums}, from mteb's metadata."""
    import mteb

    whole = mteb.get_task("CQADupstackRetrieval")
    return {whole.metadata.name: [part.metadata.name for part in getattr(whole.metadata, "tasks", [])]}


def _average(values: np.ndarray) -> Average:
    known = values[~np.isnan(values)]
    return Average(float(known.mean()) if len(known) else float("nan"), len(known), len(values))
