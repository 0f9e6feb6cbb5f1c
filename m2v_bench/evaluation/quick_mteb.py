"""Replace slow parts of mteb with faster ones while it scores."""

import functools
import importlib
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import mteb
from mteb.cache.result_cache import _get_package_versions
from sklearn import config_context

from m2v_bench.evaluation.columns import Columns
from m2v_bench.evaluation.dense_search import DenseSearch
from m2v_bench.evaluation.quick_metrics import (
    auc,
    classification_metrics,
    deprecated_summary_metrics,
    pair_metrics,
    summary_metrics,
)
from m2v_bench.evaluation.rank_metrics import RankEvaluator, confidence_scores, mrr
from m2v_bench.system.threads import one_blas_thread

_SUMMARIES = "mteb._evaluators.text.summarization_evaluator"


def sanitized(model: Any) -> tuple[Any, Any, Any, Any]:
    """Return what `mteb.evaluate._sanitize_model` does for a model with metadata, without sentence-transformers.

    That import takes seconds in every process, also for models that do not use it.
    """
    meta = model.mteb_model_meta
    return model, meta, meta.name, meta.revision


# mteb looks the versions up for every result; here they are looked up once.
package_versions = functools.cache(_get_package_versions)


class _Distribution:
    """The installed mteb; `importlib.metadata` parses its metadata again whenever the version is read."""

    version = mteb.__version__


# (module of mteb 2.26, name in it, what it is while scoring)
REPLACED = (
    ("mteb.abstasks.clustering_legacy", "Dataset", Columns),  # these two make datasets from lists
    ("mteb.abstasks.pair_classification", "Dataset", Columns),
    ("mteb.abstasks.retrieval", "SearchEncoderWrapper", DenseSearch),
    ("mteb.evaluate", "_sanitize_model", sanitized),
    ("mteb.cache.result_cache", "_get_package_versions", package_versions),
    ("mteb.results.task_result", "_mteb_distribution", _Distribution),
    ("mteb.abstasks.classification", "AbsTaskClassification._calculate_scores", classification_metrics),
    ("mteb.abstasks.pair_classification", "AbsTaskPairClassification._compute_metrics_values", pair_metrics),
    ("mteb._evaluators.retrieval_metrics", "auc", auc),
    ("mteb._evaluators.retrieval_metrics", "mrr", mrr),
    ("mteb._evaluators.retrieval_metrics", "confidence_scores", confidence_scores),
    ("pytrec_eval", "RelevanceEvaluator", RankEvaluator),
    (_SUMMARIES, "SummarizationEvaluator._calculate_metrics", summary_metrics),
    (_SUMMARIES, "DeprecatedSummarizationEvaluator._calculate_metrics", deprecated_summary_metrics),
)


_lock = threading.Lock()
_users = [0]  # contexts that are open
_originals: dict[tuple[str, str], Any] = {}
_limits = ExitStack()


@contextmanager
def quick_mteb() -> Iterator[None]:
    """Replace names in mteb's modules with others that give the same numbers, until the last user leaves.

    scikit-learn does not check parameters meanwhile: mteb's are right, and the checks take longer than some metrics.
    BLAS has one thread (`one_blas_thread`).
    """
    with _lock:
        if not _users[0]:
            for module, name, quick in REPLACED:
                owner, attribute = place(module, name)
                _originals[module, name] = getattr(owner, attribute)
                setattr(owner, attribute, quick)
            _limits.enter_context(one_blas_thread())
        _users[0] += 1
    try:
        with config_context(skip_parameter_validation=True):
            yield
    finally:
        with _lock:
            _users[0] -= 1
            if not _users[0]:
                _limits.close()
                for (module, name), original in _originals.items():
                    owner, attribute = place(module, name)
                    setattr(owner, attribute, original)


def place(module: str, name: str) -> tuple[Any, str]:
    """Return the object that has an attribute, which is a name in a module or `CLASS.METHOD`, and the attribute."""
    *classes, attribute = name.split(".")
    owner: Any = importlib.import_module(module)
    for part in classes:
        owner = getattr(owner, part)
    return owner, attribute
