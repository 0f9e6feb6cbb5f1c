"""Settings of a distillation, declared once for `distill`, the configuration of runs and cache keys."""

import dataclasses
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any

from m2v_bench.distillation.dialects import DIALECTS, SEQUENCES, Dialect, get_dialect
from m2v_bench.distillation.forward import PRECISIONS
from m2v_bench.distillation.pca import SOLVERS, parse_dims
from m2v_bench.distillation.pooling import POOLINGS
from m2v_bench.distillation.quantization import DTYPES
from m2v_bench.distillation.training.training_config import (
    NO_TRAINING,
    TrainingConfig,
    training_config,
)
from m2v_bench.distillation.vocabulary import compile_remove
from m2v_bench.distillation.weighting import WEIGHTINGS
from m2v_bench.errors import BenchError, check_seed, did_you_mean, plain_number, whole_number

UNUSED_TOKENS = r"\[unused\d+\]"
SIF_COEFFICIENT = 1e-4
EMBEDDINGS = ("output", "input")
# Setting -> the names it allows.
CHOICES: dict[str, Collection[str]] = {
    "dialect": DIALECTS,
    "sequence": SEQUENCES,
    "embeddings": EMBEDDINGS,
    "pooling": POOLINGS,
    "precision": PRECISIONS,
    "pca_solver": SOLVERS,
    "weighting": WEIGHTINGS,
    "quantize_to": DTYPES,
}

# Keywords of `distill` in version 0.1 -> current names.
_RENAMED = {"remove": "token_remove_pattern", "column": "corpus_column"}


@dataclass(frozen=True)
class DistillConfig:
    """Everything except the base model that determines the numbers of a static model.

    For settings that a dialect defines, null takes the dialect's default. `training` holds the settings
    of the training that follows, a `TrainingConfig`.

    Attributes:
        vocabulary: `model` (the base model's subwords), `glove`, `glove_subword`, `file:PATH` (one word per line,
            most frequent first), or a list of words.
        subwords: keep the base model's subwords beside the words; null keeps them except for `glove`.
        vocabulary_size: number of words to take from the top of the list; null takes all.
        token_remove_pattern: drop tokens whose beginning matches this regular expression; null drops none.
        dialect: method of a Model2Vec release: `m2v-0.1`, `m2v-0.3.8`, `m2v-0.3.9`, `m2v-0.5` or `m2v-0.7`.
        sequence: order of the special tokens around a token: `template` (the tokenizer's) or `swapped`; null takes the
            dialect's.
        embeddings: `output` of one forward pass per token, or rows of the base model's `input` embedding matrix.
        pooling: pooling of the hidden states of a token's sequence: `token`, `mean`, `first`, `last` or `pooler`; null
            takes the dialect's.
        precision: precision of matrix products in the forward pass: `fp32` or `bf16`. bf16 is faster on GPUs and some
            processors; a warning says where it is slower.
        pca_dims: `none`, `auto` (rotate only), a number of dimensions, or a share of the variance such as 0.95.
        pca_solver: `full` (exact) or `sklearn` (scikit-learn's choice for the shape); null takes the dialect's.
        weighting: factor of each token's row after PCA: `none`, `zipf_log`, `sif`, `sif_counts` or `idf`; null takes
            the dialect's.
        sif_coefficient: coefficient a of `sif` and `sif_counts`, between 0 and 1.
        corpus: texts in which `sif_counts` and `idf` count tokens: a .txt file with one document per line, a .csv,
            .tsv, .jsonl or .parquet file, or a dataset (a folder, or a name on the hub; NAME:SPLIT).
        corpus_column: column of the corpus with the texts.
        quantize_to: number type of the rows: `float32`, `float16` or `int8`.
        vocabulary_quantization: number of rows that tokens share, computed by k-means; null keeps a row per token.
        seed: seed of k-means, randomized PCA and the order of training, and of the draws that tasks make in a run
            (42 is mteb's published protocol).
    """

    vocabulary: Any = "model"
    subwords: bool | None = None
    vocabulary_size: int | None = None
    token_remove_pattern: str | None = UNUSED_TOKENS
    dialect: str = "m2v-0.7"
    sequence: str | None = None
    embeddings: str = "output"
    pooling: str | None = None
    precision: str = "fp32"
    pca_dims: Any = 256
    pca_solver: str | None = None
    weighting: str | None = None
    sif_coefficient: float = SIF_COEFFICIENT
    corpus: str | None = None
    corpus_column: str = "text"
    quantize_to: str = "float16"
    vocabulary_quantization: int | None = None
    training: TrainingConfig = NO_TRAINING
    seed: int = 42

    @property
    def preset(self) -> Dialect:
        """The defaults of the dialect."""
        return get_dialect(self.dialect)

    def _check_types(self) -> None:
        """Refuse values of another type in settings that are text or true or false."""
        for name, type_, wanted in (
            ("subwords", bool | None, "true, false or null"),
            ("token_remove_pattern", str | None, "a regular expression or null"),
            ("corpus", str | None, "text or null"),
            ("corpus_column", str, "text"),
        ):
            if not isinstance(value := getattr(self, name), type_):
                raise BenchError(f"{name}={value}: must be {wanted}")

    def resolved(self) -> "DistillConfig":
        """Check every value, and fill in the dialect's defaults.

        Raises:
            BenchError: naming the setting, its value and what is allowed.
        """
        preset = self.preset
        self._check_types()
        filled = dataclasses.replace(
            self,
            vocabulary="model" if self.vocabulary is None else self.vocabulary,
            sequence=self.sequence or preset.sequence,
            pooling=self.pooling or preset.pooling,
            pca_dims=plain_number(self.pca_dims),
            pca_solver=self.pca_solver or preset.solver,
            weighting=self.weighting or preset.weighting,
            sif_coefficient=plain_number(self.sif_coefficient),
        )
        for name, names in CHOICES.items():
            if (value := getattr(filled, name)) not in tuple(names):
                raise BenchError(f"{name}={value}: unknown; allowed: {', '.join(names)}")
        coefficient, clusters = filled.sif_coefficient, filled.vocabulary_quantization
        if isinstance(coefficient, bool) or not isinstance(coefficient, int | float) or not 0 < coefficient < 1:
            raise BenchError(f"sif_coefficient={coefficient}: must lie between 0 and 1, e.g. 1e-4")
        seed = check_seed(filled.seed)
        if clusters is not None:
            clusters = whole_number("vocabulary_quantization", clusters, least=1, instead="null for a row per token")
        compile_remove(filled.token_remove_pattern)
        filled = dataclasses.replace(
            filled,
            pca_dims=parse_dims(filled.pca_dims),
            sif_coefficient=float(coefficient),
            vocabulary_quantization=clusters,
            training=training_config(filled.training).resolved(),
            seed=seed,
        )
        if filled.training and clusters is not None:
            raise BenchError(
                f"vocabulary_quantization={clusters}: tokens that share rows cannot be trained; leave it null, or set "
                "training=none"
            )
        if WEIGHTINGS[str(filled.weighting)].uses_corpus and filled.corpus is None:
            raise BenchError(
                f"weighting={filled.weighting} counts tokens: set corpus to a .txt file with one document per line, "
                "a .csv, .jsonl or .parquet file (corpus_column=text), or a dataset"
            )
        return filled


def distill_config(settings: Mapping[str, Any]) -> DistillConfig:
    """Build a `DistillConfig` from the keywords of `distill`.

    Raises:
        BenchError: for an unknown keyword.
    """
    current = {}
    for name, value in settings.items():
        if name in _RENAMED:
            if _RENAMED[name] in settings:
                raise BenchError(f"{name} is now called {_RENAMED[name]}; give only {_RENAMED[name]}")
            warnings.warn(f"{name} is now called {_RENAMED[name]}", FutureWarning, stacklevel=3)
        current[_RENAMED.get(name, name)] = value
    known = [field.name for field in fields(DistillConfig)]
    if unknown := [name for name in current if name not in known]:
        raise BenchError(
            f"{unknown[0]}: no such setting of distill.{did_you_mean(unknown[0], known)} Allowed: {', '.join(known)}"
        )
    return DistillConfig(**current)
