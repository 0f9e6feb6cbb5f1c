"""Static embedding models: a table of token rows; a text is the mean of its tokens' rows."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from m2v_bench.cache import write_json
from m2v_bench.errors import BenchError

DEFAULT_MAX_LENGTH = 512
_FILES = ("config.json", "model.safetensors", "tokenizer.json")


class StaticModel:
    """A static embedding model in the file format of model2vec.

    Attributes:
        table: rows of the tokens, shape (rows, dims), as stored (float32 or float16).
        tokenizer: splits texts into tokens; its ids are row numbers (or indices into `mapping`).
        weights: one factor per token, or None when the rows carry it.
        mapping: each token's row, or None when token i has row i.
        normalize: whether `encode` divides by the L2 norm.
        config: what the model was made with, as kept in `config.json`.
    """

    def __init__(
        self,
        table: np.ndarray,
        tokenizer: Tokenizer,
        *,
        normalize: bool = True,
        config: dict[str, Any] | None = None,
        weights: np.ndarray | None = None,
        mapping: np.ndarray | None = None,
    ) -> None:
        self.table = np.ascontiguousarray(table)
        self.weights = weights
        self.mapping = mapping
        self.normalize = normalize
        self.config = dict(config or {})
        self.tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()

        vocabulary = self.tokenizer.get_vocab()
        n_rows = len(self.table) if mapping is None else len(mapping)
        if len(vocabulary) != n_rows:
            raise ValueError(f"the tokenizer has {len(vocabulary)} tokens but there are rows for {n_rows}")
        self._median_token_length = int(np.median([len(token) for token in vocabulary]))
        model = json.loads(self.tokenizer.to_str())["model"]
        unknown = model.get("unk_token")
        self._unknown_id = vocabulary.get(unknown) if unknown is not None else model.get("unk_id")
        self._rows32 = self.table.astype(np.float32, copy=False)

    @property
    def dims(self) -> int:
        """Dimensions of an embedding."""
        return int(self.table.shape[1])

    @property
    def n_parameters(self) -> int:
        """Numbers in the table, token weights included."""
        return int(self.table.size + (0 if self.weights is None else self.weights.size))

    def tokenize(self, texts: Sequence[str], *, max_length: int | None = DEFAULT_MAX_LENGTH) -> list[list[int]]:
        """Token ids per text; unknown tokens are dropped, after the cut to `max_length` tokens.

        Characters beyond `max_length` times the median token length are cut first, as model2vec does.
        """
        if max_length is not None:
            texts = [text[: max_length * self._median_token_length] for text in texts]
        encodings = self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        unknown = self._unknown_id
        return [[i for i in encoding.ids[:max_length] if i != unknown] for encoding in encodings]

    def encode(
        self,
        texts: str | Sequence[str],
        *,
        max_length: int | None = DEFAULT_MAX_LENGTH,
        batch_size: int = 1024,
        show_progress: bool = False,
    ) -> np.ndarray:
        """Embed texts.

        Args:
            texts: one text or several.
            max_length: tokens beyond it are cut; None cuts nothing.
            batch_size: texts tokenized at a time; does not change the result.
            show_progress: show a progress bar.

        Returns:
            float32 array of shape (texts, dims), or (dims,) for a single string. A text without a known
            token is the zero vector.
        """
        if isinstance(texts, str):
            return self.encode([texts], max_length=max_length)[0]
        embeddings = np.zeros((len(texts), self.dims), dtype=np.float32)
        for start in _batches(len(texts), batch_size, show_progress):
            batch = self.tokenize(texts[start : start + batch_size], max_length=max_length)
            embeddings[start : start + len(batch)] = self._pool(batch)
        if self.normalize:
            embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True) + 1e-32
        return embeddings

    def _pool(self, batch: list[list[int]]) -> np.ndarray:
        # Rows are summed as a product with a sparse (texts x tokens) matrix: one pass in C, nothing gathered.
        from scipy.sparse import csr_array

        lengths = np.array([len(ids) for ids in batch])
        ids = np.fromiter((i for ids in batch for i in ids), dtype=np.int64, count=lengths.sum())
        factors = np.ones(len(ids), np.float32) if self.weights is None else self.weights[ids].astype(np.float32)
        rows = ids if self.mapping is None else self.mapping[ids]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        sums = csr_array((factors, rows, offsets), shape=(len(batch), len(self.table))) @ self._rows32
        return sums / np.maximum(lengths, 1)[:, None].astype(np.float32)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the model to `folder`, in the file format of model2vec and sentence-transformers."""
        from safetensors.numpy import save

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {"embeddings": self.table, "weights": self.weights, "mapping": self.mapping}
        # written by us, as safetensors' own writer lets nobody else read the file
        (folder / "model.safetensors").write_bytes(
            save({name: np.ascontiguousarray(array) for name, array in tensors.items() if array is not None})
        )
        self.tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
        config = {
            **self.config,
            "model_type": "model2vec",
            "architectures": ["StaticModel"],
            "hidden_dim": self.dims,
            "seq_length": 1_000_000,  # what model2vec writes: a mean has no longest input
            "embedding_dtype": self.table.dtype.name,
            "normalize": self.normalize,
        }
        write_json(folder / "config.json", config)
        modules = [{"idx": 0, "name": "0", "path": ".", "type": "sentence_transformers.models.StaticEmbedding"}]
        if self.normalize:
            normalize = "sentence_transformers.models.Normalize"
            modules.append({"idx": 1, "name": "1", "path": "1_Normalize", "type": normalize})
        write_json(folder / "modules.json", modules)

    @classmethod
    def from_pretrained(cls, path: str | Path) -> "StaticModel":
        """Load a model that `save_pretrained` or model2vec wrote: a folder, or a name on the model hub.

        Raises:
            BenchError: when there is no such model or a file of it is missing.
        """
        from safetensors.numpy import load_file

        folder = Path(path)
        if not folder.is_dir():
            folder = _from_hub(str(path))
        missing = [name for name in _FILES if not (folder / name).is_file()]
        if missing:
            raise BenchError(f"{folder} is not a static model: {', '.join(missing)} missing")
        tensors = load_file(folder / "model.safetensors")
        if "embeddings" not in tensors:
            raise BenchError(f"{folder} is not a static model: model.safetensors has no tensor 'embeddings'")
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return cls(
            tensors["embeddings"],
            Tokenizer.from_file(str(folder / "tokenizer.json")),
            normalize=bool(config.get("normalize", False)),
            config=config,
            weights=tensors.get("weights"),
            mapping=tensors.get("mapping"),
        )


def _batches(n: int, batch_size: int, show_progress: bool) -> Iterator[int]:
    starts = range(0, n, batch_size)
    if not show_progress:
        yield from starts
        return
    from tqdm.auto import tqdm

    yield from tqdm(starts, desc="encoding", unit="batch")


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=list(_FILES)))
    except Exception as error:
        # the hub client raises many kinds of errors; to the user they are one
        raise BenchError(f"{name} is neither a folder nor a model that the hub gives: {error}") from error
