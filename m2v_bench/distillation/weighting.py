"""Token weights: factors of the tokens' rows after PCA.

A weighting is a pure function (tokens, coefficient) -> weights, float64 of shape (tokens,), registered by the decorator
under the function's name.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from m2v_bench.cache import content_hash, file_sha256


@dataclass(frozen=True)
class Tokens:
    """Input of a weighting. Tokens are in frequency order, so a token's index is its rank (Zipf's law).

    Attributes:
        n: number of tokens.
        counts: int64 (tokens,), occurrences in the corpus; empty without a corpus.
        documents: int64 (tokens,), documents of the corpus that contain the token; empty without a corpus.
        n_documents: documents in the corpus.
    """

    n: int
    counts: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    documents: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    n_documents: int = 0


@dataclass(frozen=True)
class Weighting:
    """A weighting, and whether it uses the coefficient and the corpus.

    `revision` is a hash of the code around a function from outside this module, so that a changed one makes another
    model; None for the weightings here.
    """

    function: Callable[[Tokens, float], np.ndarray]
    uses_coefficient: bool
    uses_corpus: bool
    revision: str | None = None

    def __call__(self, tokens: Tokens, coefficient: float) -> np.ndarray:
        """Return the weights, float64 of shape (tokens,)."""
        return self.function(tokens, coefficient)


WEIGHTINGS: dict[str, Weighting] = {}

_Function = Callable[[Tokens, float], np.ndarray]


def weighting(*, coefficient: bool = False, corpus: bool = False) -> Callable[[_Function], _Function]:
    """Register a function as a weighting under its name.

    Args:
        coefficient: whether it uses `sif_coefficient`.
        corpus: whether it uses counts, hence needs `corpus`.
    """

    def register(function: _Function) -> _Function:
        revision = None if function.__module__ == __name__ else _revision(function)
        WEIGHTINGS[function.__name__] = Weighting(function, coefficient, corpus, revision)
        return function

    return register


def _revision(function: _Function) -> str:
    """Hash the source of a function's module, which has what it calls; else its own source or compiled code."""
    module = inspect.getmodule(function)
    if module is not None and getattr(module, "__file__", None):
        return file_sha256(Path(str(module.__file__)))[:16]
    try:
        return content_hash(inspect.getsource(function))
    except OSError:
        code = function.__code__
        return content_hash([code.co_code.hex(), repr(code.co_consts), code.co_names])


@weighting()
def none(tokens: Tokens, coefficient: float) -> np.ndarray:
    """Return 1 for every token."""
    return np.ones(tokens.n)


@weighting()
def zipf_log(tokens: Tokens, coefficient: float) -> np.ndarray:
    """Return log(rank), ranks from 1: the weight of Model2Vec 0.1 (2024-09); the first token gets 0."""
    return np.log(np.arange(1, tokens.n + 1))


@weighting(coefficient=True)
def sif(tokens: Tokens, coefficient: float) -> np.ndarray:
    """Return the smooth inverse frequency a / (a + p) (Arora et al., 2017), p by Zipf's law with ranks from 2.

    The weight of Model2Vec since 0.3.9, with a = 1e-4.
    """
    frequency = 1 / np.arange(2, tokens.n + 2)
    return coefficient / (coefficient + frequency / frequency.sum())


@weighting(coefficient=True, corpus=True)
def sif_counts(tokens: Tokens, coefficient: float) -> np.ndarray:
    """Return the smooth inverse frequency a / (a + p) (Arora et al., 2017), p from corpus counts; 1 where unseen."""
    return coefficient / (coefficient + tokens.counts / max(int(tokens.counts.sum()), 1))


@weighting(corpus=True)
def idf(tokens: Tokens, coefficient: float) -> np.ndarray:
    """Return log((1 + N) / (1 + n)) + 1 for a token in n of N documents.

    This is the smooth inverse document frequency of scikit-learn's `TfidfTransformer` (after Sparck Jones, 1972).
    """
    return np.log((1 + tokens.n_documents) / (1 + tokens.documents)) + 1
