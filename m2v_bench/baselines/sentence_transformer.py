import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from m2v_bench.assets import ModelFolder
from m2v_bench.baselines.encoder import Model
from m2v_bench.cache import folder_bytes
from m2v_bench.errors import BenchError


class SentenceTransformerEncoder:
    """A sentence-transformers model as an `Encoder`."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def encode(self, texts: Sequence[str], *, batch_size: int, prompt: str | None = None) -> np.ndarray:
        """See `Encoder.encode`."""
        return np.asarray(
            self.model.encode(list(texts), batch_size=batch_size, prompt=prompt, show_progress_bar=False),
            dtype=np.float32,
        )


def teacher(base: ModelFolder, *, device: str) -> Model:
    """The base model itself, as the transformer that its students are measured against."""

    def load() -> SentenceTransformerEncoder:
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging as transformers_logging

        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        return SentenceTransformerEncoder(SentenceTransformer(str(base.path), device=device))

    config = _json(base.path / "config.json")
    weights = sorted(base.path.glob("*.safetensors"))
    if not weights:
        raise BenchError(
            f"base_model: {base.path} has no .safetensors weights; convert the model with transformers' save_pretrained"
        )
    prompts = _json(base.path / "config_sentence_transformers.json").get("prompts") or {}
    return Model(
        name=base.name,
        revision=base.revision,
        label=base.name.rsplit("/", 1)[-1],
        kind="transformer",
        dims=int(config.get("hidden_size", 0)),
        n_parameters=sum(_n_parameters(path) for path in weights),
        bytes_on_disk=folder_bytes(base.path),
        load=load,
        prompts={name: text for name, text in prompts.items() if text},
    )


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _n_parameters(path: Path) -> int:
    """Numbers of floating point in a safetensors file, counted from its header alone."""
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        slices = [file.get_slice(name) for name in file.keys()]  # noqa: SIM118 - not a dict
        return sum(math.prod(part.get_shape()) for part in slices if part.get_dtype().startswith(("F", "BF")))
