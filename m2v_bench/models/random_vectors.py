"""A floor: what a model scores that knows nothing of its texts but which of them are equal."""

import hashlib
from collections.abc import Sequence

import numpy as np

from m2v_bench.cache import content_hash
from m2v_bench.config.schema import BaselineConfig
from m2v_bench.models.model import Model

DIMS = 256
_VERSION = 1  # raise it when a text gets another vector


class RandomEncoder:
    """Each text gets a direction of its own, drawn from the uniform distribution over the unit sphere."""

    def __init__(self, dims: int) -> None:
        self.dims = dims

    def encode(self, texts: Sequence[str], *, batch_size: int, prompt: str | None = None) -> np.ndarray:
        """See `Encoder.encode`; a text's vector depends on its characters alone, in every process and batch."""
        from scipy.special import ndtri

        embeddings = np.empty((len(texts), self.dims), dtype=np.float32)
        for row, text in enumerate(texts):
            # SHAKE-256's bytes as uniform numbers, made normal: no generator whose stream a release might change
            digest = hashlib.shake_256(text.encode("utf-8", "surrogatepass")).digest(4 * self.dims)
            normal = ndtri((np.frombuffer(digest, dtype="<u4") + 0.5) / 2**32)
            embeddings[row] = normal / np.linalg.norm(normal)
        return embeddings


def random(key: str, config: BaselineConfig) -> Model:
    """A random vector per text, as mteb's random baseline gives."""
    dims = config.dims or DIMS
    return Model(
        name=f"m2v_bench/random-{dims}d",
        revision=content_hash([_VERSION, dims]),
        label=config.label or key,
        kind="static",
        dims=dims,
        n_parameters=0,
        bytes_on_disk=0,
        load=lambda device: RandomEncoder(dims),
    )
