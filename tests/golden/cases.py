"""What the releases of model2vec are asked to distil and to embed."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from tests.golden.tiny_models import build_bpe, build_qwen, build_unigram

MINILM = "all-MiniLM-L6-v2"
# Its tokenizer file fills every text up to 128 tokens, which most model files do not, and which some releases obey:
# this is the same model without that setting.
UNPADDED = "minilm-unpadded"
N_GLOVE = 2000
N_REAL = 1000

Text = str | list[tuple[str, int]]
"""A text, or the pieces that a long one repeats and how often."""

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
    # cut to 512 tokens, nothing is left but unknown ones; whoever drops them first keeps the words
    [("🙂 ", 600), ("quantum word ", 400)],
]

_WORDS = """the teacher old a York memories embedding embeddings static distillation vocabulary quantization
hello hello Hello HELLO NASA iPhone Teacher TEACHER internationalization unbelievably happiness
café cafés naïve naïveté Ångström façade Zürich 日本 日本語 москва 🙂 3.14 2024 C++ don't e-mail E-mail
co-operation state-of-the-art x-ray rock'n'roll U.S. and/or user@example ... -- # l'eau"""
_MORE_WORDS = "qqq zzzz teacherteacher watermarket riverbank ing ##ing ▁the Ġthe"
_PHRASES = ("", " ", "new york", "New York", "machine learning", "machine  learning", " padded", "padded ", "tab\tbed")

# subwords again, words twice, nothing, upper case, several words in one, punctuation, accents, other scripts
ADDED_WORDS: list[str] = [*_WORDS.split(), *_PHRASES, *_MORE_WORDS.split()]


@dataclass(frozen=True)
class Case:
    """One distillation.

    Attributes:
        name: what the golden file and the tests call it.
        base: `MINILM`, `UNPADDED`, or the tiny model `bpe`, `unigram` or `qwen`.
        words: `glove` (the 2,000 most frequent words), `added` (`ADDED_WORDS`) or None.
        subwords: whether the base model's own tokens are kept.
        pca_dims: as the program takes it.
        options: further settings, as the program calls them.
    """

    name: str
    base: str
    words: str | None = None
    subwords: bool = True
    pca_dims: int | float | str | None = 16
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Release:
    """A release of model2vec, standing for a dialect."""

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
    """The folder of a case's base model; a tiny one is built below `scratch` at its first use."""
    if base == MINILM:
        from m2v_bench.assets.fetch import fetch

        return fetch([MINILM])[MINILM]
    folder = scratch / base
    if not folder.is_dir():
        {"bpe": build_bpe, "unigram": build_unigram, "qwen": build_qwen, UNPADDED: build_unpadded}[base](folder)
    return folder


def build_unpadded(folder: Path) -> None:
    """`MINILM` with a tokenizer that neither fills texts up nor cuts them."""
    filed = base_folder(MINILM, folder.parent)
    folder.mkdir(parents=True)
    for file in filed.glob("*.*"):
        if file.name != "tokenizer.json":
            (folder / file.name).symlink_to(file)
    tokenizer = Tokenizer.from_file(str(filed / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.save(str(folder / "tokenizer.json"))


def spelled(text: Text) -> str:
    """The text itself."""
    return text if isinstance(text, str) else "".join(piece * times for piece, times in text)


def words(source: str | None) -> list[str] | None:
    """The vocabulary that a case passes."""
    if source is None:
        return None
    if source == "added":
        return ADDED_WORDS
    from m2v_bench.assets.fetch import fetch

    with (fetch(["glove-6b-50d"])["glove-6b-50d"] / "words.txt").open(encoding="utf-8") as lines:
        return [next(lines).rstrip("\n") for _ in range(N_GLOVE)]


def real_texts() -> list[str]:
    """1,000 sentences of Wikipedia."""
    import pandas as pd

    from tests.conftest import TEST_DATA

    return pd.read_parquet(TEST_DATA / "speed" / "wikisplit_sentences.parquet")["text"].head(N_REAL).tolist()
