import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from m2v_bench.assets import MODEL_FILES
from m2v_bench.baselines.encoder import Model
from m2v_bench.cache import folder_bytes
from m2v_bench.distillation.base import BaseModel
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


def teacher(base: BaseModel) -> Model:
    """The base model itself, as the transformer that its students are measured against."""

    def load(device: str) -> SentenceTransformerEncoder:
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging as transformers_logging

        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        return SentenceTransformerEncoder(SentenceTransformer(str(base.folder), device=device))

    weights = sorted(base.folder.rglob("*.safetensors"))
    if not weights:
        raise BenchError(
            f"base_model: {base.folder} has no .safetensors weights; write them with transformers' save_pretrained"
        )
    settings = _json(base.folder / "config_sentence_transformers.json")
    prompts = settings.get("prompts") or {}
    # a dense layer after the transformer has the last word on the dimensions
    dense = [_json(path).get("out_features") for path in sorted(base.folder.glob("*_Dense/config.json"))]
    return Model(
        name=base.name,
        revision=base.revision,
        label=base.name.rsplit("/", 1)[-1],
        kind="transformer",
        dims=dense[-1] if dense and dense[-1] else base.hidden_size,
        n_parameters=sum(_n_parameters(path) for path in weights),
        bytes_on_disk=folder_bytes(base.folder, suffixes=MODEL_FILES),
        load=load,
        similarity=settings.get("similarity_fn_name") or "cosine",
        prompts={name: text for name, text in prompts.items() if text},
    )


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _n_parameters(path: Path) -> int:
    """Numbers of floating point in a safetensors file, counted from its header alone."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            slices = [file.get_slice(name) for name in file.keys()]  # noqa: SIM118 - not a dict
            return sum(math.prod(part.get_shape()) for part in slices if part.get_dtype().startswith(("F", "BF")))
    except SafetensorError as error:
        raise BenchError(f"base_model: {path} is damaged ({error}); copy or fetch the model again") from error
