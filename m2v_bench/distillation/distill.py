"""From a sentence transformer to a static model."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from m2v_bench.cache import cached_arrays, content_hash
from m2v_bench.distillation.forward import load_transformer, token_vectors
from m2v_bench.distillation.quantization import quantize
from m2v_bench.distillation.recipe import (
    FORWARD_VERSION,
    ROTATION_VERSION,
    SIF_COEFFICIENT,
    UNUSED_TOKENS,
    Recipe,
    make_recipe,
)
from m2v_bench.distillation.reduction import n_components, rotate
from m2v_bench.distillation.tokenizer import Vocabulary, model_vocabulary, sequences, special_token_template
from m2v_bench.distillation.weighting import WEIGHTINGS
from m2v_bench.errors import BenchError
from m2v_bench.inference.static_model import StaticModel

if TYPE_CHECKING:
    from tokenizers import Tokenizer


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
        "version": FORWARD_VERSION,
        "base_revision": recipe.base.revision,
        "sequences": content_hash(token_sequences),
        "pooling": recipe.pooling,
    }

    def forward() -> dict[str, np.ndarray]:
        model = load_transformer(recipe.base.path, pooling=recipe.pooling)
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
        loaded = AutoTokenizer.from_pretrained(path, use_fast=True)
        tokenizer = loaded.backend_tokenizer
    except (OSError, ValueError, AttributeError) as error:
        raise BenchError(
            f"base_model: {path} has no tokenizer that the `tokenizers` package can run: {error}"
        ) from error
    # without tokenizer files transformers makes one of special tokens alone
    if set(tokenizer.get_vocab()) <= set(loaded.all_special_tokens):
        raise BenchError(f"base_model: {path} has no tokenizer; copy the model's tokenizer.json beside its weights")
    return tokenizer


def _reduce(vectors: np.ndarray, recipe: Recipe, forward_key: dict[str, Any]) -> np.ndarray:
    if recipe.pca_dims == "none":
        return vectors
    if not isinstance(recipe.pca_dims, float | str) and recipe.pca_dims >= len(vectors):
        return vectors  # as model2vec does: fewer tokens than components cannot be decomposed
    key = {"version": ROTATION_VERSION, "forward": forward_key}
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
