from pathlib import Path
from typing import Any

import numpy as np

from m2v_bench.assets import catalog, fetch
from m2v_bench.baselines.encoder import Encoder, Model
from m2v_bench.cache import folder_bytes, folder_hash


def glove(name: str, label: str) -> Model:
    """Word vectors averaged as sentence-transformers averages them.

    The protocol is that of the published `average_word_embeddings_glove` models: split at white space, try
    the token, then without punctuation, then in lower case; leave out stop words and unknown words; mean.
    """
    folder = fetch([name])[name]
    rows, dims = np.load(folder / "vectors.npy", mmap_mode="r").shape
    return Model(
        name=str(catalog()[name].model_name),
        revision=folder_hash(folder),
        label=label,
        kind="static",
        dims=dims,
        n_parameters=rows * dims,
        bytes_on_disk=folder_bytes(folder),
        load=lambda device: _load(folder),
    )


def _load(folder: Path) -> Encoder:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, WordEmbeddings
    from sentence_transformers.sentence_transformer.modules.tokenizer import WhitespaceTokenizer

    from m2v_bench.baselines.sentence_transformer import SentenceTransformerEncoder

    vectors = np.load(folder / "vectors.npy")
    words = (folder / "words.txt").read_text(encoding="utf-8").split("\n")[:-1]
    # row 0 is padding, as in the published models
    table = np.vstack([np.zeros((1, vectors.shape[1]), vectors.dtype), vectors])
    embeddings: Any = WordEmbeddings(WhitespaceTokenizer(["PADDING_TOKEN", *words]), table)
    pooling = Pooling(embeddings.get_embedding_dimension())
    return SentenceTransformerEncoder(SentenceTransformer(modules=[embeddings, pooling], device="cpu"))
