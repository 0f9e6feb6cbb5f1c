"""Distil static embedding models from sentence transformers, evaluate and compare them."""

from typing import TYPE_CHECKING, Any

from m2v_bench.system.version import __version__

if TYPE_CHECKING:
    from m2v_bench.distillation.distill import distill
    from m2v_bench.distillation.training.train import train
    from m2v_bench.distillation.training.training_config import TrainingConfig
    from m2v_bench.inference.static_embedder import StaticEmbedder
    from m2v_bench.inference.static_model import StaticModel

__all__ = ["StaticEmbedder", "StaticModel", "TrainingConfig", "__version__", "distill", "train"]

# Imported lazily, so that importing the package is instant: torch, scikit-learn, mteb and mlflow load on first use.
_MODULES = {
    "StaticEmbedder": "m2v_bench.inference.static_embedder",
    "StaticModel": "m2v_bench.inference.static_model",
    "TrainingConfig": "m2v_bench.distillation.training.training_config",
    "distill": "m2v_bench.distillation.distill",
    "train": "m2v_bench.distillation.training.train",
}

# packages of extras, so that a missing one is reported when the name is imported
_NEEDS = {
    "StaticEmbedder": ("sklearn",),
    "distill": ("torch", "transformers", "sklearn"),
    "train": ("torch", "transformers", "sklearn"),
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'm2v_bench' has no attribute {name!r}")
    import importlib

    try:
        for needed in _NEEDS.get(name, ()):
            importlib.import_module(needed)
        return getattr(importlib.import_module(_MODULES[name]), name)
    except ModuleNotFoundError as error:
        from m2v_bench.system.packages import missing_extra

        if (message := missing_extra(error)) is None:
            raise
        raise ModuleNotFoundError(f"{name}: {message}", name=error.name) from None


def __dir__() -> list[str]:
    return sorted(__all__)
