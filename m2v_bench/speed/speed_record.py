"""Typed record of a speed benchmark, as `m2v-bench speed` writes it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from m2v_bench.errors import BenchError
from m2v_bench.speed.loaders import Contender


@dataclass(frozen=True)
class Plan:
    """Size of a benchmark.

    Attributes:
        threads: number of threads of the multi-threaded pass; there is always a single-threaded one.
        rounds: timed rounds over all models.
        cold_starts: fresh processes per model.

    Raises:
        BenchError: if a number is too small.
    """

    threads: int = 2
    rounds: int = 5
    cold_starts: int = 5

    def __post_init__(self) -> None:
        for name, least in (("threads", 1), ("rounds", 1), ("cold_starts", 0)):
            if (value := getattr(self, name)) < least:
                raise BenchError(f"--{name.replace('_', '-')} {value}: must be {least} or more")


@dataclass(frozen=True)
class Rates:
    """Rates of a model on texts of one length in one kind of pass.

    Attributes:
        texts_per_second, megabytes_per_second, cores_busy: medians over the rounds.
        slowest, fastest: texts per second of the slowest and the fastest round.
        rounds: texts per second of every round.
        joules_per_1000_texts: median energy; None if the machine does not report it.
    """

    texts_per_second: float
    slowest: float
    fastest: float
    cores_busy: float
    rounds: Sequence[float]
    megabytes_per_second: float
    joules_per_1000_texts: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return JSON values, without an unknown energy."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class LengthSpeed:
    """Speed of a model on texts of one length.

    Attributes:
        texts: number of texts.
        passes: by kind: `first` for unseen texts, `1` and the plan's number of threads for the same texts again.
    """

    texts: int
    passes: Mapping[str, Rates]

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {"texts": self.texts} | {name: rates.to_json() for name, rates in self.passes.items()}


@dataclass(frozen=True)
class Spread:
    """Median and range over fresh processes."""

    median: float
    min: float
    max: float


@dataclass(frozen=True)
class ModelSpeed:
    """Measurements of a model.

    Attributes:
        contender: the model.
        absent: reason why it was not measured; None if it was.
        path: which code a static model of ours ran, as in `loaders.prepare`.
        max_tokens: length at which texts are truncated; None if they are not or it is unknown.
        difference: largest difference from our encoder's embeddings of the same folder; None without such a model.
        speed: by length; empty without measurements.
        cold: `load_seconds`, `first_seconds` and `peak_rss_bytes` in fresh processes, as far as known.
    """

    contender: Contender
    absent: str | None = None
    path: str | None = None
    max_tokens: int | None = None
    difference: float | None = None
    speed: Mapping[str, LengthSpeed] = field(default_factory=dict)
    cold: Mapping[str, Spread] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The model's name in tables."""
        return self.contender.label

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self.contender) | {
            "revisions": list(self.contender.revisions),
            "absent": self.absent,
            "path": self.path,
            "max_tokens": self.max_tokens,
            "difference": self.difference,
            "speed": {length: speed.to_json() for length, speed in self.speed.items()},
            "cold": {name: asdict(spread) for name, spread in self.cold.items()},
        }


@dataclass(frozen=True)
class SpeedRecord:
    """A speed benchmark.

    Attributes:
        models: the measured models, and those that could not be measured.
        plan: size of the benchmark.
        cold_texts: number of texts embedded in a fresh process.
        seconds: least duration of a timed pass.
        texts: source, tokenizer and, by length, number, tokens and bytes, as in `BenchTexts.as_record`.
        seed: sampling seed of the texts.
        hardware: the machine.
        load_average: of the minute before the benchmark; None if unknown.
        versions: by package.
        git_commit: of the code.
        started, ended: ISO dates and times.
        version: of the format.
    """

    models: Sequence[ModelSpeed]
    plan: Plan
    cold_texts: int
    seconds: float
    texts: Mapping[str, Any]
    seed: int
    hardware: Mapping[str, Any]
    load_average: float | None
    versions: Mapping[str, str]
    git_commit: str
    started: str
    ended: str
    version: int

    @property
    def lengths(self) -> list[str]:
        """The lengths of the texts, in tokens."""
        return list(self.texts["lengths"])

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        record = {name: value for name, value in vars(self).items() if name not in ("cold_texts", "seconds")}
        return record | {
            "plan": asdict(self.plan) | {"seconds": self.seconds, "cold_texts": self.cold_texts},
            "models": [model.to_json() for model in self.models],
        }
