"""Distil a static model from a sentence transformer."""

import inspect
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from m2v_bench.cache import cached_arrays, content_hash
from m2v_bench.distillation.distill_config import DistillConfig, distill_config
from m2v_bench.distillation.pca import n_components, rotate, sklearn_scores
from m2v_bench.distillation.quantization import check_range, quantize, quantize_vocabulary
from m2v_bench.distillation.recipe import ROTATION_VERSION, Recipe, make_recipe
from m2v_bench.distillation.token_vectors import pick_device, token_vectors
from m2v_bench.distillation.training.fit import Fit
from m2v_bench.distillation.training.train import trained_rows
from m2v_bench.distillation.vocabulary import Vocabulary, build_vocabulary
from m2v_bench.distillation.weighting import WEIGHTINGS, Tokens
from m2v_bench.distillation.words import WordReport
from m2v_bench.errors import BenchError
from m2v_bench.inference.static_model import StaticModel


@dataclass(frozen=True)
class Distillation:
    """A distilled model, with timings and a report on its words.

    Attributes:
        model: the static model.
        seconds: wall time per stage.
        forward_cached: whether the forward pass was read from the cache.
        words: counts of added and dropped words.
        training: losses of the training; None without one.
    """

    model: StaticModel
    seconds: dict[str, float]
    forward_cached: bool
    words: WordReport
    training: Fit | None = None


def distill(
    model: Any,
    *,
    revision: str | None = None,
    tokenizer: Any = None,
    config: DistillConfig | None = None,
    device: str = "auto",
    show_progress: bool = True,
    **settings: Any,
) -> StaticModel:
    """Distil a static model from a sentence transformer.

    Settings are keywords: `distill("all-MiniLM-L6-v2", pca_dims=128, weighting="zipf_log")`. `DistillConfig` lists
    them with their defaults.

    Args:
        model: a name in the asset catalog (`all-MiniLM-L6-v2`), a name on the hub, a folder, or a loaded
            `transformers` model, which needs `tokenizer`.
        revision: commit on the hub; None takes the newest.
        tokenizer: the tokenizer of a loaded model.
        config: all settings in one object, instead of keywords.
        device: torch device of the forward pass; `auto` takes a GPU if there is one.
        show_progress: show progress bars.
        **settings: fields of `DistillConfig`.

    Raises:
        BenchError: naming the wrong setting and what is allowed.
    """
    if config is not None and settings:
        raise BenchError(f"distill: give config=..., or {', '.join(settings)} as keywords, not both")
    recipe = make_recipe(model, config or distill_config(settings), tokenizer=tokenizer, revision=revision)
    return run_recipe(recipe, device=device, show_progress=show_progress).model


def _with_settings(function: Callable[..., StaticModel]) -> inspect.Signature:
    """Return the signature with every setting as a keyword, for `help` and completion."""
    signature = inspect.signature(function)
    declared = signature.parameters.values()
    parameters = [parameter for parameter in declared if parameter.kind is not inspect.Parameter.VAR_KEYWORD]
    parameters += [
        inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.type)
        for field in fields(DistillConfig)
    ]
    return signature.replace(parameters=parameters)


distill.__signature__ = _with_settings(distill)  # type: ignore[attr-defined]


def run_recipe(recipe: Recipe, *, device: str = "auto", show_progress: bool = True) -> Distillation:
    """Compute the static model of a recipe, reusing cached results.

    Args:
        recipe: the model to compute.
        device: torch device of the forward pass; `auto` takes a GPU if there is one.
        show_progress: show progress bars.

    Raises:
        BenchError: for a vocabulary or a device that cannot be used.
    """
    started = time.perf_counter()
    vocabulary = vocabulary_of(recipe)
    _check_size(recipe, vocabulary)
    device = pick_device(device)
    vectors, vectors_key, cached = token_vectors(recipe, vocabulary, device, show_progress)
    forward_done = time.perf_counter()

    tokens = Tokens(len(vectors))
    if recipe.corpus is not None:
        tokens = recipe.corpus.count(vocabulary.tokenizer, len(vectors), show_progress=show_progress)
    weights = _token_weights(recipe, vocabulary, tokens)
    mapping, training = None, None
    if recipe.config.vocabulary_quantization is not None:
        vectors, mapping, vectors_key = _shared_rows(vectors, recipe, vectors_key, show_progress)
    if recipe.config.training:
        training = trained_rows(
            recipe, vocabulary.tokenizer, vectors, weights, device=device, show_progress=show_progress
        )
        rows = training.rows
    else:
        rows = _reduce(vectors, recipe, vectors_key)
        if mapping is None:
            rows = rows * weights.astype(np.float32)[:, None]
    rows = np.asarray(rows, dtype=np.float32)
    check_range(
        rows,
        recipe.config.quantize_to,
        lambda row: f"token {vocabulary.tokens[row]!r}" if mapping is None else f"row {row}",
    )
    model = StaticModel(
        quantize(rows, recipe.config.quantize_to),
        vocabulary.tokenizer,
        normalize=recipe.preset.normalize,
        config=_config(recipe, vocabulary, training),
        weights=None if mapping is None else weights,
        mapping=mapping,
    )
    done = time.perf_counter()
    return Distillation(
        model=model,
        seconds={"forward": forward_done - started, "assemble": done - forward_done},
        forward_cached=cached,
        words=vocabulary.report,
        training=training,
    )


def describe(recipe: Recipe, distillation: Distillation) -> str:
    """Summarize a distillation in one line."""
    model = distillation.model
    tokens = f"{len(model.tokens):,} tokens"
    if model.mapping is not None:
        tokens += f" that share {len(model.table):,} rows"
    source = "forward pass read from the cache" if distillation.forward_cached else "one forward pass"
    return (
        f"{recipe.label}: {tokens} x {model.dims}, {recipe.config.quantize_to}, {model.table.nbytes / 1e6:.0f} MB, "
        f"in {sum(distillation.seconds.values()):.1f} s ({source}; {str(distillation.words) or 'nothing removed'})"
    )


def _token_weights(recipe: Recipe, vocabulary: Vocabulary, tokens: Tokens) -> np.ndarray:
    weights = WEIGHTINGS[recipe.weighting](tokens, recipe.config.sif_coefficient)
    if len(bad := np.flatnonzero(~np.isfinite(weights))):
        raise BenchError(
            f"weighting={recipe.weighting}: the weight of token {vocabulary.tokens[bad[0]]!r} is "
            f"{weights[bad[0]]}, not finite (sif_coefficient={recipe.config.sif_coefficient:g})"
        )
    return weights


_last_vocabulary: dict[str, Vocabulary] = {}


def vocabulary_of(recipe: Recipe) -> Vocabulary:
    """Build the recipe's vocabulary, or return the last one if it is the same, as in most sweeps."""
    revisions = [recipe.base.revision, recipe.words and [recipe.words.revision, recipe.words.subwords]]
    key = content_hash([*revisions, recipe.config.token_remove_pattern, recipe.preset.surgery, recipe.sequence])
    vocabulary = _last_vocabulary.get(key)
    if vocabulary is None:
        vocabulary = build_vocabulary(
            recipe.base.tokenizer,
            recipe.words,
            remove=recipe.config.token_remove_pattern,
            surgery=recipe.preset.surgery,
            sequence=recipe.sequence,
        )
        _last_vocabulary.clear()
        _last_vocabulary[key] = vocabulary
    return vocabulary


def _check_size(recipe: Recipe, vocabulary: Vocabulary) -> None:
    n_tokens, n_words = len(vocabulary.tokens), len(vocabulary.tokens) - vocabulary.n_subwords
    dims, clusters = recipe.config.pca_dims, recipe.config.vocabulary_quantization
    if recipe.words and not recipe.words.subwords and isinstance(dims, int) and dims > n_words:
        raise BenchError(
            f"pca_dims={dims}: only {n_words} words are left of {recipe.words.source} "
            f"({vocabulary.report}); PCA needs at least as many words as dimensions. Set pca_dims=none"
        )
    if clusters is not None and clusters > n_tokens:
        raise BenchError(f"vocabulary_quantization={clusters}: must not exceed the {n_tokens} tokens of the vocabulary")
    n_rows = clusters or n_tokens
    if isinstance(dims, int) and dims >= n_rows:
        subject = f"vocabulary_quantization={clusters} leaves" if clusters else "the vocabulary has"
        raise BenchError(
            f"pca_dims={dims}: {subject} {n_rows} rows, too few for {dims} components; "
            f"allowed: pca_dims from 1 to {n_rows - 1}, or none"
        )


def _shared_rows(
    vectors: np.ndarray, recipe: Recipe, key: Any, show_progress: bool
) -> tuple[np.ndarray, np.ndarray, Any]:
    n_clusters = recipe.config.vocabulary_quantization
    assert n_clusters is not None
    shared_key = {"version": ROTATION_VERSION, "vectors": key, "clusters": n_clusters, "seed": recipe.config.seed}

    def compute(_: Path) -> dict[str, np.ndarray]:
        if show_progress:  # scikit-learn's k-means reports no progress
            notice = f"k-means of {len(vectors):,} tokens into {n_clusters:,} rows, which may take minutes"
            print(notice, file=sys.stderr, flush=True)
        centres, mapping = quantize_vocabulary(np.asarray(vectors), n_clusters, recipe.config.seed)
        return {"centres": centres, "mapping": mapping}

    shared, _ = cached_arrays("clusters", shared_key, compute)
    return shared["centres"], np.array(shared["mapping"]), shared_key


def _reduce(vectors: np.ndarray, recipe: Recipe, vectors_key: Any) -> np.ndarray:
    dims = recipe.config.pca_dims
    if dims == "none":
        return vectors
    key = {"version": ROTATION_VERSION, "vectors": vectors_key}
    if recipe.config.pca_solver == "sklearn" and isinstance(dims, int):
        key |= {"solver": "sklearn", "dims": dims, "seed": recipe.config.seed}
        cut, _ = cached_arrays(
            "rotation", key, lambda _: {"scores": sklearn_scores(np.asarray(vectors), dims, recipe.config.seed)}
        )
        return cut["scores"]
    rotated, _ = cached_arrays("rotation", key, lambda _: rotate(vectors))
    return rotated["scores"][:, : n_components(dims, rotated["variance"])]


def _config(recipe: Recipe, vocabulary: Vocabulary, training: Fit | None) -> dict[str, Any]:
    return {
        "tokenizer_name": recipe.base.name,
        "base_model_name": recipe.base.name,
        "apply_pca": None if recipe.config.pca_dims == "none" else recipe.config.pca_dims,
        "sif_coefficient": recipe.variant.get("sif_coefficient"),
        "pooling": recipe.pooling,
        "dialect": recipe.config.dialect,
        "weighting": recipe.weighting,
        "vocabulary": recipe.vocabulary,
        "revision": recipe.revision,
        "vocabulary_report": asdict(vocabulary.report),
        "recipe": recipe.variant,
        **({} if training is None else {"training": training.summary()}),
    }
