"""Settings of the training that can follow a distillation."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from m2v_bench.errors import BenchError, did_you_mean, plain_number, whole_number

LOSSES = ("none", "mse", "cosine", "contrastive")
TARGETS = ("tokens", "pooled")
FINISHES = ("none", "pca_sif")
# Setting -> the names it allows.
TRAINING_CHOICES: dict[str, Collection[str]] = {
    "training.loss": LOSSES,
    "training.target": TARGETS,
    "training.finish": FINISHES,
}


@dataclass(frozen=True)
class TrainingConfig:
    """How the rows are trained, so that the mean of a text's rows predicts the teacher's embedding of the text.

    Attributes:
        loss: `mse` (mean squared error), `cosine` (one minus the cosine), `contrastive` (the text's teacher embedding
            among those of the batch), or `none` for no training.
        corpus: texts to train on: a file, folder or dataset as in `corpus`, or a list of them.
        corpus_column: column of the texts.
        n_texts: number of texts, a random sample that a larger number extends; null takes all.
        target: `tokens`, the mean of the teacher's token embeddings without special tokens (as tokenlearn), or
            `pooled`, the teacher's own embedding of the text.
        temperature: temperature of the contrastive loss; smaller values weigh the most similar texts more.
        token_weights: train a factor per token beside its row.
        regularization: weight of the squared distance of the rows to the distilled ones, relative to their size.
        learning_rate: step size of Adam, relative to the size of the distilled rows.
        batch_size: texts per step.
        epochs: passes over the texts at most.
        patience: epochs without a better held-out loss before training stops.
        held_out: share of the texts kept for the held-out loss.
        finish: what follows: `none`, or `pca_sif`, PCA and SIF weights from the corpus as for the potion models.
    """

    loss: str = "contrastive"
    corpus: Any = None
    corpus_column: str = "text"
    n_texts: int | None = None
    target: str = "tokens"
    temperature: float = 0.05
    token_weights: bool = False
    regularization: float = 0.0
    learning_rate: float = 0.03
    batch_size: int = 512
    epochs: int = 4
    patience: int = 1
    held_out: float = 0.02
    finish: str = "none"

    def __bool__(self) -> bool:
        """Return whether there is any training."""
        return self.loss != "none"

    @property
    def corpora(self) -> list[str]:
        """The names of the corpora."""
        names = [self.corpus] if isinstance(self.corpus, str) else self.corpus or []
        return [str(name) for name in names]

    def resolved(self) -> "TrainingConfig":
        """Check every value.

        Raises:
            BenchError: naming the setting, its value and what is allowed.
        """
        for setting, names in TRAINING_CHOICES.items():
            if (value := getattr(self, setting.partition(".")[2])) not in tuple(names):
                raise BenchError(f"{setting}={value}: unknown; allowed: {', '.join(names)}")
        if not self:
            return NO_TRAINING
        if not self.corpora:
            raise BenchError(
                "training needs texts: set training.corpus to a .txt file with one text per line, a .csv, .jsonl or "
                ".parquet file (training.corpus_column=text), a dataset, or a list of them"
            )
        least = {"batch_size": 2 if self.loss == "contrastive" else 1, "epochs": 1, "patience": 1}
        checked: dict[str, Any] = {
            name: whole_number(f"training.{name}", getattr(self, name), least=value) for name, value in least.items()
        }
        if self.n_texts is not None:
            checked["n_texts"] = whole_number("training.n_texts", self.n_texts, least=1, instead="null for all")
        for name, low, high in (
            ("temperature", 0, math.inf),
            ("learning_rate", 0, math.inf),
            ("held_out", 0, 1),
        ):
            checked[name] = _between(name, getattr(self, name), low, high)
        if self.regularization != 0:
            checked["regularization"] = _between("regularization", self.regularization, 0, math.inf)
        if not isinstance(self.token_weights, bool):
            raise BenchError(f"training.token_weights={self.token_weights}: must be true or false")
        return replace(self, **checked)

    def unusual(self) -> dict[str, Any]:
        """Return the settings that affect the numbers and differ from the defaults, by name."""
        if not self:
            return {}
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        for name in ("corpus", "corpus_column"):  # the corpus is known by its content
            del values[name]
        if self.loss != "contrastive":
            del values["temperature"]
        default = TrainingConfig()
        return {
            f"training.{name}": value
            for name, value in values.items()
            if name == "loss" or value != getattr(default, name)
        }


NO_TRAINING = TrainingConfig(loss="none")


def training_config(value: Any) -> TrainingConfig:
    """Return a `TrainingConfig` from one, from its settings in a mapping, or from None for no training.

    Raises:
        BenchError: for an unknown setting or another type.
    """
    if value is None or value == "none":
        return NO_TRAINING
    if isinstance(value, TrainingConfig):
        return value
    if not isinstance(value, Mapping):
        raise BenchError(
            f"training={value!r}: give a TrainingConfig or a dict, for example training={{'corpus': 'texts.txt'}}"
        )
    known = [field.name for field in fields(TrainingConfig)]
    if unknown := [name for name in value if name not in known]:
        near = did_you_mean(unknown[0], known)
        raise BenchError(f"training.{unknown[0]}: no such setting.{near} Allowed: {', '.join(known)}")
    return TrainingConfig(**value)


def _between(name: str, value: Any, low: float, high: float) -> float:
    """Check a number in the open interval between `low` and `high`."""
    number = plain_number(value)
    if isinstance(number, bool) or not isinstance(number, int | float) or not low < number < high:
        allowed = f"between {low} and {high}" if math.isfinite(high) else f"a number above {low}"
        raise BenchError(f"training.{name}={value}: must be {allowed}")
    return float(number)
