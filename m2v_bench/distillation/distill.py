"""From a sentence transformer to a static model."""

import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from m2v_bench.cache import cached_arrays, content_hash
from m2v_bench.distillation.pca import n_components, rotate, sklearn_scores
from m2v_bench.distillation.quantization import check_range, quantize, quantize_vocabulary
from m2v_bench.distillation.recipe import (
    ROTATION_VERSION,
    SIF_COEFFICIENT,
    UNUSED_TOKENS,
    Recipe,
    make_recipe,
)
from m2v_bench.distillation.token_vectors import pick_device, token_vectors
from m2v_bench.distillation.vocabulary import Vocabulary, build_vocabulary
from m2v_bench.distillation.weighting import WEIGHTINGS, Tokens
from m2v_bench.distillation.words import WordReport
from m2v_bench.errors import BenchError
from m2v_bench.inference.static_model import StaticModel


@dataclass(frozen=True)
class Distillation:
    """A distilled model and what it took.

    Attributes:
        model: the static model.
        seconds: wall time per stage.
        forward_cached: whether the forward pass was read from the cache.
        words: what became of the vocabulary's words.
    """

    model: StaticModel
    seconds: dict[str, float]
    forward_cached: bool
    words: WordReport


def distill(
    model: Any,
    *,
    revision: str | None = None,
    tokenizer: Any = None,
    vocabulary: str | Iterable[str] | None = None,
    subwords: bool | None = None,
    vocabulary_size: int | None = None,
    remove: str | None = UNUSED_TOKENS,
    dialect: str = "m2v-0.7",
    sequence: str | None = None,
    embeddings: str = "output",
    pooling: str | None = None,
    pca_dims: int | float | str | None = 256,
    pca_solver: str | None = None,
    weighting: str | None = None,
    sif_coefficient: float = SIF_COEFFICIENT,
    corpus: str | None = None,
    column: str = "text",
    quantize_to: str = "float16",
    vocabulary_quantization: int | None = None,
    precision: str = "fp32",
    seed: int = 42,
    device: str = "auto",
    show_progress: bool = True,
) -> StaticModel:
    """Distil a static model from a sentence transformer.

    None means "as the dialect says" wherever the dialect says something.

    Args:
        model: a name in the asset catalog (`all-MiniLM-L6-v2`), a model on the hub, a folder, or a loaded
            `transformers` model, which needs `tokenizer`.
        revision: the commit to take from the hub; the newest when None.
        tokenizer: the tokenizer of a loaded model.
        vocabulary: None or `model` for the model's own subwords, `glove`, `glove_subword`, `file:PATH`, or words,
            most frequent first.
        subwords: whether the model's own subwords stay beside the words; True but for `glove`.
        vocabulary_size: how many words to take from the top of the list; None takes all.
        remove: regular expression of tokens to drop.
        dialect: which releases of Model2Vec to compute as (`dialects.DIALECTS`).
        sequence: `template` or `swapped`: the order of the special tokens around a token.
        embeddings: `output` of a forward pass, or the `input` embedding matrix.
        pooling: `token`, `mean`, `first`, `last` or `pooler`.
        pca_dims: `none` or None, `auto` (rotate only), a number of dimensions, or a share of the variance.
        pca_solver: `full` (exact), or `sklearn` (what scikit-learn picks for the shape).
        weighting: a name in `weighting.WEIGHTINGS`.
        sif_coefficient: SIF's `a`.
        corpus: where weightings that look at frequencies count them (see `corpus.Corpus`).
        column: the corpus's column of texts.
        quantize_to: `float32`, `float16` or `int8`.
        vocabulary_quantization: rows that k-means leaves, shared between the tokens; None for a row per token.
        precision: `fp32` or `bf16`, of the products in the forward pass.
        seed: of k-means and of randomized PCA.
        device: torch device of the forward pass; `auto` takes a GPU when there is one.
        show_progress: show progress bars.

    Raises:
        BenchError: naming the setting that is wrong and what is allowed.
    """
    recipe = make_recipe(
        model,
        tokenizer=tokenizer,
        base_revision=revision,
        dialect=dialect,
        sequence=sequence,
        vocabulary="model" if vocabulary is None else vocabulary,
        subwords=subwords,
        vocabulary_size=vocabulary_size,
        remove=remove,
        embeddings=embeddings,
        pooling=pooling,
        precision=precision,
        pca_dims=pca_dims,
        solver=pca_solver,
        weighting=weighting,
        coefficient=sif_coefficient,
        corpus=corpus,
        column=column,
        dtype=quantize_to,
        clusters=vocabulary_quantization,
        seed=seed,
    )
    return run_recipe(recipe, device=device, show_progress=show_progress).model


def run_recipe(recipe: Recipe, *, device: str = "auto", show_progress: bool = True) -> Distillation:
    """Compute the static model of a recipe; what was computed before comes from the cache.

    Args:
        recipe: what to compute.
        device: torch device of the forward pass; `auto` takes a GPU when there is one.
        show_progress: show progress bars.

    Raises:
        BenchError: for a vocabulary or a device that cannot be used.
    """
    started = time.perf_counter()
    vocabulary = vocabulary_of(recipe)
    _check_size(recipe, vocabulary)
    vectors, vectors_key, cached = token_vectors(recipe, vocabulary, pick_device(device), show_progress)
    forward_done = time.perf_counter()

    tokens = Tokens(len(vectors))
    if recipe.corpus is not None:
        tokens = recipe.corpus.count(vocabulary.tokenizer, len(vectors), show_progress=show_progress)
    weights = _token_weights(recipe, vocabulary, tokens)
    mapping = None
    if recipe.clusters is not None:
        vectors, mapping, vectors_key = _shared_rows(vectors, recipe, vectors_key, show_progress)
    rows = _reduce(vectors, recipe, vectors_key)
    if mapping is None:
        rows = rows * weights.astype(np.float32)[:, None]
    rows = np.asarray(rows, dtype=np.float32)
    check_range(
        rows, recipe.dtype, lambda row: f"token {vocabulary.tokens[row]!r}" if mapping is None else f"row {row}"
    )
    model = StaticModel(
        quantize(rows, recipe.dtype),
        vocabulary.tokenizer,
        normalize=recipe.preset.normalize,
        config=_config(recipe, vocabulary),
        weights=None if mapping is None else weights,
        mapping=mapping,
    )
    done = time.perf_counter()
    return Distillation(
        model=model,
        seconds={"forward": forward_done - started, "assemble": done - forward_done},
        forward_cached=cached,
        words=vocabulary.report,
    )


def _token_weights(recipe: Recipe, vocabulary: Vocabulary, tokens: Tokens) -> np.ndarray:
    weights = WEIGHTINGS[recipe.weighting](tokens, recipe.coefficient)
    if len(odd := np.flatnonzero(~np.isfinite(weights))):
        raise BenchError(
            f"weighting.name={recipe.weighting}: the weight of token {vocabulary.tokens[odd[0]]!r} is "
            f"{weights[odd[0]]}, not finite (weighting.coefficient={recipe.coefficient:g})"
        )
    return weights


_last_vocabulary: dict[str, Vocabulary] = {}


def vocabulary_of(recipe: Recipe) -> Vocabulary:
    """The recipe's vocabulary; the last one is kept, as the variants of a sweep mostly share theirs."""
    revisions = [recipe.base.revision, recipe.words and [recipe.words.revision, recipe.words.subwords]]
    key = content_hash([*revisions, recipe.remove, recipe.preset.surgery, recipe.sequence])
    vocabulary = _last_vocabulary.get(key)
    if vocabulary is None:
        vocabulary = build_vocabulary(
            recipe.base.tokenizer,
            recipe.words,
            remove=recipe.remove,
            surgery=recipe.preset.surgery,
            sequence=recipe.sequence,
        )
        _last_vocabulary.clear()
        _last_vocabulary[key] = vocabulary
    return vocabulary


def _check_size(recipe: Recipe, vocabulary: Vocabulary) -> None:
    n_words = len(vocabulary.tokens) - vocabulary.n_subwords
    if recipe.words and not recipe.words.subwords and isinstance(recipe.pca_dims, int) and recipe.pca_dims > n_words:
        raise BenchError(
            f"pca.dims={recipe.pca_dims}: only {n_words} words are left of {recipe.words.source} "
            f"({vocabulary.report}); fewer words than dimensions cannot be decomposed. Set pca.dims=none"
        )
    if recipe.clusters is not None and recipe.clusters > len(vocabulary.tokens):
        raise BenchError(
            f"quantization.vocabulary={recipe.clusters}: there are only {len(vocabulary.tokens)} tokens to share rows"
        )
    n_rows = recipe.clusters or len(vocabulary.tokens)
    if isinstance(recipe.pca_dims, int) and recipe.pca_dims >= n_rows:
        whose = f"quantization.vocabulary={recipe.clusters} leaves" if recipe.clusters else "the vocabulary has"
        raise BenchError(
            f"pca.dims={recipe.pca_dims}: {whose} {n_rows} rows, too few for so many components; "
            f"allowed: pca.dims from 1 to {n_rows - 1}, or none"
        )


def _shared_rows(
    vectors: np.ndarray, recipe: Recipe, key: Any, show_progress: bool
) -> tuple[np.ndarray, np.ndarray, Any]:
    assert recipe.clusters is not None
    n_clusters = recipe.clusters
    shared_key = {"version": ROTATION_VERSION, "vectors": key, "clusters": n_clusters, "seed": recipe.seed}

    def compute(_: Path) -> dict[str, np.ndarray]:
        if show_progress:  # k-means itself tells nothing
            notice = f"k-means of {len(vectors):,} tokens into {n_clusters:,} rows, which may take minutes"
            print(notice, file=sys.stderr, flush=True)
        centres, mapping = quantize_vocabulary(np.asarray(vectors), n_clusters, recipe.seed)
        return {"centres": centres, "mapping": mapping}

    shared, _ = cached_arrays("clusters", shared_key, compute)
    return shared["centres"], np.array(shared["mapping"]), shared_key


def _reduce(vectors: np.ndarray, recipe: Recipe, vectors_key: Any) -> np.ndarray:
    dims = recipe.pca_dims
    if dims == "none":
        return vectors
    key = {"version": ROTATION_VERSION, "vectors": vectors_key}
    if recipe.solver == "sklearn" and isinstance(dims, int):
        key |= {"solver": "sklearn", "dims": dims, "seed": recipe.seed}
        cut, _ = cached_arrays(
            "rotation", key, lambda _: {"scores": sklearn_scores(np.asarray(vectors), dims, recipe.seed)}
        )
        return cut["scores"]
    rotated, _ = cached_arrays("rotation", key, lambda _: rotate(vectors))
    return rotated["scores"][:, : n_components(dims, rotated["variance"])]


def _config(recipe: Recipe, vocabulary: Vocabulary) -> dict[str, Any]:
    return {
        "tokenizer_name": recipe.base.name,
        "base_model_name": recipe.base.name,
        "apply_pca": None if recipe.pca_dims == "none" else recipe.pca_dims,
        "sif_coefficient": recipe.variant.get("sif_coefficient"),
        "pooling": recipe.pooling,
        "dialect": recipe.dialect,
        "weighting": recipe.weighting,
        "vocabulary": recipe.vocabulary,
        "revision": recipe.revision,
        "vocabulary_report": asdict(vocabulary.report),
        "recipe": recipe.variant,
    }
