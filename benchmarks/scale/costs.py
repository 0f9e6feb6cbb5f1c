"""Cost model of the parts of a sweep, fitted to the measurements of `benchmarks.scale.measure`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import nnls

from benchmarks.scale.play import Step
from benchmarks.scale.sizes import Size, size_of
from m2v_bench.tasks import SuiteTask


@dataclass(frozen=True)
class Line:
    """Linear model with non-negative factors: seconds = sum of factor x quantity.

    Attributes:
        factors: seconds per unit, by quantity; `each` is the constant term.
    """

    factors: Mapping[str, float]

    def __call__(self, **quantities: float) -> float:
        """Return the seconds for the quantities."""
        return sum(factor * ({"each": 1.0} | quantities)[name] for name, factor in self.factors.items())

    @classmethod
    def fit(
        cls, rows: Sequence[Mapping[str, float]], seconds: Sequence[float], *, of: Sequence[float] | None = None
    ) -> "Line":
        """Fit the factors by least squares of relative errors.

        Args:
            rows: the quantities of each measurement, with `each` for a constant term.
            seconds: the measured seconds.
            of: denominators of the relative errors, above 0; `seconds` if None.
        """
        names = list(rows[0])
        weights = 1 / np.asarray(seconds if of is None else of)
        table = np.array([[row[name] for name in names] for row in rows]) * weights[:, None]
        scale = np.maximum(table.max(axis=0), 1e-300)  # counts and characters differ by orders of magnitude
        factors, _ = nnls(table / scale, np.asarray(seconds) * weights)
        return cls({name: float(value) for name, value in zip(names, factors / scale, strict=True)})


@dataclass(frozen=True)
class Embedding:
    """Cost of embedding texts with a model.

    Attributes:
        line: seconds by `texts` and `characters`.
        longest: average number of characters after which texts are truncated; None for no limit.
    """

    line: Line
    longest: float | None = None

    def seconds(self, size: Size) -> float:
        """Return the seconds for the texts of a task, assuming that all have their mean length."""
        mean = size.characters / size.texts if size.texts else 0.0
        read = mean if self.longest is None else min(mean, self.longest)
        return self.line(texts=size.texts, characters=size.texts * read)


@dataclass(frozen=True)
class Costs:
    """Seconds of processor time on one thread, fitted to measurements.

    Attributes:
        forward: forward pass by base model, by `positions`.
        rotation: PCA decomposition after it, by `tokens`.
        variant: further variant of the same pass, by `tokens`.
        embedding: embedding of texts by model; `static` is any distilled one.
        scoring: scoring a task by type, without embedding.
        start: start of a process.
        job: overhead of a job.
    """

    forward: Mapping[str, Line]
    rotation: Line
    variant: Line
    embedding: Mapping[str, Embedding]
    scoring: Mapping[str, Line]
    start: float
    job: float

    @classmethod
    def fit(cls, data: Mapping[str, Any]) -> "Costs":
        """Fit all costs to the measurements."""
        passes = data["forward"]
        bases = list(dict.fromkeys(row["base"] for row in passes))
        of = {base: [row for row in passes if row["base"] == base] for base in bases}
        further = [{"each": 1.0, "tokens": row["tokens"]} for row in passes]
        embedding = {name: _embedding(measured) for name, measured in data["embedding"].items()}
        static = embedding["static"]
        scored = [row for row in [*data["evaluation"], *data["corpora"]] if not is_own(row["task"])]
        kinds = {kind: [row for row in scored if row["type"] == kind] for kind in {row["type"] for row in scored}}
        return cls(
            forward={base: _per_position(rows) for base, rows in of.items()},
            rotation=Line.fit(
                [{"tokens": row["tokens"]} for row in passes],
                [max(row["rotation"] - row["variant"], 0) for row in passes],
                of=[row["rotation"] for row in passes],
            ),
            variant=Line.fit(further, [row["variant"] for row in passes]),
            embedding=embedding,
            scoring={kind: _scoring(rows, static) for kind, rows in kinds.items()},
            **data["overhead"],
        )

    def rest(self, kind: str, size: Size) -> float:
        """Return the seconds of scoring without embedding; a reranking is treated as a search of its candidates."""
        line = self.scoring["Retrieval" if kind == "Reranking" else kind]
        return line(**{name: getattr(size, name) for name in line.factors if name != "each"})


def is_own(task: str) -> bool:
    """Return whether a task is ours, without statistics in mteb."""
    return task.startswith(("PEARL-", "WordSim-"))


def _per_position(rows: Sequence[Mapping[str, Any]]) -> Line:
    quantities = [{"each": 1.0, "positions": row["positions"]} for row in rows]
    return Line.fit(quantities, [row["seconds"] for row in rows])


def _embedding(data: Mapping[str, Any]) -> Embedding:
    rows = data["rows"]
    line = Line.fit([{"texts": 1.0, "characters": row["characters"]} for row in rows], [row["seconds"] for row in rows])
    return Embedding(line, data["longest"])


def _scoring(rows: Sequence[Mapping[str, Any]], static: Embedding) -> Line:
    extra = {"Classification": ("labels", "training"), "Retrieval": ("pairs", "ranked")}
    counts = ("rows", *extra.get(rows[0]["type"], ()))
    seconds = [row["seconds"] for row in rows]
    rest = [max(row["seconds"] - static.seconds(measured_size(row)), 0) for row in rows]
    once = {"each": 1.0} if len(rows) > 1 else {}
    return Line.fit([once | {name: row[name] for name in counts} for row in rows], rest, of=seconds)


def measured_size(row: Mapping[str, Any]) -> Size:
    """Return the size of a measured task."""
    return Size(**{name: row[name] for name in Size.__dataclass_fields__})


@dataclass(frozen=True)
class Task:
    """Cost of a task: size of its texts, and seconds of scoring without embedding."""

    name: str
    size: Size
    rest: float

    def seconds(self, model: Embedding) -> float:
        """Return the seconds of a model's score."""
        return model.seconds(self.size) + self.rest


def tasks_of(suite: Sequence[SuiteTask], data: Mapping[str, Any], costs: Costs) -> tuple[list[Task], list[str]]:
    """Return the tasks of a suite, and the names of tasks of unknown size, which get the mean of similar tasks."""
    ours = {row["task"]: row for row in data["evaluation"] if is_own(row["task"])}
    tasks, unknown = [], []
    for entry in suite:
        if (size := size_of(entry.task)) is not None:
            tasks.append(Task(entry.name, size, costs.rest(entry.task.metadata.type, size)))
            continue
        rows = [ours[entry.name]] if entry.name in ours else [row for row in ours.values() if row["type"] != "STS"]
        if entry.name not in ours:
            unknown.append(entry.name)
        mean = sum((measured_size(row) for row in rows), start=Size()) * (1 / len(rows))
        seconds = sum(row["seconds"] for row in rows) / len(rows)
        tasks.append(Task(entry.name, mean, max(seconds - costs.embedding["static"].seconds(mean), 0)))
    return tasks, unknown


def job_steps(
    costs: Costs, base: str, parts: Sequence[Mapping[str, Any]], tasks: Sequence[Task], *, teacher: bool
) -> list[Step]:
    """List the steps of a job: token vectors, which variants of a vocabulary share, then the score of each task.

    Args:
        costs: the fitted costs.
        base: the base model.
        parts: parts of the vocabulary, with `key`, `tokens`, `positions`.
        tasks: tasks of the suite.
        teacher: whether to score the base model, too, once for all jobs that share it.
    """
    tokens = sum(part["tokens"] for part in parts)
    steps = [Step(costs.job)]
    steps += [Step(costs.forward[base](positions=part["positions"]), f"{base} {part['key']}") for part in parts]
    steps.append(Step(costs.rotation(tokens=tokens), f"{base} {[part['key'] for part in parts]}"))
    steps.append(Step(costs.variant(tokens=tokens)))
    for task in tasks:
        steps.append(Step(task.seconds(costs.embedding["static"])))
        if teacher:
            steps.append(Step(task.seconds(costs.embedding[base]), f"{base} {task.name}"))
    return steps
