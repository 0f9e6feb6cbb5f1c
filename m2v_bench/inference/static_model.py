"""Static embedding models: a table of token rows; a text is the mean of its tokens' rows."""

import json
import tempfile
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tokenizers import Tokenizer

from m2v_bench.errors import BenchError
from m2v_bench.inference import files
from m2v_bench.inference.card import model_card

DEFAULT_MAX_LENGTH = 512
MaxLength = int | None | Literal["model"]


class StaticModel:
    """A static embedding model in the file format of model2vec.

    Attributes:
        table: rows of the tokens, shape (rows, dims), as stored (float32, float16 or int8).
        tokenizer: splits texts into tokens; its ids are row numbers (or indices into `mapping`).
        weights: one factor per token, or None when the rows carry it.
        mapping: each token's row, or None when token i has row i.
        normalize: whether `encode` divides by the L2 norm.
        max_length: tokens of a text beyond it are cut by `encode`; None cuts nothing.
        config: what the model was made with, as kept in `config.json`.
    """

    def __init__(
        self,
        table: np.ndarray,
        tokenizer: Tokenizer,
        *,
        normalize: bool = True,
        max_length: int | None = DEFAULT_MAX_LENGTH,
        config: dict[str, Any] | None = None,
        weights: np.ndarray | None = None,
        mapping: np.ndarray | None = None,
    ) -> None:
        self.table = np.ascontiguousarray(table)
        self.weights = weights
        self.mapping = mapping
        self.normalize = normalize
        self.max_length = max_length
        self.config = dict(config or {})
        self.tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()

        vocabulary = self.tokenizer.get_vocab()
        n_rows = len(self.table) if mapping is None else len(mapping)
        if len(vocabulary) != n_rows:
            raise BenchError(f"the tokenizer has {len(vocabulary)} tokens but there are rows for {n_rows}")
        self._median_token_length = int(np.median([len(token) for token in vocabulary]))
        model = json.loads(self.tokenizer.to_str())["model"]
        unknown = model.get("unk_token")
        self._unknown_id = vocabulary.get(unknown) if unknown is not None else model.get("unk_id")

    def __repr__(self) -> str:
        rows, dims = self.table.shape
        return f"StaticModel({rows:,} rows x {dims}, {self.table.dtype}, normalize={self.normalize})"

    @property
    def dims(self) -> int:
        """Dimensions of an embedding."""
        return int(self.table.shape[1])

    @property
    def n_parameters(self) -> int:
        """Numbers in the table, token weights included."""
        return int(self.table.size + (0 if self.weights is None else self.weights.size))

    @property
    def tokens(self) -> tuple[str, ...]:
        """The tokens by rising id."""
        vocabulary = self.tokenizer.get_vocab()
        return tuple(sorted(vocabulary, key=vocabulary.__getitem__))

    @cached_property
    def _rows32(self) -> np.ndarray:
        return self.table.astype(np.float32, copy=False)

    def tokenize(self, texts: Sequence[str], *, max_length: MaxLength = "model") -> list[list[int]]:
        """Token ids per text; unknown tokens are dropped, after the cut to `max_length` tokens.

        Characters beyond `max_length` times the median token length are cut first, as model2vec does.
        """
        if max_length == "model":
            max_length = self.max_length
        if max_length is not None:
            texts = [text[: max_length * self._median_token_length] for text in texts]
        encodings = self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        unknown = self._unknown_id
        return [[i for i in encoding.ids[:max_length] if i != unknown] for encoding in encodings]

    def encode(
        self,
        texts: str | Sequence[str],
        *,
        max_length: MaxLength = "model",
        batch_size: int = 1024,
        show_progress: bool = False,
    ) -> np.ndarray:
        """Embed texts.

        Args:
            texts: one text or several.
            max_length: tokens beyond it are cut; None cuts nothing, `model` is what the model says.
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

    def encode_as_sequence(
        self,
        texts: str | Sequence[str],
        *,
        max_length: MaxLength = None,
        batch_size: int = 1024,
        show_progress: bool = False,
    ) -> np.ndarray | list[np.ndarray]:
        """The rows of each text's tokens, in their order, weighted but not averaged.

        Args:
            texts: one text or several.
            max_length: tokens beyond it are cut; nothing by default, `model` is what the model says.
            batch_size: texts tokenized at a time; does not change the result.
            show_progress: show a progress bar.

        Returns:
            Per text a float32 array of shape (known tokens, dims); one such array for a single string.
        """
        if isinstance(texts, str):
            return self.encode_as_sequence([texts], max_length=max_length)[0]
        sequences: list[np.ndarray] = []
        for start in _batches(len(texts), batch_size, show_progress):
            for ids in self.tokenize(texts[start : start + batch_size], max_length=max_length):
                rows = self.table[ids if self.mapping is None else self.mapping[ids]].astype(np.float32)
                sequences.append(rows if self.weights is None else rows * self._factors(ids)[:, None])
        return sequences

    def _factors(self, ids: Any) -> np.ndarray:
        return np.ones(len(ids), np.float32) if self.weights is None else self.weights[ids].astype(np.float32)

    def _pool(self, batch: list[list[int]]) -> np.ndarray:
        # Rows are summed as a product with a sparse (texts x tokens) matrix: one pass in C, nothing gathered.
        from scipy.sparse import csr_array

        lengths = np.array([len(ids) for ids in batch])
        ids = np.fromiter((i for ids in batch for i in ids), dtype=np.int64, count=lengths.sum())
        rows = ids if self.mapping is None else self.mapping[ids]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        sums = csr_array((self._factors(ids), rows, offsets), shape=(len(batch), len(self.table))) @ self._rows32
        return sums / np.maximum(lengths, 1)[:, None].astype(np.float32)

    def save_pretrained(self, folder: str | Path, *, name: str | None = None) -> None:
        """Write the model and its card to `folder`, in the file format of model2vec and sentence-transformers.

        Args:
            folder: where to write; made when it is not there.
            name: what the card calls the model; the folder's name when None.
        """
        folder = Path(folder)
        kept = dict(self.config)
        if kept.get("hidden_dim") not in (None, self.dims):
            kept.pop("revision", None)  # it stands for the model before its dimensions were cut
            kept["cut_from"] = kept["hidden_dim"]
        config = {
            **kept,
            "model_type": "model2vec",
            "architectures": ["StaticModel"],
            "hidden_dim": self.dims,
            "seq_length": 1_000_000,  # what model2vec writes: a mean has no longest input
            "max_length": self.max_length,
            "embedding_dtype": self.table.dtype.name,
            "vocabulary_quantization": None if self.mapping is None else len(self.table),
            "normalize": self.normalize,
        }
        card = model_card(name or folder.resolve().name, config, shape=(len(self.table), self.dims))
        files.write(folder, files.Files(self.table, self.tokenizer, config, self.weights, self.mapping), card)

    def push_to_hub(self, repo_id: str, *, private: bool = False, token: str | None = None) -> str:
        """Upload the model and its card to the model hub.

        Args:
            repo_id: `organisation/name`; made when it is not there.
            private: whether a repository that is made is private.
            token: access token; the one that the hub's own login keeps when None.

        Returns:
            The address of the commit.

        Raises:
            BenchError: when the hub refuses or cannot be reached.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, name=repo_id)
            return files.push(Path(folder), repo_id, private=private, token=token)

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        *,
        dimensionality: int | None = None,
        normalize: bool | None = None,
        token: str | None = None,
    ) -> "StaticModel":
        """Load a model that this class, model2vec or a StaticEmbedding of sentence-transformers wrote.

        Args:
            path: a folder, or a name on the model hub.
            dimensionality: keep so many of the first dimensions; with PCA they are the principal ones.
            normalize: whether `encode` divides by the norm; as the files say when None.
            token: access token of a private model on the hub.

        Raises:
            BenchError: when there is no such model, a file of it is missing, or it has fewer dimensions.
        """
        found = files.read(path, token=token)
        dims = found.table.shape[1]
        if dimensionality is not None and not 1 <= dimensionality <= dims:
            raise BenchError(f"dimensionality={dimensionality}: {path} has {dims} dimensions; allowed: 1 to {dims}")
        return cls(
            found.table[:, :dimensionality],
            found.tokenizer,
            normalize=bool(found.config.get("normalize", False)) if normalize is None else normalize,
            max_length=found.config.get("max_length", DEFAULT_MAX_LENGTH),
            config=found.config,
            weights=found.weights,
            mapping=found.mapping,
        )


def _batches(n: int, batch_size: int, show_progress: bool) -> Iterator[int]:
    starts = range(0, n, batch_size)
    if not show_progress:
        yield from starts
        return
    from tqdm.auto import tqdm

    yield from tqdm(starts, desc="encoding", unit="batch")
