"""Signatures: the line under a table that identifies how its numbers were made."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from m2v_bench.system.formatting import number_of

if TYPE_CHECKING:
    from m2v_bench.tasks import SuiteTask

AGGREGATIONS = {
    "micro": "average over tasks (micro)",
    "macro": "average over the means of task types (macro)",
}


def signature(
    *,
    suite: str,
    n_tasks: int,
    aggregation: str,
    dialect: str,
    seed: str | int,
    versions: Mapping[str, str],
    splits: Mapping[str, str] | None = None,
) -> str:
    """Return the signature of a table.

    Args:
        suite: name of the suite.
        n_tasks: number of tasks in the suite.
        aggregation: one of `AGGREGATIONS`.
        dialect: dialect of the distilled models.
        seed: seed of the tasks' random draws.
        versions: package versions, in the order to show them.
        splits: scored splits of tasks that have been published with more than one split, keyed by task.
    """
    parts = [
        f"suite {suite} ({number_of(n_tasks, 'task')})",
        AGGREGATIONS[aggregation],
        *(f"{task} {split}" for task, split in (splits or {}).items()),
        "main scores x 100, (n/N tasks)",
        f"dialect {dialect}",
        f"seed {seed}",
        ", ".join(f"{name} {version}" for name, version in versions.items()),
    ]
    return "; ".join(parts)


def merged(signatures: Iterable[str]) -> str:
    """Merge the signatures of several runs for one table, joining the parts that differ with `and`.

    The aggregation is that of the first run, since the table uses it.
    """
    parts: dict[str, list[str]] = {}
    for line in signatures:
        for part in line.split("; "):
            name, _, value = part.partition(" ")
            values = parts.setdefault(name, [])
            if value not in values and not (values and part in AGGREGATIONS.values()):
                values.append(value)
    return "; ".join(f"{name} {' and '.join(values)}".rstrip() for name, values in parts.items())


def published_splits(suite: Iterable["SuiteTask"]) -> dict[str, str]:
    """Return the scored splits of the tasks that have been published with more than one split (MSMARCO)."""
    from m2v_bench.stats.aggregates import task_name  # imports pandas, which the command line must not

    split = {entry.name: ", ".join(entry.task.eval_splits) for entry in suite}
    return {name: splits for name, splits in split.items() if task_name(name, splits) != name}
