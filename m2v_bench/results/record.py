"""Typed record of a run: settings, scores, speeds, times and versions, as record.json holds them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from m2v_bench.cache import write_json
from m2v_bench.config.renames import current_settings

RECORD = "record.json"


@dataclass(frozen=True)
class Score:
    """The score of one model on one task.

    Attributes:
        model, revision, label, kind: the model, as in `Model`.
        task, type: the task, as in `SuiteTask`.
        main_score: the task's main score, 0 to 1; None without one.
        state: `scored` in this run, `read` from a result file, `failed`, or `missing` (no data, the model cannot do
            the task, or mteb returned NaN).
        reason: why there is no score.
        seconds: wall time of the evaluation when the score was computed.
        peak_rss_bytes: the largest resident set size of the process during the evaluation.
        standard_error: of `main_score`, from resampling the task's samples; only an export has it, which holds no
            samples.
    """

    model: str
    revision: str
    label: str
    kind: str
    task: str
    type: str
    main_score: float | None = None
    state: str = "scored"
    reason: str | None = None
    seconds: float | None = None
    peak_rss_bytes: int | None = None
    standard_error: float | None = None

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Self:
        """Read a row of a record's `scores`."""
        return cls(**_known(cls, row))

    def as_row(self) -> dict[str, Any]:
        """Return the score as a row of a table."""
        row = dict(vars(self))
        if self.standard_error is None:
            del row["standard_error"]
        return row


@dataclass(frozen=True)
class Speed:
    """The speed of one model on one CPU thread.

    Attributes:
        model, revision, label, kind: the model, as in `Model`.
        dims, n_parameters, bytes_on_disk: its size.
        texts_per_second: the median over the rounds.
        slowest, fastest: texts per second of the slowest and the fastest round.
        cores_busy: CPU time over wall time, the median over the rounds.
        rounds: texts per second of every round.
        path: which code a static model of ours ran, as in `loaders.prepare`.
        others_running: threads of other processes that wanted a core, the median over the rounds; None if unknown.
        texts, mean_characters: number and mean length of the texts.
        key: hash of everything that decides the result; a record with the same key is not measured again.
        suite: name of the suite that the texts come from.
        threads: number of threads.
        hardware: the machine.
        measured: ISO date and time.
        session: shared by the models that were timed alternately; only their speeds can be compared.
        loaded: whether other processes took processor time that the models needed.
    """

    label: str
    texts_per_second: float
    model: str = ""
    revision: str = ""
    kind: str = "static"
    dims: int = 0
    n_parameters: int = 0
    bytes_on_disk: int = 0
    slowest: float = 0.0
    fastest: float = 0.0
    cores_busy: float | None = None
    rounds: Sequence[float] = field(default_factory=list)
    path: str | None = None
    others_running: float | None = None
    texts: int = 0
    mean_characters: float = 0.0
    key: str = ""
    suite: str = ""
    threads: int = 1
    hardware: Mapping[str, Any] = field(default_factory=dict)
    measured: str = ""
    session: str | None = None
    loaded: bool = False

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Self:
        """Read a row of a record's `speed`, or a file in `speed/`."""
        rate = row["texts_per_second"]
        return cls(**{"slowest": rate, "fastest": rate} | _known(cls, row))

    def to_json(self) -> dict[str, Any]:
        """Return plain values for a JSON file."""
        return vars(self) | {"rounds": list(self.rounds)}


@dataclass(frozen=True)
class ModelSize:
    """The size of a distilled model: embedding dimensions, parameters, bytes on disk."""

    dims: int
    n_parameters: int
    bytes_on_disk: int


@dataclass(frozen=True)
class RunRecord:
    """Everything that a run leaves in record.json.

    Attributes:
        scores: a row per model and task, the distilled model's among them.
        name, revision, label, variant: the distilled model, as in `Model`.
        settings: by name, as in `pca_dims`.
        key: `Prepared.key`, by which a finished job is recognised.
        speed: a row per model whose speed was measured.
        size: of the distilled model; None in records of the first versions.
        seconds: wall time by stage.
        forward_cached: whether the forward pass was read from the cache.
        vocabulary_report: how many words were given, removed and added.
        training: losses of the training by epoch, as in `Fit`, and `overlap`, a row per task whose texts are in the
            training corpus; empty without training.
        versions: by package.
        git_commit: of the code, with a `+` if files had been changed since; `none` outside a repository.
        command: the command line; None in a job of a sweep, whose plan holds it.
        teacher: label of the baseline that is the distilled model's teacher; None without one.
        signature: the line under the run's table.
        datasets: by task, path, revision, splits and subsets of its dataset.
        started, ended: seconds since 1970; None in records of the first versions.
    """

    scores: Sequence[Score]
    name: str = ""
    revision: str = ""
    label: str = ""
    variant: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    key: str | None = None
    speed: Sequence[Speed] = ()
    size: ModelSize | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    forward_cached: bool = False
    vocabulary_report: Mapping[str, int] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    git_commit: str = "none"
    command: str | None = None
    teacher: str | None = None
    signature: str = ""
    datasets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    started: float | None = None
    ended: float | None = None

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read a record of this or an earlier version; missing fields get their defaults.

        Raises:
            KeyError, TypeError, AttributeError: for JSON that is no record.
        """
        given = _known(cls, value) | {
            "scores": [Score.from_json(row) for row in value["scores"]],
            "speed": [Speed.from_json(row) for row in value.get("speed", [])],
            "settings": current_settings(value.get("settings", {})),
        }
        if given.get("size") is not None:
            given["size"] = ModelSize(**given["size"])
        return cls(**given)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for a JSON file."""
        value = vars(self) | {
            "scores": [score.as_row() for score in self.scores],
            "speed": [speed.to_json() for speed in self.speed],
            "size": None if self.size is None else asdict(self.size),
        }
        if not self.training:  # as in records from before models could be trained
            del value["training"]
        return value

    @property
    def suite(self) -> str:
        """The name of the suite."""
        return str(self.settings["suite.name"])

    @property
    def aggregation(self) -> str:
        """Aggregation of averages over several types, `micro` or `macro`."""
        return str(self.settings.get("suite.aggregation", "micro"))

    @property
    def seed(self) -> int:
        """The seed of the draws that tasks make."""
        return int(self.settings.get("seed", 42))

    @property
    def student_scores(self) -> list[Score]:
        """The rows of the distilled model."""
        return [score for score in self.scores if score.label == self.label]

    @property
    def failed(self) -> list[Score]:
        """The scores to try again."""
        return [score for score in self.scores if score.state == "failed"]

    @property
    def total_seconds(self) -> float | None:
        """Wall time of the whole run; None if unknown."""
        return None if self.started is None or self.ended is None else self.ended - self.started


def read_record(folder: Path) -> RunRecord | None:
    """Read the record in a run's folder; None without a readable one."""
    try:
        return RunRecord.from_json(json.loads((folder / RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write_record(folder: Path, record: RunRecord) -> None:
    """Write the record to a run's folder; readers see the whole file or none."""
    write_json(folder / RECORD, record.to_json())


def _known(kind: type, value: Mapping[str, Any]) -> dict[str, Any]:
    """Drop the keys that a dataclass has no field for."""
    names = {known.name for known in fields(kind)}
    return {name: item for name, item in value.items() if name in names}
