"""Real texts of three lengths for a speed benchmark, cut out of documents at the ends of words."""

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from m2v_bench.assets.fetch import fetch
from m2v_bench.errors import BenchError

# tokens of a text -> how many texts there are of it at most
LENGTHS = {10: 20_000, 100: 5_000, 500: 1_000}
RULER = "all-MiniLM-L6-v2"  # the catalog's model whose tokens are counted: BERT's lower-cased WordPiece
_MOST_CHARACTERS = 50_000_000  # of a user's documents; enough to draw from
_DOCUMENTS_AT_A_TIME = 256
_CHARACTERS_OF_A_TOKEN = 6  # more than most texts have, so that a joined document gives a text
_DRAWN_FROM = 2  # times the texts that are wanted
_SHORTEST = 0.7  # of the tokens that a text is to have, before a long word


@dataclass(frozen=True)
class BenchTexts:
    """What models are timed on.

    Attributes:
        source: where the documents came from.
        by_length: texts by the number of tokens that they were cut to.
        tokens: by the same number, how many the texts really have: `min`, `median`, `max`.
        n_bytes: by the same number, the length of each text in UTF-8.
    """

    source: str
    by_length: dict[int, list[str]]
    tokens: dict[int, dict[str, float]]
    n_bytes: dict[int, list[int]]

    def as_record(self) -> dict[str, Any]:
        """What a record keeps of them."""
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
    """Cut texts of each of `LENGTHS` out of documents; a length that there is not enough text for is left out.

    Documents that are shorter than a length are put together with those that follow them.

    Args:
        files: .csv, .tsv, .jsonl, .json, .parquet or .txt files, as a weighting's corpus takes them; the posts and
            newswire stories that the asset catalog carries when there are none.
        column: the column of the texts in them.
        seed: of the order in which documents are drawn.

    Raises:
        BenchError: for a file that cannot be read, or when there is not enough text for the shortest length.
    """
    documents = _documents(files, column)
    tokenizer = _ruler()
    cut: dict[int, list[str]] = {}
    for length, most in LENGTHS.items():
        rng = random.Random(seed)
        long_enough = _joined(documents, length * _CHARACTERS_OF_A_TOKEN)
        rng.shuffle(long_enough)
        texts = list(itertools.islice(_pieces(long_enough, length, tokenizer), _DRAWN_FROM * most))
        if texts:  # slow models are timed on the first ones, which must not be those of one document
            cut[length] = rng.sample(texts, min(most, len(texts)))
    source = ", ".join(files) or "20 Newsgroups and Reuters-21578 (lower-cased, without punctuation)"
    if not cut:
        raise BenchError(f"--texts {source}: there are not {min(LENGTHS)} tokens of text in it; give a file with more")
    counts = {length: [len(each.ids) for each in _encode(tokenizer, texts)] for length, texts in cut.items()}
    tokens = {
        length: {"min": min(each), "median": float(np.median(each)), "max": max(each)}
        for length, each in counts.items()
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
    """The documents, short ones together with the next until they have so many characters."""
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
    """Pieces of at most `n_tokens` tokens and as near to it as whole words allow, one after the other."""
    for start in range(0, len(documents), _DOCUMENTS_AT_A_TIME):
        batch = documents[start : start + _DOCUMENTS_AT_A_TIME]
        for text, encoding in zip(batch, _encode(tokenizer, batch), strict=True):
            words = np.array(encoding.word_ids)
            begins = np.flatnonzero(np.diff(words, prepend=-1)) if len(words) else np.empty(0, np.int64)
            first, offsets = 0, encoding.offsets
            while first + n_tokens <= len(words):
                whole = begins[(begins > first) & (begins <= first + n_tokens)]
                end = len(words) if first + n_tokens == len(words) else int(whole[-1]) if len(whole) else None
                if end is None:  # a word that is longer
                    first = int(next(iter(begins[begins > first]), len(words)))
                    continue
                if end - first >= _SHORTEST * n_tokens:
                    yield text[offsets[first][0] : offsets[end - 1][1]]
                first = end
