"""Random baseline: one random vector per distinct text."""

import hashlib
from collections.abc import Sequence

import numpy as np

from m2v_bench.cache import content_hash
from m2v_bench.config.schema import BaselineConfig
from m2v_bench.models.model import Model

DIMS = 256
_VERSION = 1  # increment when a text gets a different vector


class RandomEncoder:
    """Assign each text a direction from the uniform distribution on the unit sphere."""

    def __init__(self, dims: int) -> None:
        self.dims = dims

    def encode(self, texts: Sequence[str], *, batch_size: int, prompt: str | None = None) -> np.ndarray:
        """See `Encoder.encode`; a text's vector depends only on its characters, not on process or batch."""
        from scipy.special import ndtri

        embeddings = np.empty((len(texts), self.dims), dtype=np.float32)
        for row, text in enumerate(texts):
            # SHAKE-256 bytes as uniform numbers, mapped to normal: unlike a generator's stream, stable across releases
            digest = hashlib.shake_256(text.encode("utf-8", "surrogatepass")).digest(4 * self.dims)
            normal = ndtri((np.frombuffer(digest, dtype="<u4") + 0.5) / 2**32)
            embeddings[row] = normal / np.linalg.norm(normal)
        return embeddings


def random(key: str, config: BaselineConfig) -> Model:
    """Return a model with a random vector per text, like mteb's random baseline."""
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
