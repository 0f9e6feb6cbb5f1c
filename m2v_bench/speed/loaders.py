"""Load the models of a speed benchmark, each with the library that runs it.

Importing this module imports none of the libraries, so that a fresh process pays only for its model.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Loaded:
    """A loaded model.

    Attributes:
        model: the library's object.
        encode: texts -> array of shape (texts, dims), in batches of a size that suits the model.
        max_tokens: length at which texts are truncated; None if they are not or it is unknown.
    """

    model: Any
    encode: "Callable[[Sequence[str]], np.ndarray]"
    max_tokens: int | None = None


@dataclass(frozen=True)
class Contender:
    """A model whose speed is measured, and the library that runs it.

    Attributes:
        label: name in tables.
        loader: key of `LOADERS`.
        source: argument of the loader.
        library: library that runs the model, with its version.
        name, kind, dims, n_parameters, bytes_on_disk: as in `Model`.
        revisions: revisions under which its scores may be stored.
        peer: whether another library runs one of our static models.
        absent: reason why it cannot be measured here; None if it can.
    """

    label: str
    loader: str
    source: str
    library: str
    name: str
    kind: str
    dims: int
    n_parameters: int
    bytes_on_disk: int
    revisions: tuple[str, ...] = ()
    peer: bool = False
    absent: str | None = None


def static(folder: str) -> Loaded:
    """Load a static model with our encoder."""
    from m2v_bench.inference.static_model import StaticModel

    model = StaticModel.from_pretrained(folder)
    return Loaded(model, model.encode, model.max_length)


def wordllama(folder: str) -> Loaded:
    """Load WordLlama with our encoder."""
    from m2v_bench.inference.wordllama import read_wordllama

    model = read_wordllama(Path(folder))
    return Loaded(model, model.encode)


def model2vec(folder: str) -> Loaded:
    """Load a static model with model2vec, in one process, as is its default for up to 10,000 texts."""
    from model2vec import StaticModel

    model = StaticModel.from_pretrained(folder)
    return Loaded(model, lambda texts: model.encode(list(texts), use_multiprocessing=False), model.max_length)


def sentence_transformer(folder: str) -> Loaded:
    """Load a transformer, static embedding or word vectors with sentence-transformers."""
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    model = SentenceTransformer(folder, device="cpu")
    transformer = type(model[0]).__name__ == "Transformer"
    # for lookup models, batches as large as those of the static libraries
    batch_size = 32 if transformer else 1024

    def encode(texts: "Sequence[str]") -> "np.ndarray":
        embeddings: np.ndarray = model.encode(list(texts), batch_size=batch_size, show_progress_bar=False)
        return embeddings

    return Loaded(model, encode, model.max_seq_length if transformer else None)


def vectors(folder: str) -> Loaded:
    """Load word vectors, averaged as sentence-transformers does."""
    from m2v_bench.models.word_vectors import WordVectorEncoder

    model = WordVectorEncoder(Path(folder))
    return Loaded(model, lambda texts: model.encode(texts, batch_size=1024))


def baseline(settings: str) -> Loaded:
    """Load any other baseline that embeds texts from JSON: the settings of `BaselineConfig`, and its `key`."""
    from m2v_bench.config.schema import BaselineConfig
    from m2v_bench.models import MAKERS

    config = json.loads(settings)
    key = config.pop("key")
    model = MAKERS[config["kind"]](key, BaselineConfig(**config)).load("cpu")
    return Loaded(model, lambda texts: model.encode(texts, batch_size=1024))


LOADERS: "dict[str, Callable[[str], Loaded]]" = {
    "static": static,
    "wordllama": wordllama,
    "model2vec": model2vec,
    "sentence_transformer": sentence_transformer,
    "vectors": vectors,
    "baseline": baseline,
}


def prepare(model: Any) -> str | None:
    """Load what a model would otherwise load lazily after many texts.

    Returns:
        For our static models, the encoding path and, if it is not the fast path, the reason; None for other models.
    """
    if not hasattr(model, "fast_path"):
        return None
    path = model.fast_path()
    return "compiled loops" if path else f"tokenizers package ({path.obstacle})"
