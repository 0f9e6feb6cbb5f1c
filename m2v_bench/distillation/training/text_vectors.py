"""Embed the texts of a training corpus with the teacher, in cached shards that all variants share."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from m2v_bench.cache import cached_arrays, content_hash, is_cached
from m2v_bench.distillation.forward import keep_freed_memory
from m2v_bench.distillation.teacher import BaseModel, load_sentence_transformer
from m2v_bench.errors import BenchError
from m2v_bench.inference.files import row_beyond

TEXT_VECTORS_VERSION = 1
STAGE = "text_vectors"
SHARD_TEXTS = 2_048
# Positions per batch, padding included. On CPUs what the forward pass over tokens was measured to like best.
_POSITIONS = {"cpu": 1_152, "cuda": 65_536}


def text_vectors(base: BaseModel, texts: Sequence[str], target: str, *, device: str, show_progress: bool) -> np.ndarray:
    """Return the teacher's embeddings of texts.

    They are cached in shards of `SHARD_TEXTS` texts, so that an interrupted pass continues and a larger sample only
    computes the texts it adds.

    Args:
        base: the teacher.
        texts: the texts.
        target: `tokens` or `pooled`, as in `TrainingConfig`.
        device: torch device.
        show_progress: show a progress bar.

    Returns:
        float32 array of shape (texts, dims).

    Raises:
        BenchError: when the teacher cannot be loaded, or an embedding is not finite.
    """
    shards = _shards(texts)
    keys = [_key(base, shard, target) for shard in shards]
    embed = _Embedder(base, target, device)
    blocks = []
    with tqdm(total=len(texts), desc="teacher's embeddings", unit=" texts", disable=not show_progress) as bar:
        for shard, key in zip(shards, keys, strict=True):

            def compute(_: Path, shard: Sequence[str] = shard) -> dict[str, np.ndarray]:
                vectors = np.empty((0, 0), np.float32)
                for rows, block in embed(shard):
                    if not len(vectors):
                        vectors = np.empty((len(shard), block.shape[1]), np.float32)
                    vectors[rows] = block
                    bar.update(len(rows))
                _check_finite(base, shard, vectors)
                return {"vectors": vectors}

            arrays, hit = cached_arrays(STAGE, key, compute)
            if hit:
                bar.update(len(shard))
                bar.initial = bar.n  # estimate the remaining time from computed texts only
            blocks.append(arrays["vectors"])
    return np.concatenate(blocks)


def uncached(base: BaseModel, texts: Sequence[str], target: str) -> dict[str, int]:
    """Return the number of texts of each shard that `text_vectors` would have to embed, by the hash of its key."""
    keys = [(_key(base, shard, target), len(shard)) for shard in _shards(texts)]
    return {content_hash(key): n_texts for key, n_texts in keys if not is_cached(STAGE, key)}


def _shards(texts: Sequence[str]) -> list[Sequence[str]]:
    return [texts[start : start + SHARD_TEXTS] for start in range(0, len(texts), SHARD_TEXTS)]


def _key(base: BaseModel, texts: Sequence[str], target: str) -> dict[str, Any]:
    return {
        "version": TEXT_VECTORS_VERSION,
        "teacher": base.revision,
        "target": target,
        "texts": content_hash(list(texts)),
    }


def _check_finite(base: BaseModel, texts: Sequence[str], vectors: np.ndarray) -> None:
    if (row := row_beyond(vectors)) is not None:
        raise BenchError(
            f"base_model.name={base.name}: its embedding of the text {texts[row][:60]!r} is not finite; the model's "
            "weights are damaged. Copy or fetch the model again"
        )


class _Embedder:
    """The teacher, loaded on first use."""

    def __init__(self, base: BaseModel, target: str, device: str) -> None:
        self.base, self.target, self.device = base, target, device
        self._model: Any = None

    def __call__(self, texts: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the positions and the embeddings of texts of similar length, float32 of shape (batch, dims)."""
        import torch

        model = self._load()
        lengths = np.array([len(ids) for ids in model.tokenizer(list(texts), truncation=True)["input_ids"]])
        kind = torch.device(self.device).type
        half = kind == "cuda" and torch.cuda.is_bf16_supported()
        for rows in _batches(lengths, _POSITIONS.get(kind, _POSITIONS["cpu"])):
            features = self._features([texts[row] for row in rows])
            with torch.inference_mode(), torch.autocast(kind, dtype=torch.bfloat16, enabled=half):
                yield rows, self._pooled(model, features).float().cpu().numpy()

    def _load(self) -> Any:
        if self._model is None:
            keep_freed_memory()
            try:
                self._model = load_sentence_transformer(self.base.folder, self.device).eval()
            except (OSError, ValueError, RuntimeError) as error:
                raise BenchError(
                    f"base_model.name={self.base.name}: cannot be loaded from {self.base.path} to embed the training "
                    f"texts: {error}"
                ) from error
        return self._model

    def _features(self, texts: list[str]) -> dict[str, Any]:
        preprocess = getattr(self._model, "preprocess", None) or self._model.tokenize  # its name before release 5.2
        return {
            name: value.to(self.device) if hasattr(value, "to") else value for name, value in preprocess(texts).items()
        }

    def _pooled(self, model: Any, features: dict[str, Any]) -> Any:
        if self.target == "pooled":
            return model(features)["sentence_embedding"]
        import torch

        output = model[0](features)
        special = torch.tensor(model.tokenizer.all_special_ids, device=self.device)
        mask = features["attention_mask"].bool() & ~torch.isin(features["input_ids"], special)
        # a text of special tokens only, such as unknown ones, has nothing else to average
        mask = torch.where(mask.any(dim=1, keepdim=True), mask, features["attention_mask"].bool())
        states = output["token_embeddings"].float()
        return (states * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)


def _batches(lengths: np.ndarray, n_positions: int) -> Iterator[np.ndarray]:
    """Yield positions of texts, the longest first, as many as fit into `n_positions` when padded."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, n_positions // max(int(lengths[order[start]]), 1))
        yield order[start : start + size]
        start += size
