"""The ways in which Model2Vec has been computed, by release."""

from dataclasses import dataclass

from m2v_bench.errors import BenchError


@dataclass(frozen=True)
class Dialect:
    """What a family of model2vec releases computes when nothing else is asked for.

    Attributes:
        pooling: name of the pooling of the token's sequence (`pooling.POOLINGS`).
        weighting: name of the token weighting (`weighting.WEIGHTINGS`).
    """

    pooling: str
    weighting: str


DIALECTS: dict[str, Dialect] = {
    "m2v-0.7": Dialect(pooling="mean", weighting="sif"),
}


def get_dialect(name: str) -> Dialect:
    """The dialect called `name`.

    Raises:
        BenchError: when there is none.
    """
    if name not in DIALECTS:
        raise BenchError(f"dialect.name={name}: unknown dialect; allowed: {', '.join(DIALECTS)}")
    return DIALECTS[name]
