"""Test that texts of tasks are found among training texts."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from m2v_bench.config.check import check
from m2v_bench.config.compose import compose
from m2v_bench.evaluation import overlap as overlap_module
from m2v_bench.evaluation.overlap import Overlap, TrainingIndex, overlaps
from m2v_bench.runs.prepare import suite_of

RIVER = "The old river carries water from the mountains to the quiet sea every winter"


@pytest.fixture
def index() -> TrainingIndex:
    return TrainingIndex([RIVER, "a cat", "The engineer repairs the old train near the station today"])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (RIVER.upper() + "!", "exact"),
        (RIVER.replace("quiet ", "quiet, ") + ".", "exact"),
        (RIVER + " and every single summer", "near"),
        ("He said: " + RIVER, "near"),
        (" ".join(RIVER.split()[:9]), "near"),  # contained in the training text
        (RIVER.replace("water", "boats").replace("quiet", "loud"), "no"),
        ("The old river is not what it was when we saw it last", "no"),
        ("a cat", "short"),
    ],
)
def test_duplicates_by_words(index: TrainingIndex, text: str, found: str):
    counts = {"exact": (1, 1, 0), "near": (1, 0, 1), "no": (1, 0, 0), "short": (0, 0, 0)}
    assert index.count([text]) == counts[found]
    assert index.duplicates([text]) == ({0} if found in ("exact", "near") else set())


def test_texts_are_counted_once(index: TrainingIndex):
    assert index.count([RIVER, RIVER.lower(), "something else altogether, in words"]) == (2, 1, 0)


def test_empty_corpus_shares_nothing():
    assert TrainingIndex([]).count([RIVER]) == (1, 0, 0)


def test_near_duplicates_agree_with_a_direct_comparison():
    rng = np.random.default_rng(0)
    words = [f"w{number}" for number in range(40)]
    training = [" ".join(rng.choice(words, 14)) for _ in range(60)]
    texts = []
    for text in training:
        changed = text.split()
        for place in rng.integers(0, 14, rng.integers(0, 4)):
            changed[place] = str(rng.choice(words))
        texts.append(" ".join(changed))

    def shingles(text: str) -> set[tuple[str, ...]]:
        split = text.split()
        return {tuple(split[place : place + 5]) for place in range(len(split) - 4)}

    def near(text: str) -> bool:
        pairs = [(shingles(text), shingles(other)) for other in training]
        return any(len(a & b) >= 0.8 * min(len(a), len(b)) for a, b in pairs)

    expected = sum(near(text) for text in texts)
    _, exact, others = TrainingIndex(training).count(texts)
    assert 0 < exact < expected < len(texts)
    assert exact + others == expected


def test_tasks_of_a_suite_are_compared_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("M2V_BENCH_CACHE", str(tmp_path / "cache"))
    pairs = pd.DataFrame(
        {"a": [RIVER, "one of the other texts"], "b": ["A cat sleeps on the roof"] * 2, "y": [1.0, 0.0]}
    )
    pairs.to_csv(tmp_path / "pairs.csv", index=False)
    task = f"{{name: Pairs, type: STS, data: {tmp_path}/pairs.csv, columns: {{sentence1: a, sentence2: b, score: y}}}}"
    suite = suite_of(check(compose(["suite=custom", f"suite.tasks=[{task}]"])))
    index = TrainingIndex([RIVER.lower(), "a text of its own"])
    assert overlaps(suite, "corpus", lambda: index) == [Overlap("Pairs", 3, 1, 0)]
    monkeypatch.setattr(overlap_module, "load_task", lambda entry: pytest.fail("compared again"))
    assert overlaps(suite, "corpus", lambda: pytest.fail("read again")) == [Overlap("Pairs", 3, 1, 0)]


def test_task_that_cannot_be_read_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("M2V_BENCH_CACHE", str(tmp_path / "cache"))

    def fail(entry: object) -> None:
        raise OSError("damaged")

    suite = suite_of(check(compose(["suite=custom", "suite.tasks=[SimLex999WordSim]"])))
    monkeypatch.setattr(overlap_module, "load_task", fail)
    assert overlaps(suite, "corpus", lambda: TrainingIndex([])) == []
    assert "texts of SimLex999WordSim are not compared with the training corpus: damaged" in caplog.text
