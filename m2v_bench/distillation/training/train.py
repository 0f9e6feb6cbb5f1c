"""Train the rows of a static model on its teacher's embeddings of whole texts, after tokenlearn (Minish Lab, 2024)."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from m2v_bench.cache import cached_arrays
from m2v_bench.distillation.pca import n_components, principal_axes, project, rotate
from m2v_bench.distillation.recipe import Recipe
from m2v_bench.distillation.teacher import find_base
from m2v_bench.distillation.token_vectors import pick_device
from m2v_bench.distillation.training.fit import Fit, fit
from m2v_bench.distillation.training.text_vectors import TEXT_VECTORS_VERSION, text_vectors
from m2v_bench.distillation.training.training_config import TrainingConfig, training_config
from m2v_bench.distillation.training.training_texts import TrainingTexts, training_corpora
from m2v_bench.distillation.weighting import WEIGHTINGS, Tokens
from m2v_bench.errors import BenchError
from m2v_bench.inference.static_model import StaticModel

STAGE = "training"


def train(
    model: StaticModel,
    teacher: Any,
    training: TrainingConfig | dict[str, Any],
    *,
    seed: int = 42,
    device: str = "auto",
    show_progress: bool = True,
) -> StaticModel:
    """Train a static model on a teacher's embeddings of texts.

    The targets are reduced to the model's dimensions by PCA and rotated onto its embeddings of the same texts, so that
    training starts near its goal. To train while distilling, give `training` to `distill`.

    Args:
        model: a model with a row per token, such as `distill` returns or `from_pretrained` loads.
        teacher: the sentence transformer, as in `distill`.
        training: the settings, at least `corpus`.
        seed: of the order of the texts.
        device: torch device; `auto` takes a GPU if there is one.
        show_progress: show progress bars.

    Raises:
        BenchError: naming the wrong setting and what is allowed.
    """
    config = training_config(training).resolved()
    if model.mapping is not None:
        raise BenchError("train: this model's tokens share rows; give one with a row per token")
    if not config:
        return model
    device = pick_device(device)
    corpora = training_corpora(config)
    texts = TrainingTexts.read(
        model.tokenizer, corpora, config, max_length=model.max_length, rules=model.rules, show_progress=show_progress
    )
    targets = text_vectors(find_base(teacher), texts.texts, config.target, device=device, show_progress=show_progress)
    targets = targets[texts.known]
    if targets.shape[1] < model.dims:
        raise BenchError(f"train: the teacher has {targets.shape[1]} dimensions, too few for the model's {model.dims}")
    rows = model.table.astype(np.float32)
    if model.weights is not None:
        rows = rows * model.weights.astype(np.float32)[:, None]
    targets = project(targets, principal_axes(targets)[0][:, : model.dims])
    left, _, right = np.linalg.svd(targets.T @ texts.means(rows))
    result = fit(
        rows, texts.bags, targets @ (left @ right), config, seed=seed, device=device, show_progress=show_progress
    )
    _warn(result, config)
    trained = StaticModel(
        finish(result.rows, config, texts.counts(len(rows))),
        model.tokenizer,
        normalize=model.normalize,
        max_length=model.max_length,
        config={**model.config, "training": result.summary()},
        rules=model.rules,
    )
    trained.config.pop("revision", None)
    return trained


def trained_rows(
    recipe: Recipe,
    tokenizer: Tokenizer,
    vectors: np.ndarray,
    weights: np.ndarray,
    *,
    device: str,
    show_progress: bool,
) -> Fit:
    """Reduce token vectors to the principal axes of the teacher's embeddings of texts, weight and train them.

    Rows and targets share their axes, so that training starts near its goal. The result is cached.

    Args:
        recipe: the model to train.
        tokenizer: the static model's tokenizer.
        vectors: float32 of shape (tokens, hidden).
        weights: a factor per token, shape (tokens,).
        device: torch device.
        show_progress: show progress bars.

    Raises:
        BenchError: for a corpus or a teacher that cannot be used.
    """
    config, base, dims = recipe.config.training, recipe.base, recipe.config.pca_dims

    def compute(unfinished: Path) -> dict[str, np.ndarray]:
        texts = TrainingTexts.read(tokenizer, recipe.training_corpora, config, show_progress=show_progress)
        targets = text_vectors(base, texts.texts, config.target, device=device, show_progress=show_progress)
        targets = targets[texts.known]
        if targets.shape[1] != vectors.shape[1]:
            raise BenchError(
                f"training.target={config.target}: {base.name} embeds texts in {targets.shape[1]} dimensions but "
                f"tokens in {vectors.shape[1]}; set training.target=tokens"
            )
        axes, variance = principal_axes(targets)
        axes = axes[:, : n_components("auto" if dims == "none" else dims, variance)]
        rows = project(vectors, axes) * weights.astype(np.float32)[:, None]
        targets = project(targets, axes)
        if config.loss == "mse":  # the other losses ignore the length of a vector
            means = texts.means(rows)
            rows *= np.float32((means * targets).sum() / np.square(means).sum())
        result = fit(
            rows,
            texts.bags,
            targets,
            config,
            seed=recipe.config.seed,
            device=device,
            unfinished=unfinished,
            show_progress=show_progress,
        )
        finished = finish(result.rows, config, texts.counts(len(rows)), recipe.config.sif_coefficient)
        losses = {"losses": np.array(result.losses), "held_out": np.array(result.held_out)}
        return {"rows": finished, **losses, "best_and_texts": np.array([result.best, result.texts])}

    untyped = recipe.with_settings(quantize_to="float32")  # the type of the saved rows changes nothing here
    key = {"recipe": untyped.revision, "text_vectors": TEXT_VECTORS_VERSION}
    arrays, _ = cached_arrays(STAGE, key, compute)
    best, n_texts = (int(value) for value in arrays["best_and_texts"])
    result = Fit(arrays["rows"], arrays["losses"].tolist(), arrays["held_out"].tolist(), best, n_texts)
    _warn(result, config)
    return result


def finish(rows: np.ndarray, config: TrainingConfig, counts: np.ndarray, sif_coefficient: float = 1e-4) -> np.ndarray:
    """Return the rows after the step that `config.finish` names, float32 of shape (tokens, dims).

    Args:
        rows: trained rows.
        config: settings of the training.
        counts: how often each token occurs in the texts, shape (tokens,).
        sif_coefficient: coefficient a of the SIF weights.
    """
    if config.finish == "none":
        return rows
    weights = WEIGHTINGS["sif_counts"](Tokens(len(rows), counts), sif_coefficient)
    return rotate(rows)["scores"] * weights.astype(np.float32)[:, None]


def _warn(result: Fit, config: TrainingConfig) -> None:
    kept = "the distilled rows are kept" if not result.best else f"the rows of epoch {result.best} are kept"
    if result.diverged:
        warnings.warn(
            f"training.learning_rate={config.learning_rate:g}: training diverged after epoch {len(result.losses)} "
            f"(held-out loss {result.held_out[-1]:.4g}, {result.held_out[0]:.4g} before training), so it stopped; "
            f"{kept}. Set a smaller training.learning_rate",
            stacklevel=2,
        )
    elif not result.best:
        warnings.warn(f"training lowered the held-out loss in no epoch; {kept}", stacklevel=2)
