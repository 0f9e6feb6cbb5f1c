"""The models that a distilled one is compared with, by the kind of their config file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from m2v_bench.assets import catalog
from m2v_bench.baselines.bm25 import bm25
from m2v_bench.baselines.bpemb import bpemb
from m2v_bench.baselines.encoder import Encoder, Model
from m2v_bench.baselines.random_vectors import random
from m2v_bench.baselines.sentence_transformer import sentence_transformer, teacher
from m2v_bench.baselines.static import static, wordllama
from m2v_bench.baselines.vectors import vectors
from m2v_bench.distillation.base import BaseModel
from m2v_bench.errors import BenchError, did_you_mean
from m2v_bench.schema import BaselineConfig

__all__ = ["KINDS", "Encoder", "Model", "baseline_assets", "check_baselines", "distinct", "load_baselines"]


@dataclass(frozen=True)
class Kind:
    """A kind of baseline: how one is made, and the settings that it must and may have beside `kind`."""

    make: Callable[[str, BaselineConfig], Model] | None
    must: tuple[str, ...] = ()
    may: tuple[str, ...] = ()


# `teacher` is made of the run's base model, every other one of its own settings
KINDS = {
    "teacher": Kind(None),
    "sentence_transformer": Kind(sentence_transformer, must=("name",), may=("revision", "label")),
    "static": Kind(static, must=("name",), may=("revision", "label")),
    "vectors": Kind(vectors, must=("name",), may=("label",)),
    "wordllama": Kind(wordllama, must=("name",), may=("label",)),
    "bpemb": Kind(bpemb, must=("name",), may=("label",)),
    "random": Kind(random, may=("dims", "label")),
    "bm25": Kind(bm25, may=("label",)),
}
_MOST_DIMS = 65_536


def check_baselines(baselines: Mapping[str, BaselineConfig]) -> None:
    """Refuse settings that no kind has, before anything is loaded.

    Raises:
        BenchError: naming the setting, its value and what is allowed.
    """
    for key, config in baselines.items():
        setting = f"baselines.{key}"
        kind = KINDS.get(config.kind)
        if kind is None:
            near = did_you_mean(config.kind, KINDS)
            raise BenchError(f"{setting}.kind={config.kind}: unknown.{near} Allowed: {', '.join(KINDS)}")
        for name in ("name", "revision", "label", "dims"):
            value = getattr(config, name)
            if value is None and name in kind.must:
                raise BenchError(f"{setting}.{name} is not set; a baseline with kind={config.kind} needs it")
            if value is not None and name not in (*kind.must, *kind.may):
                raise BenchError(f"{setting}.{name}={value}: kind={config.kind} has no such setting; leave it null")
        if config.dims is not None and not 1 <= config.dims <= _MOST_DIMS:
            raise BenchError(f"{setting}.dims={config.dims}: must lie between 1 and {_MOST_DIMS}")


def baseline_assets(baselines: Mapping[str, BaselineConfig]) -> list[str]:
    """The assets that the baselines need, for `assets.fetch`."""
    return [config.name for config in baselines.values() if config.name in catalog()]


def load_baselines(baselines: Mapping[str, BaselineConfig], base: BaseModel) -> list[Model]:
    """The baselines in their order; `teacher` is the base model of the run.

    Raises:
        BenchError: when a model, a file or a package that one needs is not there.
    """
    check_baselines(baselines)
    made = []
    for key, config in baselines.items():
        make = KINDS[config.kind].make
        made.append(teacher(base) if make is None else make(key, config))
    return made


def distinct(models: Sequence[Model]) -> list[Model]:
    """The models without those that come twice.

    Raises:
        BenchError: when two models have one label, by which tables and plots know them.
    """
    kept: dict[tuple[str, str, str], Model] = {}
    for model in models:
        kept.setdefault((model.name, model.revision, str(model.variant)), model)
    labels = [model.label for model in kept.values()]
    if twice := next((label for label in labels if labels.count(label) > 1), None):
        names = " and ".join(model.name for model in kept.values() if model.label == twice)
        raise BenchError(f"{names} are both called {twice}; call one otherwise with baselines.NAME.label=LABEL")
    return list(kept.values())
