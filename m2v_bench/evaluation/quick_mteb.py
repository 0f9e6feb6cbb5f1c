"""Let mteb use the data structures of this package while it scores."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from m2v_bench.evaluation.columns import Columns
from m2v_bench.evaluation.dense_search import DenseSearch


def sanitized(model: Any) -> tuple[Any, Any, Any, Any]:
    """Return what `mteb.evaluate._sanitize_model` does for a model with metadata, without sentence-transformers.

    That import takes seconds in every process, also for models that do not use it.
    """
    meta = model.mteb_model_meta
    return model, meta, meta.name, meta.revision


# (module of mteb 2.26, name in it, what it is while scoring); subclasses where mteb makes datasets from lists, and
# where it searches.
REPLACED = (
    ("mteb.abstasks.clustering_legacy", "Dataset", Columns),
    ("mteb.abstasks.pair_classification", "Dataset", Columns),
    ("mteb.abstasks.retrieval", "SearchEncoderWrapper", DenseSearch),
    ("mteb.evaluate", "_sanitize_model", sanitized),
)


@contextmanager
def quick_mteb() -> Iterator[None]:
    """Replace names in mteb's modules by others that give the same numbers."""
    modules = [importlib.import_module(module) for module, _, _ in REPLACED]
    before = [getattr(module, name) for module, (_, name, _) in zip(modules, REPLACED, strict=True)]
    try:
        for module, (_, name, quick) in zip(modules, REPLACED, strict=True):
            setattr(module, name, quick)
        yield
    finally:
        for module, (_, name, _), original in zip(modules, REPLACED, before, strict=True):
            setattr(module, name, original)
