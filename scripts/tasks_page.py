"""Write docs/tasks.md: what the data of each task contain, of mteb's benchmarks and of the paper's own.

Run by `make figures` as `python -m scripts.tasks_page`. The columns are those of the tiny repositories that the tests
score.
"""

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import mteb
from mteb.abstasks.aggregated_task import AbsTaskAggregate

from m2v_bench.tasks.own_task import FromFiles
from m2v_bench.tasks.suite import OWN_TASKS
from tests import tiny_hub

PAGE = Path(__file__).parents[1] / "docs" / "tasks.md"
BENCHMARKS = {"MTEB(eng, v1)": "v1", "MTEB(eng, v2)": "v2", "MTEB(Multilingual, v2)": "m"}

_HEAD = """# Tasks and their data

<!-- Written by `make figures` from mteb and tests/tiny_hub.py. -->

What a dataset repository in `hub_dir`, the folder `<org>/<name>/`, contains for each task of `MTEB(eng, v1)` (v1),
`MTEB(eng, v2)` (v2) and `MTEB(Multilingual, v2)` (m): the configurations that its README lists, with their columns. In
`default (lang)`, the column `lang` names the subset of each row. There is one `SUBSET` configuration per scored subset.
Columns with `[]` hold lists: all texts of a set in one row. The tests score every task here on a few dozen rows.
"""


_OWN = """
## The paper's own sets

The files below `data_dir`, the folder with `wordsim/`, `pearl/` and `classification/`: `.parquet` with these columns,
`.txt` without a header, its columns separated by tabs. A repository with the same data below `hub_dir` will do where
one is named. `PEARL-autofj` downloads the Python package `autofj` instead.
"""


def rows() -> list[list[str]]:
    """Return the rows of the table, by type and name."""
    tasks: dict[str, Any] = {}
    used: dict[str, list[str]] = {}
    for benchmark, letter in BENCHMARKS.items():
        for task in mteb.get_benchmark(benchmark).tasks:
            tasks.setdefault(task.metadata.name, task)
            used.setdefault(task.metadata.name, []).append(letter)
    ordered = sorted(tasks, key=lambda name: (tasks[name].metadata.type, name))
    return [[f"`{name}`", tasks[name].metadata.type, " ".join(used[name]), *_data(tasks[name])] for name in ordered]


def _data(task: Any) -> list[str]:
    """Return the repository, the number of subsets, the splits, and the configurations with their columns."""
    if isinstance(task, AbsTaskAggregate):
        return ["those of its parts", "1", "", ", ".join(part.metadata.name for part in task.metadata.tasks)]
    n_subsets, task = len(task.hf_subsets), copy.copy(task)
    task.hf_subsets = list(task.hf_subsets)[:1]
    (subset,) = task.hf_subsets
    configs = tiny_hub.configurations(task)
    parts, splits = [], []
    for name, made in configs.items():
        columns = next(iter(made.values()))
        shown = name.replace(subset, "SUBSET") if task.metadata.is_multilingual else name
        if "lang" in columns:
            shown += " (lang)"
        parts.append(f"{shown}: {_columns(columns)}")
        splits += [split for split in made if split not in splits]
    return [f"`{task.metadata.dataset['path']}`", str(n_subsets), ", ".join(splits), "; ".join(parts)]


def _columns(columns: dict[str, list[Any]]) -> str:
    names = [name for name in columns if name != "lang"]
    return ", ".join(f"`{name}{'[]' if isinstance(columns[name][0], list) else ''}`" for name in names)


def render() -> str:
    """Return the page."""
    tasks = _table(["Task", "Type", "In", "Repository", "Subsets", "Splits", "Configurations"], rows())
    return f"{_HEAD}\n{tasks}\n{_OWN}\n{_table(['Task', 'Files', 'Repository'], own_rows())}\n"


def own_rows() -> list[list[str]]:
    """Return the rows of the paper's own tasks, in the order of its columns."""
    tasks: dict[str, Any] = {name: task for name, task in OWN_TASKS.items() if issubclass(task, FromFiles)}
    listed = []
    for name, task in tasks.items():
        files = [f"`{file}`: {_columns(columns)}" for file, columns in tiny_hub.own_files(task).items()]
        listed.append([f"`{name}`", "; ".join(files), f"`{task.repository}`" if task.repository else ""])
    return listed


def _table(names: list[str], cells: Iterable[list[str]]) -> str:
    lines = [names, ["---:" if name == "Subsets" else "---" for name in names], *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Write the page."""
    PAGE.write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    main()
