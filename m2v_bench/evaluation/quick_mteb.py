"""Let mteb use the data structures of this package while it scores."""

import importlib
import threading
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


_lock = threading.Lock()
_users = [0]  # contexts that are open
_originals: dict[tuple[str, str], Any] = {}


@contextmanager
def quick_mteb() -> Iterator[None]:
    """Replace names in mteb's modules by others that give the same numbers, until the last user leaves."""
    with _lock:
        if not _users[0]:
            for module, name, quick in REPLACED:
                _originals[module, name] = getattr(importlib.import_module(module), name)
                setattr(importlib.import_module(module), name, quick)
        _users[0] += 1
    try:
        yield
    finally:
        with _lock:
            _users[0] -= 1
            if not _users[0]:
                for (module, name), original in _originals.items():
                    setattr(importlib.import_module(module), name, original)
