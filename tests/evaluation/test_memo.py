from collections.abc import Sequence

import numpy as np
import pytest

from m2v_bench.evaluation import memo
from m2v_bench.evaluation.memo import TextMemo


class Counter:
    """Embeds a text as its length and first letter, and keeps what it was asked for."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        self.seen += texts
        return np.array([[len(text), ord(text[:1] or "\0")] for text in texts], np.float32)


def test_a_text_is_embedded_once_over_all_calls_of_a_task(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memo, "_BLOCK", 7)
    encode, texts = Counter(), [f"{number % 42}" for number in range(5000)]
    known = TextMemo()
    for _ in range(2):
        rows = known.embed(iter(texts), len(texts), encode, prompt=None)
        assert (rows == Counter()(texts)).all()
    assert sorted(encode.seen) == sorted(set(texts))
    assert (known.asked, known.encoded) == (10_000, 42)


def test_the_same_text_under_another_prompt_is_another_text():
    encode, known = Counter(), TextMemo()
    for prompt in ("query: ", "passage: ", None):
        known.embed(["a"], 1, encode, prompt=prompt)
    assert encode.seen == ["a", "a", "a"]


def test_memory_stays_flat_when_there_are_too_many_texts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memo, "_BLOCK", 10)
    monkeypatch.setattr(memo, "_KEPT_BYTES", (8 + memo._KEY_BYTES) * 25)
    encode, known = Counter(), TextMemo()
    texts = [str(number) for number in range(100)]
    for _ in range(2):
        assert (known.embed(texts, 100, encode, prompt=None) == Counter()(texts)).all()
    assert known.encoded == 100 + 75


def test_many_embeddings_lie_in_a_file(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memo, "_IN_MEMORY", 100)
    texts = [str(number) for number in range(1000)]
    rows = TextMemo().embed(texts, len(texts), Counter(), prompt=None)
    assert isinstance(rows, np.memmap)
    assert (rows[[5, 999, 5]] == Counter()(["5", "999", "5"])).all()


def test_no_texts_give_no_rows():
    assert len(TextMemo().embed([], 0, Counter(), prompt=None)) == 0


def test_odd_texts_have_keys():
    texts = ["", "\0", "\ud800", "é", "e\u0301"]
    encode = Counter()
    TextMemo().embed(texts, len(texts), encode, prompt=None)
    assert encode.seen == texts
