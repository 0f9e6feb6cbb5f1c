"""Seconds of the parts of a sweep, fitted to what `benchmarks.scale.measure` measured."""

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
    """Seconds as a sum of shares, none of which is negative: seconds = sum of factor x quantity.

    Attributes:
        factors: seconds per unit, by what is counted; `each` is counted once.
    """

    factors: Mapping[str, float]

    def __call__(self, **quantities: float) -> float:
        """The seconds that the quantities take."""
        return sum(factor * ({"each": 1.0} | quantities)[name] for name, factor in self.factors.items())

    @classmethod
    def fit(
        cls, rows: Sequence[Mapping[str, float]], seconds: Sequence[float], *, of: Sequence[float] | None = None
    ) -> "Line":
        """The factors with the smallest squared relative errors.

        Args:
            rows: the quantities of each measurement, `each` included where something is paid once.
            seconds: what the quantities took.
            of: what an error is relative to, above 0; `seconds` when None.
        """
        names = list(rows[0])
        weights = 1 / np.asarray(seconds if of is None else of)
        table = np.array([[row[name] for name in names] for row in rows]) * weights[:, None]
        scale = np.maximum(table.max(axis=0), 1e-300)  # counts and characters differ by many powers of ten
        found, _ = nnls(table / scale, np.asarray(seconds) * weights)
        return cls({name: float(value) for name, value in zip(names, found / scale, strict=True)})


@dataclass(frozen=True)
class Embedding:
    """How long a model takes to embed texts.

    Attributes:
        line: seconds by `texts` and `characters`.
        longest: characters of a text that are read, on average; None reads all.
    """

    line: Line
    longest: float | None = None

    def seconds(self, size: Size) -> float:
        """For the texts of a task, as if all were as long as their mean."""
        mean = size.characters / size.texts if size.texts else 0.0
        read = mean if self.longest is None else min(mean, self.longest)
        return self.line(texts=size.texts, characters=size.texts * read)


@dataclass(frozen=True)
class Costs:
    """Seconds of processor time on one thread, fitted to measurements.

    Attributes:
        forward: of a pass through each base model, by `positions`.
        rotation: of the decomposition after it, by `tokens`.
        variant: of a further variant of the same pass, by `tokens`.
        embedding: of each model; `static` is any distilled one.
        scoring: of a task beside the embedding of its texts, by type.
        start: of a process.
        job: of a job beside its vectors and scores.
    """

    forward: Mapping[str, Line]
    rotation: Line
    variant: Line
    embedding: Mapping[str, Embedding]
    scoring: Mapping[str, Line]
    start: float
    job: float

    @classmethod
    def fit(cls, found: Mapping[str, Any]) -> "Costs":
        """From the measurements."""
        passes = found["forward"]
        bases = list(dict.fromkeys(row["base"] for row in passes))
        of = {base: [row for row in passes if row["base"] == base] for base in bases}
        further = [{"each": 1.0, "tokens": row["tokens"]} for row in passes]
        embedding = {name: _embedding(each) for name, each in found["embedding"].items()}
        static = embedding["static"]
        scored = [row for row in found["evaluation"] if not is_own(row["task"])]
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
            **found["overhead"],
        )

    def rest(self, kind: str, size: Size) -> float:
        """What scoring takes beside the embedding of the texts; a reranking is a search of its candidates."""
        line = self.scoring["Retrieval" if kind == "Reranking" else kind]
        return line(**{name: getattr(size, name) for name in line.factors if name != "each"})


def is_own(task: str) -> bool:
    """Whether mteb has no statistics of a task."""
    return task.startswith(("PEARL-", "WordSim-"))


def _per_position(rows: Sequence[Mapping[str, Any]]) -> Line:
    quantities = [{"each": 1.0, "positions": row["positions"]} for row in rows]
    return Line.fit(quantities, [row["seconds"] for row in rows])


def _embedding(found: Mapping[str, Any]) -> Embedding:
    rows = found["rows"]
    line = Line.fit([{"texts": 1.0, "characters": row["characters"]} for row in rows], [row["seconds"] for row in rows])
    return Embedding(line, found["longest"])


def _scoring(rows: Sequence[Mapping[str, Any]], static: Embedding) -> Line:
    more = {"Classification": ("labels", "training"), "Retrieval": ("pairs", "ranked")}
    counts = ("rows", *more.get(rows[0]["type"], ()))
    seconds = [row["seconds"] for row in rows]
    rest = [max(row["seconds"] - static.seconds(measured_size(row)), 0) for row in rows]
    once = {"each": 1.0} if len(rows) > 1 else {}
    return Line.fit([once | {name: row[name] for name in counts} for row in rows], rest, of=seconds)


def measured_size(row: Mapping[str, Any]) -> Size:
    """The size of a task that was measured."""
    return Size(**{name: row[name] for name in Size.__dataclass_fields__})


@dataclass(frozen=True)
class Task:
    """What a task costs: the size of its texts, and seconds beside embedding them."""

    name: str
    size: Size
    rest: float

    def seconds(self, model: Embedding) -> float:
        """Of a score of a model."""
        return model.seconds(self.size) + self.rest


def tasks_of(suite: Sequence[SuiteTask], found: Mapping[str, Any], costs: Costs) -> tuple[list[Task], list[str]]:
    """The tasks of a suite, and the names of those that nothing is known of, which take the mean of their like."""
    own = {row["task"]: row for row in found["evaluation"] if is_own(row["task"])}
    tasks, unknown = [], []
    for entry in suite:
        if (size := size_of(entry.task)) is not None:
            tasks.append(Task(entry.name, size, costs.rest(entry.task.metadata.type, size)))
            continue
        rows = [own[entry.name]] if entry.name in own else [row for row in own.values() if row["type"] != "STS"]
        if entry.name not in own:
            unknown.append(entry.name)
        mean = sum((measured_size(row) for row in rows), start=Size()) * (1 / len(rows))
        seconds = sum(row["seconds"] for row in rows) / len(rows)
        tasks.append(Task(entry.name, mean, max(seconds - costs.embedding["static"].seconds(mean), 0)))
    return tasks, unknown


def job_steps(
    costs: Costs, base: str, parts: Sequence[Mapping[str, Any]], tasks: Sequence[Task], *, teacher: bool
) -> list[Step]:
    """The steps of a job: its vectors, which the variants of one vocabulary share, then task by task its scores.

    Args:
        costs: fitted.
        base: the base model.
        parts: of the vocabulary that pass through it: `key`, `tokens`, `positions`.
        tasks: of the suite.
        teacher: whether the base model is scored, too, once for all jobs that share it.
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
