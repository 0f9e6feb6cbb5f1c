"""Cut real texts of three lengths out of documents, at word boundaries, for a speed benchmark."""

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from m2v_bench.assets.fetch import fetch
from m2v_bench.errors import BenchError

# number of tokens -> maximum number of texts
LENGTHS = {10: 20_000, 100: 5_000, 500: 1_000}
RULER = "all-MiniLM-L6-v2"  # catalog model whose tokenizer counts tokens: BERT's lower-cased WordPiece
_MOST_CHARACTERS = 50_000_000  # of user files to read; enough to sample from
_DOCUMENTS_AT_A_TIME = 256
_CHARACTERS_OF_A_TOKEN = 6  # generous, so that a joined document yields a text
_OVERSAMPLING = 2  # candidates per text
_SHORTEST = 0.7  # minimum share of the requested tokens, before a long word


@dataclass(frozen=True)
class BenchTexts:
    """Texts that models are timed on.

    Attributes:
        source: source of the documents.
        by_length: texts by length, the requested number of tokens.
        tokens: actual numbers of tokens by length: `min`, `median`, `max`.
        n_bytes: UTF-8 size of each text, by length.
    """

    source: str
    by_length: dict[int, list[str]]
    tokens: dict[int, dict[str, float]]
    n_bytes: dict[int, list[int]]

    def as_record(self) -> dict[str, Any]:
        """Return source and statistics as JSON values."""
        lengths = {
            str(length): {
                "texts": len(texts),
                "tokens": self.tokens[length],
                "mean_bytes": float(np.mean(self.n_bytes[length])),
            }
            for length, texts in self.by_length.items()
        }
        return {"source": self.source, "tokenizer": RULER, "lengths": lengths}


def bench_texts(files: Sequence[str] = (), column: str = "text", *, seed: int = 42) -> BenchTexts:
    """Cut texts of each of `LENGTHS` out of documents, except lengths for which there is too little text.

    Documents shorter than a length are joined with those that follow.

    Args:
        files: .csv, .tsv, .jsonl, .json, .parquet or .txt files, as for the corpus of a weighting; if empty, the posts
            and newswire stories of the asset catalog.
        column: the text column of the files.
        seed: sampling seed.

    Raises:
        BenchError: if a file cannot be read, or there is too little text for the shortest length.
    """
    documents = _documents(files, column)
    tokenizer = _ruler()
    cut: dict[int, list[str]] = {}
    for length, most in LENGTHS.items():
        rng = random.Random(seed)
        long_enough = _joined(documents, length * _CHARACTERS_OF_A_TOKEN)
        rng.shuffle(long_enough)
        texts = list(itertools.islice(_pieces(long_enough, length, tokenizer), _OVERSAMPLING * most))
        if texts:  # shuffled, as slow models are timed on the first texts, which must not be from one document
            cut[length] = rng.sample(texts, min(most, len(texts)))
    source = ", ".join(files) or "20 Newsgroups and Reuters-21578 (lower-cased, without punctuation)"
    if not cut:
        raise BenchError(f"--texts {source}: has fewer than {min(LENGTHS)} tokens; use a file with more text")
    counts = {length: [len(encoding.ids) for encoding in _encode(tokenizer, texts)] for length, texts in cut.items()}
    tokens = {
        length: {"min": min(n_tokens), "median": float(np.median(n_tokens)), "max": max(n_tokens)}
        for length, n_tokens in counts.items()
    }
    n_bytes = {length: [len(text.encode()) for text in texts] for length, texts in cut.items()}
    return BenchTexts(source, cut, tokens, n_bytes)


def _documents(files: Sequence[str], column: str) -> list[str]:
    if not files:
        from m2v_bench.tasks.starter import read_tab

        folder = fetch(["newsgroups-reuters"])["newsgroups-reuters"]
        return [text for path in sorted(folder.glob("*.tab")) for text in read_tab(path)[1]]
    from m2v_bench.distillation.corpus import Corpus

    documents: list[str] = []
    left = _MOST_CHARACTERS
    for name in files:
        corpus = Corpus(name, column, settings=("--texts ", "--column "))
        for batch in corpus.batches():
            documents += batch
            left -= sum(map(len, batch))
            if left < 0:
                return documents
    return documents


def _joined(documents: Sequence[str], n_characters: int) -> list[str]:
    """Join short documents with the next ones until they have `n_characters`."""
    joined, parts, size = [], [], 0
    for document in documents:
        parts.append(document)
        size += len(document)
        if size >= n_characters:
            joined.append("\n".join(parts))
            parts, size = [], 0
    return [*joined, "\n".join(parts)] if parts else joined


def _ruler() -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(fetch([RULER])[RULER] / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _encode(tokenizer: Tokenizer, texts: Sequence[str]) -> list[Any]:
    encodings: list[Any] = tokenizer.encode_batch(list(texts), add_special_tokens=False)
    return encodings


def _pieces(documents: Sequence[str], n_tokens: int, tokenizer: Tokenizer) -> Iterator[str]:
    """Yield consecutive pieces of at most `n_tokens` tokens, as close to it as whole words allow."""
    for start in range(0, len(documents), _DOCUMENTS_AT_A_TIME):
        batch = documents[start : start + _DOCUMENTS_AT_A_TIME]
        for text, encoding in zip(batch, _encode(tokenizer, batch), strict=True):
            words = np.array(encoding.word_ids)
            begins = np.flatnonzero(np.diff(words, prepend=-1)) if len(words) else np.empty(0, np.int64)
            first, offsets = 0, encoding.offsets
            while first + n_tokens <= len(words):
                whole = begins[(begins > first) & (begins <= first + n_tokens)]
                end = len(words) if first + n_tokens == len(words) else int(whole[-1]) if len(whole) else None
                if end is None:  # skip a word longer than that
                    first = int(next(iter(begins[begins > first]), len(words)))
                    continue
                if end - first >= _SHORTEST * n_tokens:
                    yield text[offsets[first][0] : offsets[end - 1][1]]
                first = end
