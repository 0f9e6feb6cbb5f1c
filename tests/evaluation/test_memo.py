"""Test the cache of text embeddings."""

import sys
from collections.abc import Sequence

import numpy as np
import pytest

from m2v_bench.evaluation import memo
from m2v_bench.evaluation.memo import TextMemo


class Counter:
    """Embed a text as its length and first letter, and record the texts."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        self.seen += texts
        return np.array([[len(text), ord(text[:1] or "\0")] for text in texts], np.float32)


def test_text_is_embedded_once_over_all_calls(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memo, "_BLOCK", 7)
    encode, texts = Counter(), [f"{number % 42}" for number in range(5000)]
    cache = TextMemo()
    for _ in range(2):
        rows = cache.embed(iter(texts), len(texts), encode, prompt=None)
        assert (rows == Counter()(texts)).all()
    assert sorted(encode.seen) == sorted(set(texts))
    assert (cache.asked, cache.encoded) == (10_000, 42)


def test_prompt_is_part_of_the_key():
    encode, cache = Counter(), TextMemo()
    for prompt in ("query: ", "passage: ", None):
        cache.embed(["a"], 1, encode, prompt=prompt)
    assert encode.seen == ["a", "a", "a"]


def test_cache_size_is_limited(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memo, "_BLOCK", 10)
    monkeypatch.setattr(memo, "_KEPT_BYTES", (8 + memo._KEY_BYTES + sys.getsizeof("100")) * 25)
    encode, cache = Counter(), TextMemo()
    texts = [str(number) for number in range(100, 200)]
    for _ in range(2):
        assert (cache.embed(texts, 100, encode, prompt=None) == Counter()(texts)).all()
    assert cache.encoded == 100 + 75


def test_large_arrays_are_in_a_file(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memo, "_IN_MEMORY", 100)
    monkeypatch.setattr(memo, "_BLOCK", 300)
    texts = [str(number) for number in range(1000)]
    rows = TextMemo().embed(texts, len(texts), Counter(), prompt=None)
    assert isinstance(rows, np.memmap)
    assert (rows[[5, 999, 5]] == Counter()(["5", "999", "5"])).all()


def test_no_texts():
    assert len(TextMemo().embed([], 0, Counter(), prompt=None)) == 0


def test_keys_of_unusual_texts():
    texts = ["", "\0", "\ud800", "é", "e\u0301"]
    encode = Counter()
    TextMemo().embed(texts, len(texts), encode, prompt=None)
    assert encode.seen == texts
