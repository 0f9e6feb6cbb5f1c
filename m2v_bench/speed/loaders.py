"""How the models of a speed benchmark are loaded, each by the library that it is run with.

Importing this module loads none of them, so that a fresh process is charged for what its model needs and nothing else.
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
    """A model that can embed texts.

    Attributes:
        model: as its library has it.
        encode: texts -> array of shape (texts, dims), in batches of the size that suits the model.
        max_tokens: what it cuts a text to; None where it cuts nothing or does not say.
    """

    model: Any
    encode: "Callable[[Sequence[str]], np.ndarray]"
    max_tokens: int | None = None


@dataclass(frozen=True)
class Contender:
    """A model whose speed is measured, and the library that runs it.

    Attributes:
        label: what tables call it.
        loader: a name in `LOADERS`.
        source: what the loader is given.
        library: who runs it, with the version.
        name, kind, dims, n_parameters, bytes_on_disk: as in `Model`.
        revisions: the revisions under which its scores may be filed.
        peer: whether another library runs the files of a static model of ours.
        absent: why it cannot be measured here; None when it can.
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
    """A static model, by our own encoder."""
    from m2v_bench.inference.static_model import StaticModel

    model = StaticModel.from_pretrained(folder)
    return Loaded(model, model.encode, model.max_length)


def wordllama(folder: str) -> Loaded:
    """WordLlama, by our own encoder."""
    from m2v_bench.inference.wordllama import read_wordllama

    model = read_wordllama(Path(folder))
    return Loaded(model, model.encode)


def model2vec(folder: str) -> Loaded:
    """A static model, by model2vec itself; in one process, as is its default for up to 10,000 texts."""
    from model2vec import StaticModel

    model = StaticModel.from_pretrained(folder)
    return Loaded(model, lambda texts: model.encode(list(texts), use_multiprocessing=False), model.max_length)


def sentence_transformer(folder: str) -> Loaded:
    """A transformer, a static embedding or word vectors, by sentence-transformers."""
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    model = SentenceTransformer(folder, device="cpu")
    transformer = type(model[0]).__name__ == "Transformer"
    # rows that are looked up are done in batches as large as the static libraries' own
    batch_size = 32 if transformer else 1024

    def encode(texts: "Sequence[str]") -> "np.ndarray":
        embeddings: np.ndarray = model.encode(list(texts), batch_size=batch_size, show_progress_bar=False)
        return embeddings

    return Loaded(model, encode, model.max_seq_length if transformer else None)


def vectors(folder: str) -> Loaded:
    """Averaged word vectors, as sentence-transformers averages them."""
    from m2v_bench.models.word_vectors import WordVectorEncoder

    model = WordVectorEncoder(Path(folder))
    return Loaded(model, lambda texts: model.encode(texts, batch_size=1024))


def baseline(settings: str) -> Loaded:
    """Any other baseline that embeds texts, by its settings as JSON: those of `BaselineConfig`, and its `key`."""
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
    """Load what a model would otherwise load when much was asked of it.

    Returns:
        Of our own static models the way that texts now take, and why it is not the fast one; None of any other.
    """
    if not hasattr(model, "fast_path"):
        return None
    path = model.fast_path()
    return "compiled loops" if path else f"tokenizers package ({path.obstacle})"
