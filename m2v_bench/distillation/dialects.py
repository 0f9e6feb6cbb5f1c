"""The ways in which Model2Vec has been computed, by release."""

from dataclasses import dataclass

from m2v_bench.errors import BenchError


@dataclass(frozen=True)
class Dialect:
    """What a family of model2vec releases computes when nothing else is asked for.

    Attributes:
        surgery: how the base tokenizer is made into one of rows (`surgery.SURGERIES`).
        sequence: `template` feeds a token as the tokenizer would; `swapped` puts the last special token first
            and the first one last, as it scored better then. Words are always fed by the template.
        pooling: pooling of a token's sequence (`pooling.POOLINGS`).
        word_pooling: pooling of a word's sequence.
        masks_padding: whether attention and mean leave out the padding token, also in its own sequence.
        solver: PCA solver (`reduction.SOLVERS`).
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

# Read at the release tags of model2vec.
DIALECTS: dict[str, Dialect] = {
    "m2v-0.1": Dialect("extended", "swapped", "token", "token", False, "sklearn", "zipf_log", False),
    "m2v-0.3.8": Dialect("extended", "swapped", "mean", "token", False, "full", "zipf_log", False),
    "m2v-0.3.9": Dialect("extended", "swapped", "mean", "token", False, "full", "sif", True),
    "m2v-0.5": Dialect("unigram", "template", "mean", "mean", True, "full", "sif", True),
    "m2v-0.7": Dialect("pruned", "template", "mean", "mean", False, "full", "sif", True),
}


def get_dialect(name: str) -> Dialect:
    """The dialect called `name`.

    Raises:
        BenchError: when there is none.
    """
    if name not in DIALECTS:
        raise BenchError(f"dialect={name}: unknown dialect; allowed: {', '.join(DIALECTS)}")
    return DIALECTS[name]
