"""Load word vocabularies, and report how many words were added or dropped."""

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath

from m2v_bench.assets.fetch import fetch
from m2v_bench.cache import content_hash
from m2v_bench.errors import BenchError, refuse_lfs_pointer, whole_number
from m2v_bench.inference.texts import as_list, check

GLOVE_ASSET = "glove-6b-50d"
_COMPRESSED = (b"\x1f\x8b", b"PK\x03\x04", b"BZh", b"\xfd7zX", b"\x28\xb5\x2f\xfd")  # gzip, zip, bzip2, xz, zstd
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_ALLOWED = "allowed: model, glove, glove_subword, file:PATH (one word per line, most frequent first)"


@dataclass(frozen=True)
class Words:
    """Words for the rows of a static model, most frequent first, in their original spelling.

    Attributes:
        source: name of the list in model names and tables.
        words: the words.
        subwords: whether to keep the base model's subwords beside the words.
    """

    source: str
    words: tuple[str, ...]
    subwords: bool

    @cached_property
    def revision(self) -> str:
        """Hash of the words in order."""
        return content_hash(self.words)


@dataclass
class WordReport:
    """Counts of added and dropped words.

    Attributes:
        given: words in the list, after truncation to `vocabulary_size`.
        empty: words that the base tokenizer normalizes to nothing.
        duplicate: words that occurred before, or are subwords of the base model.
        removed: words and subwords that match `token_remove_pattern`; words that the base tokenizer splits are not
            matched beside subwords, as in the releases.
        multiword: words that the base tokenizer splits, hence matched verbatim in texts.
        unsplittable: words with a piece that the base tokenizer lacks, fed as the unknown token.
        added: rows for words.
    """

    given: int = 0
    empty: int = 0
    duplicate: int = 0
    removed: int = 0
    multiword: int = 0
    unsplittable: int = 0
    added: int = 0

    def __str__(self) -> str:
        """Return the counts that are not zero as a phrase."""
        kinds = {"of several parts": self.multiword, "with unknown pieces": self.unsplittable}
        left_out = {"empty": self.empty, "duplicate or subwords already": self.duplicate}
        parts = [f"{self.added:,} of {self.given:,} words added"] if self.given else []
        parts += [f"of these {_listed(kinds)}"] if any(kinds.values()) else []
        parts += [f"left out {_listed(left_out)}"] if any(left_out.values()) else []
        parts += [f"{self.removed:,} tokens removed by the pattern"] if self.removed else []
        return "; ".join(parts)


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)


def load_words(vocabulary: str | Iterable[str], *, subwords: bool | None, size: int | None) -> Words | None:
    """Load the words of a vocabulary; return None for `model`, the base model's subwords.

    Args:
        vocabulary: `model`, `glove` (the 400,000 words of GloVe 6B), `glove_subword` (these and the base model's
            subwords), `file:PATH`, or an ordered collection of words that `texts.as_list` accepts.
        subwords: whether to keep the base model's subwords; None drops them for `glove` only.
        size: number of words to take from the top of the list; None takes all.

    Raises:
        BenchError: for an unknown source or an unreadable file.
    """
    if size is not None:
        size = whole_number("vocabulary_size", size, least=1, instead="null for all words")
    if isinstance(vocabulary, str) and vocabulary == "model":
        if size is not None or subwords is False:
            setting = f"vocabulary_size={size}" if size is not None else "subwords=false"
            raise BenchError(f"{setting}: applies to word lists only; not allowed with vocabulary=model")
        return None
    if not isinstance(vocabulary, str):
        source, words = "words", _listed_words(vocabulary)
    elif vocabulary in ("glove", "glove_subword"):
        source, words = "glove", _glove(fetch([GLOVE_ASSET])[GLOVE_ASSET])
        subwords = vocabulary == "glove_subword" if subwords is None else subwords
    elif vocabulary.startswith("file:"):
        path = Path(vocabulary.removeprefix("file:")).expanduser()
        source, words = path.stem, _read(path)
    else:
        raise BenchError(f"vocabulary={vocabulary}: unknown; {_ALLOWED}")
    return Words(source, words[:size], subwords=subwords is not False)


@functools.cache
def _glove(folder: Path) -> tuple[str, ...]:
    return tuple((folder / "words.txt").read_text(encoding="utf-8").split("\n")[:-1])


def _listed_words(vocabulary: Iterable[str]) -> tuple[str, ...]:
    """Check a collection of words; its order determines the weights."""
    if isinstance(vocabulary, PurePath):
        raise BenchError(f"vocabulary={vocabulary}: for a file of words give 'file:{vocabulary}'")
    try:
        words = as_list(vocabulary, "vocabulary")
        check(words, "vocabulary", "word")
    except TypeError as error:
        raise BenchError(str(error)) from None
    if not words:
        raise BenchError("vocabulary: the list of words is empty")
    return tuple(map(str, words))


def _read(path: Path) -> tuple[str, ...]:
    setting = f"vocabulary=file:{path}"
    try:
        refuse_lfs_pointer(path, setting)
        with path.open("rb") as file:
            start = file.read(4)
        if start.startswith(_COMPRESSED):
            raise BenchError(f"{setting}: compressed; unpack it first, and name the file with one word per line")
        text = path.read_text(encoding="utf-16" if start.startswith(_UTF16) else "utf-8-sig")
    except UnicodeDecodeError as error:
        encoding = "UTF-16" if start.startswith(_UTF16) else "LATIN1"
        raise BenchError(
            f"{setting}: not UTF-8 (byte {error.start}); convert it: iconv -f {encoding} -t UTF-8 OLD > NEW"
        ) from error
    except OSError as error:
        raise BenchError(f"{setting}: cannot be read ({error.strerror}); one word per line is expected") from error
    if not text.strip():
        raise BenchError(f"{setting}: the file is empty or blank; one word per line is expected, most frequent first")
    lines = text.removesuffix("\n").split("\n")
    if tabbed := next((number for number, line in enumerate(lines, 1) if "\t" in line.strip()), None):
        raise BenchError(
            f"{setting}: line {tabbed} has a tab, so the file has columns; keep the one with the words: "
            "cut -f1 OLD > NEW"
        )
    return tuple(line.rstrip("\r") for line in lines)
