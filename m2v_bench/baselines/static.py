"""Static models as `Model`s under test: our own, and WordLlama, which is one in all but name."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from m2v_bench.assets import catalog, fetch
from m2v_bench.baselines.encoder import Model
from m2v_bench.cache import folder_bytes, folder_hash
from m2v_bench.inference.static_model import DEFAULT_MAX_LENGTH, StaticModel


class StaticEncoder:
    """A `StaticModel` as an `Encoder`."""

    def __init__(self, model: StaticModel, max_length: int | None = DEFAULT_MAX_LENGTH) -> None:
        self.model = model
        self.max_length = max_length

    def encode(self, texts: Sequence[str], *, batch_size: int, prompt: str | None = None) -> np.ndarray:
        """See `Encoder.encode`; `batch_size` and `prompt` mean nothing to a static model."""
        return self.model.encode(texts, max_length=self.max_length)


def distilled(
    model: StaticModel, folder: Path, *, name: str, revision: str, label: str, variant: Mapping[str, Any]
) -> Model:
    """A static model of ours that was saved to `folder`."""
    return Model(
        name=name,
        revision=revision,
        label=label,
        kind="static",
        dims=model.dims,
        n_parameters=model.n_parameters,
        bytes_on_disk=folder_bytes(folder),
        load=lambda device: StaticEncoder(model),
        variant=variant,
    )


def wordllama(name: str, label: str) -> Model:
    """WordLlama (Miller, 2024): token rows taken from a language model and trained on, averaged.

    Its encoder is the plain mean without normalization or a longest input, hence a `StaticModel`; the
    embeddings are those of the `wordllama` package.
    """
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    folder = fetch([name])[name]
    table = load_file(folder / "model.safetensors")["embedding.weight"]

    def load(device: str) -> StaticEncoder:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        return StaticEncoder(StaticModel(table, tokenizer, normalize=False), max_length=None)

    return Model(
        name=str(catalog()[name].model_name),
        revision=folder_hash(folder),
        label=label,
        kind="static",
        dims=table.shape[1],
        n_parameters=table.size,
        bytes_on_disk=folder_bytes(folder),
        load=load,
    )
