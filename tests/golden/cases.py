"""Define distillations and texts for comparison with model2vec releases."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from tests.golden.tiny_models import build_bpe, build_qwen, build_unigram

MINILM = "all-MiniLM-L6-v2"
# MINILM without its tokenizer's padding to 128 tokens, an unusual setting that some releases obey.
UNPADDED = "minilm-unpadded"
N_GLOVE = 2000
N_REAL = 1000

Text = str | list[tuple[str, int]]
"""A text, or its (piece, repetitions)."""

ODD_TEXTS: list[Text] = [
    "Static embeddings are the mean of their token rows.",
    "The Nile (Arabic: an-Nīl) flows past a café in naïve co-operation.",
    "unbelievably 🙂 happy 🎉 teachers",
    "日本語 と 中文 测试",
    "[UNK] ##ing <unk>",
    "a\x00b\tc\n",
    "",
    "🜁 🜂🜃",
    [("word ", 20_000)],
    # truncation to 512 tokens leaves only unknown ones; dropping those first keeps the words
    [("🙂 ", 600), ("quantum word ", 400)],
]

_WORDS = """the teacher old a York memories embedding embeddings static distillation vocabulary quantization
hello hello Hello HELLO NASA iPhone Teacher TEACHER internationalization unbelievably happiness
café cafés naïve naïveté Ångström façade Zürich 日本 日本語 москва 🙂 3.14 2024 C++ don't e-mail E-mail
co-operation state-of-the-art x-ray rock'n'roll U.S. and/or user@example ... -- # l'eau"""
_MORE_WORDS = "qqq zzzz teacherteacher watermarket riverbank ing ##ing ▁the Ġthe"
_PHRASES = ("", " ", "new york", "New York", "machine learning", "machine  learning", " padded", "padded ", "tab\tbed")

# existing subwords, duplicates, empty words, upper case, multiword entries, punctuation, accents, other scripts
ADDED_WORDS: list[str] = [*_WORDS.split(), *_PHRASES, *_MORE_WORDS.split()]


@dataclass(frozen=True)
class Case:
    """One distillation.

    Attributes:
        name: name in the golden file and in tests.
        base: `MINILM`, `UNPADDED`, or the tiny model `bpe`, `unigram` or `qwen`.
        words: `glove` (the 2,000 most frequent words), `added` (`ADDED_WORDS`) or None.
        subwords: whether the base model's tokens are kept.
        pca_dims: model2vec's `pca_dims`.
        options: other settings of model2vec.
    """

    name: str
    base: str
    words: str | None = None
    subwords: bool = True
    pca_dims: int | float | str | None = 16
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Release:
    """A release of model2vec that represents a dialect."""

    dialect: str
    version: str
    extras: str
    cases: tuple[Case, ...]


_MODEL = Case("minilm", MINILM, pca_dims=256)
# without a decomposition in float32, whose components depend on the number of threads
_PLAIN = Case("minilm-no-pca", MINILM, pca_dims=None)
_TINY = (Case("bpe", "bpe"), Case("unigram", "unigram"))
_ADDED = (Case("bpe-added", "bpe", "added"), Case("unigram-added", "unigram", "added"))
_EARLY = (
    _MODEL,
    _PLAIN,
    Case("minilm-glove", MINILM, "glove", pca_dims=256),
    Case("minilm-glove-only", UNPADDED, "glove", subwords=False, pca_dims=256),
    *_TINY,
    *_ADDED,
)
_UNPADDED_GLOVE = Case("minilm-glove", UNPADDED, "glove", pca_dims=256)
_QWEN = (Case("qwen", "qwen"), Case("qwen-added", "qwen", "added"))
_OPTIONS = (
    Case("bpe-last", "bpe", options={"pooling": "last"}),
    Case("bpe-first", "bpe", options={"pooling": "first"}),
    Case("unigram-clusters", "unigram", options={"vocabulary_quantization": 50}),
    Case("bpe-unweighted", "bpe", options={"sif_coefficient": None}),
    Case("unigram-no-pca", "unigram", pca_dims=None),
    Case("unigram-rotated", "unigram", pca_dims="auto"),
    Case("bpe-variance", "bpe", pca_dims=0.9),
)

RELEASES: tuple[Release, ...] = (
    Release("m2v-0.1", "0.3.7", "distill", _EARLY),
    Release("m2v-0.3.8", "0.3.8", "distill", _EARLY),
    Release("m2v-0.3.9", "0.4.1", "distill", _EARLY),
    Release(
        "m2v-0.5",
        "0.6.0",
        "distill",
        (_MODEL, _PLAIN, Case("minilm-unpadded", UNPADDED, pca_dims=256), _UNPADDED_GLOVE, *_TINY, *_ADDED),
    ),
    Release(
        "m2v-0.7",
        "0.10.0",
        "distill,quantization",
        (
            _MODEL,
            _UNPADDED_GLOVE,
            Case("minilm-glove-padded", MINILM, "glove", pca_dims=None, options={"sif_coefficient": None}),
            *_TINY,
            *_ADDED,
            *_QWEN,
            Case("qwen-last", "qwen", options={"pooling": "last"}),
            *_OPTIONS,
        ),
    ),
)


def base_folder(base: str, scratch: Path) -> Path:
    """Return the folder of a case's base model; tiny ones are built in `scratch` on first use."""
    if base == MINILM:
        from m2v_bench.assets.fetch import fetch

        return fetch([MINILM])[MINILM]
    folder = scratch / base
    if not folder.is_dir():
        {"bpe": build_bpe, "unigram": build_unigram, "qwen": build_qwen, UNPADDED: build_unpadded}[base](folder)
    return folder


def build_unpadded(folder: Path) -> None:
    """Build `MINILM` with a tokenizer that neither pads nor truncates."""
    original = base_folder(MINILM, folder.parent)
    folder.mkdir(parents=True)
    for file in original.glob("*.*"):
        if file.name != "tokenizer.json":
            (folder / file.name).symlink_to(file)
    tokenizer = Tokenizer.from_file(str(original / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.save(str(folder / "tokenizer.json"))


def spelled(text: Text) -> str:
    """Return the text in full."""
    return text if isinstance(text, str) else "".join(piece * times for piece, times in text)


def words(source: str | None) -> list[str] | None:
    """Return the vocabulary of a case."""
    if source is None:
        return None
    if source == "added":
        return ADDED_WORDS
    from m2v_bench.assets.fetch import fetch

    with (fetch(["glove-6b-50d"])["glove-6b-50d"] / "words.txt").open(encoding="utf-8") as lines:
        return [next(lines).rstrip("\n") for _ in range(N_GLOVE)]


def real_texts() -> list[str]:
    """Return 1,000 sentences from Wikipedia."""
    import pandas as pd

    from tests.conftest import TEST_DATA

    return pd.read_parquet(TEST_DATA / "speed" / "wikisplit_sentences.parquet")["text"].head(N_REAL).tolist()
