"""Test word lists."""

from pathlib import Path

import pytest

from m2v_bench.distillation.words import WordReport, load_words
from m2v_bench.errors import BenchError


def test_glove_words_are_in_frequency_order():
    words = load_words("glove", subwords=None, size=5)
    assert words is not None
    assert words.words == ("the", ",", ".", "of", "to")
    assert not words.subwords


def test_glove_subword_keeps_the_subwords():
    words = load_words("glove_subword", subwords=None, size=5)
    assert words is not None
    assert words.subwords


def test_file_is_read_and_truncated(tmp_path: Path):
    file = tmp_path / "medical.txt"
    file.write_bytes("\ufeffaspirin\r\nnew york\n\nnaïve\n".encode())
    words = load_words(f"file:{file}", subwords=False, size=None)
    assert words is not None
    assert (words.source, words.words, words.subwords) == ("medical", ("aspirin", "new york", "", "naïve"), False)
    cut = load_words(f"file:{file}", subwords=None, size=2)
    assert cut is not None
    assert cut.words == ("aspirin", "new york")
    assert cut.revision != words.revision


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"cannot be read \(No such file"),
        (b"", "the file is empty"),
        (b" \n\n", "the file is empty"),
        ("na\xefve\n".encode("latin-1"), r"not UTF-8 \(byte 2\)"),
    ],
)
def test_bad_word_file_is_refused(tmp_path: Path, content: bytes | None, message: str):
    file = tmp_path / "words.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BenchError, match=rf"vocabulary=file:.*words\.txt: {message}"):
        load_words(f"file:{file}", subwords=None, size=None)


@pytest.mark.parametrize(
    ("vocabulary", "settings", "message"),
    [
        ("webster", {}, r"vocabulary=webster: unknown; allowed: model, glove, glove_subword, file:PATH"),
        ("model", {"size": 10}, r"vocabulary_size=10: applies to word lists only"),
        ("model", {"subwords": False}, r"subwords=false: applies to word lists only"),
        ("glove", {"size": 0}, r"vocabulary_size=0: must be at least 1"),
        ([], {}, "the list of words is empty"),
    ],
)
def test_bad_settings_are_refused(vocabulary: str, settings: dict[str, object], message: str):
    with pytest.raises(BenchError, match=message):
        load_words(vocabulary, **{"subwords": None, "size": None, **settings})  # type: ignore[arg-type]


def test_git_lfs_pointer_is_refused(tmp_path: Path):
    pointer = "version {}://git-lfs.{}/spec/v1\noid sha256:0\nsize 9\n".format("https", "example")
    (tmp_path / "words.txt").write_text(pointer)
    with pytest.raises(BenchError, match=r"words.txt is a Git LFS pointer"):
        load_words(f"file:{tmp_path}/words.txt", subwords=None, size=None)


def test_report_shows_nonzero_counts():
    report = WordReport(given=10, added=6, duplicate=3, empty=1)
    assert str(report) == "6 of 10 words added; left out 1 empty, 3 duplicate or subwords already"
    assert str(WordReport(removed=994)) == "994 tokens removed by the pattern"
    assert "of these 2 of several parts" in str(WordReport(given=3, added=3, multiword=2))
