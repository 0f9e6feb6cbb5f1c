"""Compare our models with the output of a model2vec release."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from m2v_bench import StaticModel, distill
from m2v_bench.inference.static_model import DEFAULT_MAX_LENGTH
from tests.golden.cases import MINILM, UNPADDED, Case, base_folder, words


def row_tolerance(dialect: str, case: Case) -> float:
    """Return the tolerated error of a row, relative to its norm.

    Up to 0.6, model2vec decomposes in float32, where neighbouring components of MiniLM mix: with a different number of
    threads, 0.3.8 differs from itself by 1e-3 in a few places. This does not concern cases without PCA.
    """
    is_unstable = dialect != "m2v-0.7" and case.base in (MINILM, UNPADDED) and case.pca_dims is not None
    return 2e-4 if is_unstable else 1e-4


def our_model(dialect: str, case: Case, scratch: Path) -> StaticModel:
    """Distil a case with our code; tiny base models are built in `scratch`."""
    settings: dict[str, Any] = {**case.options}
    if "sif_coefficient" in settings and settings["sif_coefficient"] is None:
        settings = {**settings, "weighting": "none"}
        del settings["sif_coefficient"]
    if case.words is not None:
        settings["vocabulary"] = words(case.words)
    if not case.subwords:
        settings["subwords"] = False
    base = MINILM if case.base == MINILM else str(base_folder(case.base, scratch))
    return distill(
        base, dialect=dialect, pca_dims=case.pca_dims, quantize_to="float32", show_progress=False, **settings
    )


def rows_of(model: StaticModel, ids: Sequence[int]) -> np.ndarray:
    """Return the rows of tokens, without their weights."""
    return model.table[list(ids) if model.mapping is None else model.mapping[list(ids)]]


def component_signs(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Return the factors 1 or -1 of our components, as a principal component's sign is arbitrary."""
    return np.where((ours.astype(np.float64) * theirs).sum(axis=0) < 0, -1.0, 1.0)


@dataclass(frozen=True)
class ProgramRule:
    """Tokenization of a release where it differs from ours.

    Up to 0.6, unknown tokens are dropped before truncation to 512 tokens, and only if the tokenizer's model has an
    `unk_token`; Unigram has none, so they are kept. Where the base model's tokenizer file truncates or pads every text
    to a fixed length (all-MiniLM-L6-v2: 128), 0.6 obeys, and so do older releases for whole words: padding tokens are
    averaged in.
    0.10 truncates first and does not pad, like us, but its Unigram tokenizers keep the base model's `unk_id` although
    tokens below it were dropped: unknown characters get the id of another token, which is dropped instead.

    Attributes:
        unknown_id: the id that the release drops; None drops none.
        median_token_length: texts are truncated to 512 times this many characters.
        truncation: the length to which the tokenizer truncates, before anything is dropped.
        padding: the length to which the tokenizer pads, and the padding id.
        normalize: whether embeddings have unit length.
    """

    unknown_id: int | None
    median_token_length: int
    truncation: int | None
    padding: tuple[int, int] | None
    normalize: bool

    @classmethod
    def of(cls, values: dict[str, Any]) -> "ProgramRule":
        """Return the rule of a case's golden values."""
        return cls(**{field.name: values[field.name] for field in fields(cls)})

    def tokenize(self, model: StaticModel, texts: Sequence[str]) -> list[list[int]]:
        """Tokenize `texts` to our ids by the release's rule."""
        data = json.loads(model.tokenizer.to_str())
        if data["model"]["type"] == "Unigram" and self.unknown_id is not None:
            data["model"]["unk_id"] = self.unknown_id
        tokenizer = Tokenizer.from_str(json.dumps(data))
        cut = [text[: DEFAULT_MAX_LENGTH * self.median_token_length] for text in texts]
        length, filler = self.padding or (0, 0)
        token_ids = []
        for encoding in tokenizer.encode_batch_fast(cut, add_special_tokens=False):
            ids = encoding.ids[: self.truncation]
            ids += [filler] * (length - len(ids))
            token_ids.append([i for i in ids if i != self.unknown_id][:DEFAULT_MAX_LENGTH])
        return token_ids

    def encode(self, model: StaticModel, texts: Sequence[str]) -> np.ndarray:
        """Average our rows over the release's tokens."""
        embeddings = np.zeros((len(texts), model.dims))
        for number, ids in enumerate(self.tokenize(model, texts)):
            if ids:
                factors = np.ones(len(ids)) if model.weights is None else model.weights[ids]
                embeddings[number] = (rows_of(model, ids) * factors[:, None]).mean(axis=0, dtype=np.float64)
        if self.normalize:
            embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True) + 1e-32
        return embeddings


def cosine_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return 1 - cosine for each row; 0 for two zero vectors."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosines = (a * b).sum(axis=1) / np.where(norms == 0, 1, norms)
    both_zero = ~(a.any(axis=1) | b.any(axis=1))
    return np.where(both_zero, 0.0, 1 - cosines)
