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


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'm2v_bench' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
