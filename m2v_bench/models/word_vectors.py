"""Averaged word vectors (GloVe, word2vec)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from m2v_bench.assets.fetch import catalog, fetch
from m2v_bench.cache import folder_bytes, folder_hash
from m2v_bench.config.schema import BaselineConfig
from m2v_bench.errors import BenchError
from m2v_bench.models.model import Model
from m2v_bench.models.vector_files import converted, read_words

_BATCH = 1024  # texts


class WordVectorEncoder:
    """Mean of word vectors, as in sentence-transformers.

    The protocol of the published `average_word_embeddings_glove` models: split at white space; look up the token, then
    without punctuation, then in lower case; drop stop words and unknown words; average. A text without known words
    gets the zero vector.
    """

    def __init__(self, folder: Path) -> None:
        from sentence_transformers.sentence_transformer.modules.tokenizer import WhitespaceTokenizer

        self.vectors = np.load(folder / "vectors.npy", mmap_mode="r")
        self.tokenizer = WhitespaceTokenizer(read_words(folder))

    def encode(self, texts: Sequence[str], *, batch_size: int, prompt: str | None = None) -> np.ndarray:
        """See `Encoder.encode`; `batch_size` and `prompt` are ignored."""
        embeddings = np.zeros((len(texts), self.vectors.shape[1]), dtype=np.float32)
        for start in range(0, len(texts), _BATCH):
            ids = [self.tokenizer.tokenize(text) for text in texts[start : start + _BATCH]]
            embeddings[start : start + len(ids)] = mean_rows(self.vectors, ids)
        return embeddings


def mean_rows(table: np.ndarray, ids: Sequence[Sequence[int]]) -> np.ndarray:
    """Average the rows of `table` for each list of row numbers: float32 (lists, dims), zero for an empty list."""
    # a sparse product reads only the needed rows, so that a memory-mapped table stays on disk
    from scipy.sparse import csr_array

    lengths = np.array([len(text) for text in ids])
    rows = np.fromiter((row for text in ids for row in text), dtype=np.int64, count=lengths.sum())
    ends = np.concatenate([[0], np.cumsum(lengths)])
    counts = csr_array((np.ones(len(rows), np.float32), rows, ends), shape=(len(ids), len(table)))
    means: np.ndarray = (counts @ table) / np.maximum(lengths, 1)[:, None].astype(np.float32)
    return means


def vectors(key: str, config: BaselineConfig) -> Model:
    """Load word vectors from the asset catalog, or from a file in GloVe's or word2vec's format."""
    name = str(config.name)
    asset, path = catalog().get(name), Path(name).expanduser()
    setting = f"baselines.{key}.name"
    if asset is not None and asset.prepare == "glove":
        folder = fetch([name])[name]
        public, revision = str(asset.model_name), folder_hash(folder)
    elif path.is_dir() or asset is not None:
        raise BenchError(f"{setting}={name}: not a file of word vectors; allowed: such a file, or {_catalog_names()}")
    else:
        folder = converted(path, setting=setting)
        public, revision = f"local/{path.stem}", folder.name
    rows, dims = np.load(folder / "vectors.npy", mmap_mode="r").shape
    return Model(
        name=public,
        revision=revision,
        label=config.label or key,
        kind="static",
        dims=dims,
        n_parameters=rows * dims,
        bytes_on_disk=folder_bytes(folder),
        load=lambda device: WordVectorEncoder(folder),
        folder=folder,
    )


def _catalog_names() -> str:
    return ", ".join(asset.name for asset in catalog().values() if asset.prepare == "glove")
