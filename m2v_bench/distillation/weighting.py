"""Token weights, by which a token's row is multiplied after PCA.

A weighting is a pure function (number of tokens, coefficient) -> weights, float64 of shape (tokens,). Tokens
are in frequency order, so a token's index stands in for its frequency (Zipf's law).
"""

from collections.abc import Callable

import numpy as np

Weighting = Callable[[int, float], np.ndarray]


def none(n_tokens: int, coefficient: float) -> np.ndarray:
    """Weight one for every token."""
    return np.ones(n_tokens)


def zipf_log(n_tokens: int, coefficient: float) -> np.ndarray:
    """log(rank), ranks from 1: the weight of Model2Vec 0.1 (2024-09); the first token gets weight 0."""
    return np.log(np.arange(1, n_tokens + 1))


def sif(n_tokens: int, coefficient: float) -> np.ndarray:
    """Smooth inverse frequency a / (a + p) (Arora et al., 2017), p by Zipf's law with ranks from 2.

    Model2Vec uses it since 0.3.9, with a = 1e-4.
    """
    frequency = 1 / np.arange(2, n_tokens + 2)
    return coefficient / (coefficient + frequency / frequency.sum())


WEIGHTINGS: dict[str, Weighting] = {"none": none, "zipf_log": zipf_log, "sif": sif}
