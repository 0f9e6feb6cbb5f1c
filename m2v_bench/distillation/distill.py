"""From a sentence transformer to a static model."""

import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from m2v_bench.assets import ModelFolder, resolve_model
from m2v_bench.cache import cached_arrays, content_hash
from m2v_bench.distillation.dialects import get_dialect
from m2v_bench.distillation.forward import load_transformer, token_vectors
from m2v_bench.distillation.pooling import POOLINGS
from m2v_bench.distillation.quantization import DTYPES, quantize
from m2v_bench.distillation.reduction import PcaDims, n_components, parse_dims, rotate
from m2v_bench.distillation.tokenizer import Vocabulary, model_vocabulary, sequences, special_token_template
from m2v_bench.distillation.weighting import WEIGHTINGS
from m2v_bench.errors import BenchError
from m2v_bench.inference.static_model import StaticModel

if TYPE_CHECKING:
    from tokenizers import Tokenizer

UNUSED_TOKENS = r"\[unused\d+\]"
SIF_COEFFICIENT = 1e-4

# Raise a stage's number when its code gives other numbers for the same input.
_FORWARD_VERSION = 1
_ROTATION_VERSION = 1
_ASSEMBLY_VERSION = 1


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a static model's numbers; what only changes speed is not in it.

    Attributes:
        base: the sentence transformer.
        dialect: which releases' defaults stand behind what is not set here (`dialects.DIALECTS`).
        vocabulary: where the tokens come from; `model` is the base model's own subwords.
        remove: regular expression of tokens to drop, matched at their beginning; None drops none.
        pooling: a name in `POOLINGS`.
        pca_dims: see `reduction.parse_dims`.
        weighting: a name in `WEIGHTINGS`.
        coefficient: SIF's `a`; other weightings do not look at it.
        dtype: a name in `DTYPES`.
    """

    base: ModelFolder
    dialect: str
    vocabulary: str
    remove: str | None
    pooling: str
    pca_dims: PcaDims
    weighting: str
    coefficient: float
    dtype: str

    @cached_property
    def variant(self) -> dict[str, Any]:
        """The recipe as plain values, as the result files keep it."""
        variant: dict[str, Any] = {
            "base_model": self.base.name.rsplit("/", 1)[-1],
            "dialect": self.dialect,
            "vocabulary": self.vocabulary,
            "pooling": self.pooling,
            "pca_dims": self.pca_dims,
            "weighting": self.weighting,
            "dtype": self.dtype,
        }
        if self.weighting == "sif":
            variant["sif_coefficient"] = self.coefficient
        if self.remove != UNUSED_TOKENS:
            variant["remove"] = str(self.remove)
        return variant

    @cached_property
    def revision(self) -> str:
        """A hash over the base model's content and every setting that can move a number."""
        versions = [_FORWARD_VERSION, _ROTATION_VERSION, _ASSEMBLY_VERSION]
        return content_hash({**self.variant, "base_revision": self.base.revision, "versions": versions})

    @property
    def label(self) -> str:
        """What tables and plots call the model."""
        preset = get_dialect(self.dialect)
        size = {"none": "no PCA", "auto": "rotated"}.get(str(self.pca_dims), f"{self.pca_dims}d")
        parts = ["M2V", self.variant["base_model"], size, self.weighting]
        # what most models share is left out, so that the label stays short
        parts += [f"a={self.coefficient:g}"] * (self.weighting == "sif" and self.coefficient != SIF_COEFFICIENT)
        parts += [self.pooling] * (self.pooling != preset.pooling)
        parts += [self.dtype] * (self.dtype != "float16")
        parts += [f"without {self.remove}"] * (self.remove != UNUSED_TOKENS)
        return " ".join(parts)

    @property
    def name(self) -> str:
        """The model's name in result files, readable and unique together with the revision."""
        parts = [self.vocabulary, f"pca{self.pca_dims}", self.weighting, self.dtype]
        return f"m2v_bench/{self.variant['base_model']}-{'-'.join(parts)}"


@dataclass(frozen=True)
class Distillation:
    """A distilled model and what it took.

    Attributes:
        model: the static model.
        seconds: wall time per stage.
        forward_cached: whether the forward pass was read from the cache.
        n_removed: tokens that the `remove` pattern took out.
    """

    model: StaticModel
    seconds: dict[str, float]
    forward_cached: bool
    n_removed: int


def make_recipe(
    model: str,
    *,
    dialect: str = "m2v-0.7",
    vocabulary: str = "model",
    remove: str | None = UNUSED_TOKENS,
    pooling: str | None = None,
    pca_dims: object = 256,
    weighting: str | None = None,
    coefficient: float = SIF_COEFFICIENT,
    dtype: str = "float16",
) -> Recipe:
    """Check every setting, fill in what the dialect says, and find the base model.

    Raises:
        BenchError: naming the setting that is wrong and what is allowed.
    """
    preset = get_dialect(dialect)
    chosen = {
        "vocabulary.source": (vocabulary, ("model",)),
        "pooling.name": (pooling or preset.pooling, tuple(POOLINGS)),
        "weighting.name": (weighting or preset.weighting, tuple(WEIGHTINGS)),
        "quantization.dtype": (dtype, tuple(DTYPES)),
    }
    for setting, (value, allowed) in chosen.items():
        if value not in allowed:
            raise BenchError(f"{setting}={value}: unknown; allowed: {', '.join(allowed)}")
    if not 0 < coefficient < 1:
        raise BenchError(f"weighting.coefficient={coefficient}: must lie between 0 and 1, e.g. 1e-4")
    return Recipe(
        dialect=dialect,
        vocabulary=vocabulary,
        remove=remove,
        pooling=pooling or preset.pooling,
        pca_dims=parse_dims(pca_dims),
        weighting=weighting or preset.weighting,
        coefficient=float(coefficient),
        dtype=dtype,
        base=resolve_model(model),
    )


def distill(
    model: str,
    *,
    dialect: str = "m2v-0.7",
    pca_dims: int | float | str | None = 256,
    weighting: str | None = None,
    sif_coefficient: float = SIF_COEFFICIENT,
    pooling: str | None = None,
    remove: str | None = UNUSED_TOKENS,
    quantize_to: str = "float16",
    batch_size: int = 512,
    device: str = "cpu",
    show_progress: bool = True,
) -> StaticModel:
    """Distil a static model from a sentence transformer.

    Args:
        model: a name in the asset catalog (`all-MiniLM-L6-v2`), a model on the hub, or a folder.
        dialect: which releases of Model2Vec to compute as; None below means "as the dialect says".
        pca_dims: `none` or None, `auto` (rotate only), a number of dimensions, or a share of the variance.
        weighting: `none`, `zipf_log` or `sif`.
        sif_coefficient: SIF's `a`.
        pooling: `mean`, `first`, `last` or `pooler`.
        remove: regular expression of tokens to drop.
        quantize_to: `float32` or `float16`.
        batch_size: sequences per batch of the forward pass.
        device: torch device of the forward pass.
        show_progress: show a progress bar on the forward pass.

    Raises:
        BenchError: naming the setting that is wrong and what is allowed.
    """
    recipe = make_recipe(
        model,
        dialect=dialect,
        remove=remove,
        pooling=pooling,
        pca_dims=pca_dims,
        weighting=weighting,
        coefficient=sif_coefficient,
        dtype=quantize_to,
    )
    return run_recipe(recipe, batch_size=batch_size, device=device, show_progress=show_progress).model


def run_recipe(
    recipe: Recipe, *, batch_size: int = 512, device: str = "cpu", show_progress: bool = True
) -> Distillation:
    """Compute the static model of a recipe; forward pass and rotation come from the cache when they can."""
    started = time.perf_counter()
    tokenizer = load_tokenizer(recipe.base.path)
    vocabulary = model_vocabulary(tokenizer, recipe.remove)
    prefix, suffix = special_token_template(tokenizer)
    token_sequences = sequences(vocabulary.base_ids, prefix, suffix)
    forward_key = {
        "version": _FORWARD_VERSION,
        "base_revision": recipe.base.revision,
        "sequences": content_hash(token_sequences),
        "pooling": recipe.pooling,
    }

    def forward() -> dict[str, np.ndarray]:
        model = load_transformer(recipe.base.path)
        vectors = token_vectors(
            model,
            token_sequences,
            pooling=recipe.pooling,
            batch_size=batch_size,
            device=device,
            show_progress=show_progress,
        )
        return {"vectors": vectors}

    arrays, forward_cached = cached_arrays("forward", forward_key, forward)
    vectors = arrays["vectors"]
    forward_done = time.perf_counter()

    rows = _reduce(vectors, recipe, forward_key)
    weights = WEIGHTINGS[recipe.weighting](len(rows), recipe.coefficient)
    table = quantize(rows * weights[:, None], recipe.dtype)
    model = StaticModel(table, vocabulary.tokenizer, normalize=True, config=_config(recipe, vocabulary))
    done = time.perf_counter()
    return Distillation(
        model=model,
        seconds={"forward": forward_done - started, "assemble": done - forward_done},
        forward_cached=forward_cached,
        n_removed=vocabulary.n_removed,
    )


def load_tokenizer(path: Path) -> "Tokenizer":
    """The `tokenizers` tokenizer of the model in `path`.

    Raises:
        BenchError: when there is none, or only a slow one.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(path, use_fast=True).backend_tokenizer
    except (OSError, ValueError, AttributeError) as error:
        raise BenchError(
            f"base_model: {path} has no tokenizer that the `tokenizers` package can run: {error}"
        ) from error


def _reduce(vectors: np.ndarray, recipe: Recipe, forward_key: dict[str, Any]) -> np.ndarray:
    if recipe.pca_dims == "none":
        return vectors
    if not isinstance(recipe.pca_dims, float | str) and recipe.pca_dims >= len(vectors):
        return vectors  # as model2vec does: fewer tokens than components cannot be decomposed
    key = {"version": _ROTATION_VERSION, "forward": forward_key}
    rotated, _ = cached_arrays("rotation", key, lambda: rotate(vectors))
    return rotated["scores"][:, : n_components(recipe.pca_dims, rotated["variance"])]


def _config(recipe: Recipe, vocabulary: Vocabulary) -> dict[str, Any]:
    return {
        "tokenizer_name": recipe.base.name,
        "base_model_name": recipe.base.name,
        "apply_pca": None if recipe.pca_dims == "none" else recipe.pca_dims,
        "sif_coefficient": recipe.coefficient if recipe.weighting == "sif" else None,
        "pooling": recipe.pooling,
        "dialect": recipe.dialect,
        "weighting": recipe.weighting,
        "vocabulary": recipe.vocabulary,
        "revision": recipe.revision,
        "tokens_removed": vocabulary.n_removed,
    }
