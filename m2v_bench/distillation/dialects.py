"""Dialects: the variants of the method in successive Model2Vec releases."""

from dataclasses import dataclass

from m2v_bench.errors import BenchError


@dataclass(frozen=True)
class Dialect:
    """Defaults of a family of model2vec releases.

    Attributes:
        surgery: conversion of the base tokenizer to the static model's (`vocabulary.SURGERIES`).
        sequence: `template` feeds a token as the tokenizer would; `swapped` exchanges the first and the last special
            token, which scored better in those releases. Words always follow the template.
        pooling: pooling of a token's sequence (`pooling.POOLINGS`).
        word_pooling: pooling of a word's sequence.
        masks_padding: whether attention and mean exclude the padding token, even in the padding token's sequence.
        solver: PCA solver (`pca.SOLVERS`).
        weighting: token weighting (`weighting.WEIGHTINGS`).
        normalize: whether the model divides embeddings by their norm.
    """

    surgery: str
    sequence: str
    pooling: str
    word_pooling: str
    masks_padding: bool
    solver: str
    weighting: str
    normalize: bool


SEQUENCES = ("template", "swapped")

# Read from the code at model2vec's release tags.
DIALECTS: dict[str, Dialect] = {
    "m2v-0.1": Dialect("extended", "swapped", "token", "token", False, "sklearn", "zipf_log", False),
    "m2v-0.3.8": Dialect("extended", "swapped", "mean", "token", False, "full", "zipf_log", False),
    "m2v-0.3.9": Dialect("extended", "swapped", "mean", "token", False, "full", "sif", True),
    "m2v-0.5": Dialect("unigram", "template", "mean", "mean", True, "full", "sif", True),
    "m2v-0.7": Dialect("pruned", "template", "mean", "mean", False, "full", "sif", True),
}


def get_dialect(name: str) -> Dialect:
    """Return the dialect called `name`.

    Raises:
        BenchError: for an unknown name.
    """
    if name not in DIALECTS:
        raise BenchError(f"dialect={name}: unknown dialect; allowed: {', '.join(DIALECTS)}")
    return DIALECTS[name]
