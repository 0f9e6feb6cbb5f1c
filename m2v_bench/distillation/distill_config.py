"""Settings of a distillation: each declared once, for `distill`, the configuration of runs, and the cache key."""

import dataclasses
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from m2v_bench.distillation.dialects import SEQUENCES, Dialect, get_dialect
from m2v_bench.distillation.forward import PRECISIONS
from m2v_bench.distillation.pca import SOLVERS, parse_dims
from m2v_bench.distillation.pooling import POOLINGS
from m2v_bench.distillation.quantization import DTYPES
from m2v_bench.distillation.vocabulary import compile_remove
from m2v_bench.distillation.weighting import WEIGHTINGS
from m2v_bench.errors import BenchError, check_seed, did_you_mean, plain_number, whole_number

UNUSED_TOKENS = r"\[unused\d+\]"
SIF_COEFFICIENT = 1e-4
EMBEDDINGS = ("output", "input")

# Keywords of `distill` that version 0.1 called otherwise.
_RENAMED = {"remove": "token_remove_pattern", "column": "corpus_column"}


@dataclass(frozen=True)
class DistillConfig:
    """Everything but the base model that decides the numbers of a static model.

    None means "as the dialect says" wherever the dialect says something.

    Attributes:
        vocabulary: `model` (the base model's own subwords), `glove`, `glove_subword`, `file:PATH` (one word per line,
            most frequent first), or a list of words.
        subwords: whether the base model's own subwords stay beside the words; null keeps them except for `glove`.
        vocabulary_size: number of words to take from the top of the list; null takes all.
        token_remove_pattern: drop tokens whose beginning matches this regular expression; null drops none.
        dialect: releases of Model2Vec to compute as: `m2v-0.1`, `m2v-0.3.8`, `m2v-0.3.9`, `m2v-0.5` or `m2v-0.7`.
            It supplies the default of every setting that is null.
        sequence: order of the special tokens around a token: `template`, as the tokenizer puts them, or `swapped`;
            null means as the dialect says.
        embeddings: `output` of one forward pass per token, or rows of the base model's `input` embedding matrix.
        pooling: how the hidden states of a token's sequence become one vector: `token`, `mean`, `first`, `last` or
            `pooler`; null means as the dialect says.
        precision: of products in the forward pass: `fp32`, or `bf16`, which pays on a GPU and on processors that
            multiply it faster than fp32 (the others are warned of).
        pca_dims: `none`, `auto` (rotate only), a number of dimensions, or a share of the variance such as 0.95.
        pca_solver: `full` (exact), or `sklearn` (what scikit-learn picks for the shape); null means as the dialect
            says.
        weighting: factor of each token's row after PCA: `none`, `zipf_log`, `sif`, `sif_counts` or `idf`; null means as
            the dialect says.
        sif_coefficient: the a of `sif` and `sif_counts`, between 0 and 1.
        corpus: where `sif_counts` and `idf` count: a .txt file with one document per line, a .csv, .tsv, .jsonl or
            .parquet file, or a dataset (a folder, or a name on the hub; NAME:SPLIT).
        corpus_column: the column of the corpus that holds the texts.
        quantize_to: number type of the rows: `float32`, `float16` or `int8`.
        vocabulary_quantization: number of rows that k-means leaves, shared between the tokens; null keeps a row per
            token.
        seed: of k-means and of randomized PCA, and in a run of the draws that tasks make (42 is mteb's published
            protocol).
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
    seed: int = 42

    @property
    def preset(self) -> Dialect:
        """The defaults of the dialect."""
        return get_dialect(self.dialect)

    def resolved(self) -> "DistillConfig":
        """Check every value, and fill in the dialect's defaults.

        Raises:
            BenchError: naming the setting, its value and what is allowed.
        """
        preset = self.preset
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
        allowed = {
            "sequence": SEQUENCES,
            "embeddings": EMBEDDINGS,
            "pooling": tuple(POOLINGS),
            "precision": PRECISIONS,
            "pca_solver": SOLVERS,
            "weighting": tuple(WEIGHTINGS),
            "quantize_to": tuple(DTYPES),
        }
        for name, names in allowed.items():
            if (value := getattr(filled, name)) not in names:
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
            seed=seed,
        )
        if WEIGHTINGS[str(filled.weighting)].uses_corpus and filled.corpus is None:
            raise BenchError(
                f"weighting={filled.weighting} counts tokens: set corpus to a .txt file with one document per line, "
                "a .csv, .jsonl or .parquet file (corpus_column=text), or a dataset"
            )
        return filled


def distill_config(settings: Mapping[str, Any]) -> DistillConfig:
    """The configuration that keywords of `distill` ask for.

    Raises:
        BenchError: for a keyword that is no setting.
    """
    current = {}
    for name, value in settings.items():
        if name in _RENAMED:
            warnings.warn(f"{name} is now called {_RENAMED[name]}", FutureWarning, stacklevel=3)
        current[_RENAMED.get(name, name)] = value
    known = [field.name for field in fields(DistillConfig)]
    if unknown := [name for name in current if name not in known]:
        raise BenchError(
            f"{unknown[0]}: no such setting of distill.{did_you_mean(unknown[0], known)} Allowed: {', '.join(known)}"
        )
    return DistillConfig(**current)
