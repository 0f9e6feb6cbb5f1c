"""The line under every table: what its numbers are numbers of."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from m2v_bench.stats.aggregates import task_name

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
    """The signature of a table.

    Args:
        suite: name of the suite.
        n_tasks: how many tasks it has.
        aggregation: one of `AGGREGATIONS`.
        dialect: of the distilled models.
        seed: of the draws that tasks make.
        versions: of what made the numbers, in the order to be shown.
        splits: of tasks that have been published with more than one split, the one that was scored.
    """
    parts = [
        f"suite {suite} ({n_tasks} tasks)",
        AGGREGATIONS[aggregation],
        *(f"{task} {split}" for task, split in (splits or {}).items()),
        "main scores x 100, (n/N tasks)",
        f"dialect {dialect}",
        f"seed {seed}",
        ", ".join(f"{name} {version}" for name, version in versions.items()),
    ]
    return "; ".join(parts)


def merged(signatures: Iterable[str]) -> str:
    """The signature of one table made of several runs: what differs is joined by `and`, part by part.

    The aggregation is that of the first, by which such a table is made.
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
    """The scored split of the tasks whose name alone does not say it (MSMARCO)."""
    split = {entry.name: ", ".join(entry.task.eval_splits) for entry in suite}
    return {name: splits for name, splits in split.items() if task_name(name, splits) != name}
