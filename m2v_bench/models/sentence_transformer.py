"""Load sentence-transformers models as models under test."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from m2v_bench.assets.fetch import MODEL_FILES, resolve_model
from m2v_bench.cache import folder_bytes, folder_hash
from m2v_bench.config.schema import BaselineConfig
from m2v_bench.distillation.teacher import BaseModel, load_sentence_transformer
from m2v_bench.errors import BenchError
from m2v_bench.models.model import Model


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
    """Return the run's base model as a model under test."""
    return _model(base, base.name.rsplit("/", 1)[-1])


def sentence_transformer(key: str, config: BaselineConfig) -> Model:
    """Load a sentence-transformers model from a folder, the asset catalog or the hub."""
    folder = resolve_model(str(config.name), config.revision, setting=f"baselines.{key}")
    revision = folder.revision
    if not any(folder.path.rglob("*.safetensors")):  # older word vector models
        revision = folder_hash(folder.path, suffixes=(*MODEL_FILES, ".bin"))
    try:
        return _model(BaseModel(folder.name, revision, folder.path), config.label or key)
    except BenchError as error:
        raise BenchError(f"baselines.{key}.name={config.name}: not a sentence transformer: {error}") from error


def _model(base: BaseModel, label: str) -> Model:
    folder = base.folder

    def load(device: str) -> SentenceTransformerEncoder:
        return SentenceTransformerEncoder(load_sentence_transformer(folder, device))

    settings = _json(folder / "config_sentence_transformers.json")
    prompts = settings.get("prompts") or {}
    # a dense layer after the transformer determines the dimensions
    dense = [_json(path).get("out_features") for path in sorted(folder.glob("*_Dense/config.json"))]
    shapes, static = _shapes(folder), is_static(folder)
    hidden = shapes[0][-1] if static else base.hidden_size
    dims = dense[-1] if dense and dense[-1] else hidden
    return Model(
        name=base.name,
        revision=base.revision,
        label=label,
        kind="static" if static else "transformer",
        dims=min(dims, settings.get("truncate_dim") or dims),
        n_parameters=sum(math.prod(shape) for shape in shapes),
        bytes_on_disk=folder_bytes(folder, suffixes=(*MODEL_FILES, ".bin") if static else MODEL_FILES),
        load=load,
        folder=folder,
        similarity=settings.get("similarity_fn_name") or "cosine",
        prompts={name: text for name, text in prompts.items() if text},
    )


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def is_static(folder: Path) -> bool:
    """Return whether the first module looks up rows for words or tokens instead of running a transformer."""
    modules = _json(folder / "modules.json")
    first = str(modules[0].get("type", "")) if modules else ""
    return first.rpartition(".")[2] in ("WordEmbeddings", "StaticEmbedding")


def _shapes(folder: Path) -> list[tuple[int, ...]]:
    """Read the shapes of a model's floating-point tensors, without the tensors."""
    files = sorted(folder.rglob("*.safetensors"))
    if files:
        return [shape for path in files for shape in _safetensors_shapes(path)]
    import torch

    states = [torch.load(path, weights_only=True, mmap=True) for path in sorted(folder.rglob("pytorch_model.bin"))]
    shapes = [tuple(tensor.shape) for state in states for tensor in state.values() if tensor.is_floating_point()]
    if not shapes:
        raise BenchError(f"{folder} has no weights; expected .safetensors or pytorch_model.bin")
    return shapes


def _safetensors_shapes(path: Path) -> list[tuple[int, ...]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            slices = [file.get_slice(name) for name in file.keys()]  # noqa: SIM118 - not a dict
            return [tuple(part.get_shape()) for part in slices if part.get_dtype().startswith(("F", "BF"))]
    except SafetensorError as error:
        raise BenchError(f"{path} is damaged ({error}); copy or fetch the model again") from error
