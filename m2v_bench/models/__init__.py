"""Find the models of a run: base model, the model to distil, and the baselines it is compared with."""

from collections.abc import Callable, Mapping, Sequence

from m2v_bench.assets.fetch import catalog
from m2v_bench.config.check import check_baselines
from m2v_bench.config.schema import BaselineConfig, Config
from m2v_bench.distillation.recipe import Recipe, make_recipe
from m2v_bench.distillation.teacher import BaseModel, find_base
from m2v_bench.errors import BenchError
from m2v_bench.models.bm25 import bm25
from m2v_bench.models.bpemb import bpemb
from m2v_bench.models.model import Encoder, Model
from m2v_bench.models.random_vectors import random
from m2v_bench.models.sentence_transformer import sentence_transformer, teacher
from m2v_bench.models.static import static, wordllama
from m2v_bench.models.word_vectors import vectors

__all__ = ["MAKERS", "Encoder", "Model", "base_of", "baseline_assets", "distinct", "load_baselines", "recipe_of"]


# Kind -> function (key, settings) -> model; `teacher` takes the run's base model instead.
MAKERS: dict[str, Callable[[str, BaselineConfig], Model]] = {
    "sentence_transformer": sentence_transformer,
    "static": static,
    "vectors": vectors,
    "wordllama": wordllama,
    "bpemb": bpemb,
    "random": random,
    "bm25": bm25,
}


def base_of(settings: Config) -> BaseModel:
    """Return the base model that the settings name."""
    return find_base(settings.base_model.name, revision=settings.base_model.revision)


def recipe_of(settings: Config) -> Recipe:
    """Return the model that the settings distil."""
    return make_recipe(settings.base_model.name, settings.distillation, revision=settings.base_model.revision)


def baseline_assets(baselines: Mapping[str, BaselineConfig]) -> list[str]:
    """Return the names of the catalog assets that the baselines need."""
    return [config.name for config in baselines.values() if config.name in catalog()]


def load_baselines(baselines: Mapping[str, BaselineConfig], base: BaseModel) -> list[Model]:
    """Load the baselines in order; `teacher` is the run's base model.

    Raises:
        BenchError: when a required model, file or package is missing.
    """
    check_baselines(baselines)
    return [
        teacher(base) if config.kind == "teacher" else MAKERS[config.kind](key, config)
        for key, config in baselines.items()
    ]


def distinct(models: Sequence[Model]) -> list[Model]:
    """Drop duplicate models.

    Raises:
        BenchError: when two models share a label, which tables and plots need to be unique.
    """
    kept: dict[tuple[str, str, str], Model] = {}
    for model in models:
        kept.setdefault((model.name, model.revision, str(model.variant)), model)
    labels = [model.label for model in kept.values()]
    if twice := next((label for label in labels if labels.count(label) > 1), None):
        names = " and ".join(model.name for model in kept.values() if model.label == twice)
        raise BenchError(f"{names} are both called {twice}; rename one with baselines.NAME.label=LABEL")
    return list(kept.values())
