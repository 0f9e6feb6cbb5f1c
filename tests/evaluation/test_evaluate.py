"""Test scoring models on tasks with mteb."""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mteb
import numpy as np
import pytest

from m2v_bench.errors import BenchError
from m2v_bench.evaluation.evaluate import Session, evaluate
from m2v_bench.evaluation.mteb_encoder import MtebEncoder
from m2v_bench.evaluation.store import Store
from m2v_bench.models import Model
from m2v_bench.paper.verify import verify
from m2v_bench.results.record import Score
from m2v_bench.tasks import load_suite
from tests.conftest import as_model, tiny_static_model


def score(models: Sequence[Model], tasks: Sequence[Any], results: Path, **fields: Any) -> list[Score]:
    seed = fields.pop("seed", 42)
    hub_dir = fields.pop("hub_dir", None)
    suite = load_suite(
        benchmark=None, tasks=tasks, languages=["eng"], splits=["test"], hub_dir=hub_dir and str(hub_dir), seed=seed
    )
    encoders = {model.label: MtebEncoder(model, seed=seed) for model in models}
    return evaluate(encoders, models, suite, Session(Store(results), seed=seed, batch_size=32, **fields))


def never_loaded(device: str) -> Any:
    raise AssertionError("the model was loaded although its scores are known")


@pytest.fixture(scope="module")
def word_model() -> Model:
    """Make a model with common words of the word similarity sets, so that scores differ from chance."""
    words = ["old", "new", "smart", "intelligent", "hard", "difficult", "happy", "cheerful", "fast", "rapid"]
    return as_model(tiny_static_model(words), "words")


def test_teacher_scores_match_published_scores(teacher_scores: tuple[list[Score], Path]):
    verification = verify(teacher_scores[1], any_revision=True)
    assert {line.task: line.verdict for line in verification.lines} == {
        "STSBenchmark": "green",
        "AmazonCounterfactualClassification": "green",
    }


def test_nothing_is_compiled_for_a_gpu(
    hub_dir: Path, word_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from torch._dynamo.utils import counters

    monkeypatch.setattr("mteb.similarity_functions._use_torch_compile", lambda: True)
    monkeypatch.setattr("m2v_bench.evaluation.evaluate.accelerator", lambda: "a GPU")
    counters.clear()
    (scored,) = score([word_model], ["SummEvalSummarization.v2"], tmp_path, hub_dir=hub_dir)
    assert scored.state == "scored"
    assert counters["frames"]["total"] == 0


def test_scores_are_written_and_read_back_without_loading_the_model(word_model: Model, tmp_path: Path):
    (first,) = score([word_model], ["SimLex999WordSim"], tmp_path)
    known = as_model(tiny_static_model(), "words", load=never_loaded)
    (second,) = score([known], ["SimLex999WordSim"], tmp_path)
    assert (first.state, second.state) == ("scored", "read")
    assert first.main_score == second.main_score


def test_mteb_reads_our_result_files(word_model: Model, tmp_path: Path):
    (written,) = score([word_model], ["SimLex999WordSim"], tmp_path)
    results = mteb.ResultCache(tmp_path).load_results(models=["test/words"])
    assert results.model_results[0].model_revision == "words"
    assert results.model_results[0].task_results[0].get_score() == written.main_score


def test_deprecated_reader_reads_our_result_files(hub_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model = as_model(tiny_static_model(["a", "the", "man", "woman", "is"]), "m")
    (written,) = score([model], ["STSBenchmark"], tmp_path, hub_dir=hub_dir)
    monkeypatch.setenv("MTEB_CACHE", str(tmp_path))
    with pytest.deprecated_call():
        results = mteb.load_results(download_latest=False)
    assert results.model_results[0].task_results[0].get_score() == written.main_score


def test_name_revision_and_variant_separate_scores(tmp_path: Path):
    static = tiny_static_model(["old", "new", "smart", "intelligent"])
    score([as_model(static, "a", name="test/m", revision="1", variant={"dims": 8})], ["SimLex999WordSim"], tmp_path)
    for fields in (
        {"name": "test/other", "revision": "1", "variant": {"dims": 8}},
        {"name": "test/m", "revision": "2", "variant": {"dims": 8}},
        {"name": "test/m", "revision": "1", "variant": {"dims": 16}},
    ):
        (again,) = score([as_model(static, "a", **fields)], ["SimLex999WordSim"], tmp_path)
        assert again.state == "scored", fields


def test_seed_separates_scores(word_model: Model, tmp_path: Path):
    task = "Newsgroups20Clustering"
    (default,) = score([word_model], [task], tmp_path)
    (other,) = score([word_model], [task], tmp_path, seed=7)
    assert other.state == "scored"
    assert default.main_score != other.main_score


def test_score_is_independent_of_other_models(word_model: Model, tmp_path: Path):
    task = "Newsgroups20Clustering"  # draws documents from the task's random state
    other = as_model(tiny_static_model(["old", "car", "good"], seed=1), "other")
    (alone,) = score([word_model], [task], tmp_path / "alone")
    after = score([other, word_model], [task], tmp_path / "after")
    assert after[1].main_score == alone.main_score
    assert after[0].main_score != alone.main_score


class _FailsOnLongTexts:
    def encode(self, texts: Sequence[str], *, batch_size: int, prompt: str | None = None) -> np.ndarray:
        if max(map(len, texts)) > 200:
            raise RuntimeError("too long\nfor me")
        return tiny_static_model().encode(texts)


def test_failed_task_is_recorded_and_the_others_continue(word_model: Model, tmp_path: Path):
    failing = as_model(tiny_static_model(), "failing", load=lambda device: _FailsOnLongTexts())
    scores = score([failing, word_model], ["ReutersR8Classification", "SimLex999WordSim"], tmp_path)
    assert [(s.label, s.task, s.state) for s in scores] == [
        ("failing", "ReutersR8Classification", "failed"),
        ("words", "ReutersR8Classification", "scored"),
        ("failing", "SimLex999WordSim", "scored"),
        ("words", "SimLex999WordSim", "scored"),
    ]
    assert scores[0].main_score is None
    assert scores[0].reason == "RuntimeError: too long"
    with pytest.raises(RuntimeError, match="too long"):
        score([failing], ["ReutersR8Classification"], tmp_path, debug=True)


def test_missing_data(word_model: Model, hub_dir: Path, tmp_path: Path):
    (absent,) = score([word_model], ["STS13"], tmp_path, hub_dir=hub_dir)
    assert (absent.state, absent.main_score) == ("missing", None)
    assert "mteb/sts13-sts" in str(absent.reason)


def test_unreadable_data_fails_only_its_task(word_model: Model, tmp_path: Path):
    (tmp_path / "hub" / "mteb" / "sts12-sts").mkdir(parents=True)
    scores = score([word_model], ["STS12", "SimLex999WordSim"], tmp_path / "results", hub_dir=tmp_path / "hub")
    assert [s.state for s in scores] == ["failed", "scored"]
    assert "its data could not be loaded" in str(scores[0].reason)


def test_each_text_is_encoded_once_and_rows_keep_their_order():
    seen: list[str] = []

    class Recorder:
        def encode(self, texts: Sequence[str], *, batch_size: int, prompt: str | None = None) -> np.ndarray:
            seen.extend(texts)
            return np.array([[float(len(text)), 1.0] for text in texts], dtype=np.float32)

    encoder = MtebEncoder(as_model(tiny_static_model(), "m", load=lambda device: Recorder()), seed=42)
    batches = [{"text": ["bb", "a"]}, {"text": ["bb", "ccc"]}]
    rows = encoder.encode(batches, task_metadata=mteb.get_task("STS12").metadata, hf_split="test", hf_subset="default")
    assert seen == ["bb", "a", "ccc"]
    assert rows[:, 0].tolist() == [2, 1, 2, 3]


def test_prompts_depend_on_the_prompt_type():
    from mteb.types import PromptType

    prompts: list[str | None] = []

    class Recorder:
        def encode(self, texts: Sequence[str], *, batch_size: int, prompt: str | None = None) -> np.ndarray:
            prompts.append(prompt)
            return np.ones((len(texts), 2), dtype=np.float32)

    model = as_model(
        tiny_static_model(), "m", load=lambda device: Recorder(), prompts={"query": "query: ", "document": "passage: "}
    )
    for prompt_type in (PromptType.query, PromptType.document):
        MtebEncoder(model, seed=42).encode(
            [{"text": ["a"]}],
            task_metadata=mteb.get_task("SciFact").metadata,
            hf_split="test",
            hf_subset="default",
            prompt_type=prompt_type,
        )
    assert prompts == ["query: ", "passage: "]


def test_only_requested_splits_of_a_result_file_count(hub_dir: Path, tmp_path: Path):
    model = as_model(tiny_static_model(["a", "the", "man", "woman", "is"]), "m")
    (asked,) = score([model], ["STS12"], tmp_path, hub_dir=hub_dir)
    (file,) = (tmp_path / "results").rglob("STS12.json")
    content = json.loads(file.read_text())
    extra = [{**entry, "main_score": 0.99, "cosine_spearman": 0.99} for entry in content["scores"]["test"]]
    content["scores"]["train"] = extra
    file.write_text(json.dumps(content))
    (again,) = score([model], ["STS12"], tmp_path, hub_dir=hub_dir)
    assert (again.state, again.main_score) == ("read", asked.main_score)


@pytest.mark.parametrize(
    "spoil", [lambda text: text[: len(text) // 2], lambda text: text.replace(mteb.__version__, "2.0.0")]
)
def test_damaged_and_outdated_result_files_are_replaced(word_model: Model, tmp_path: Path, spoil: Any):
    (first,) = score([word_model], ["SimLex999WordSim"], tmp_path)
    (file,) = (tmp_path / "results").rglob("SimLex999WordSim.json")
    file.write_text(spoil(file.read_text()))
    (again,) = score([word_model], ["SimLex999WordSim"], tmp_path)
    assert (again.state, again.main_score) == ("scored", first.main_score)


def test_similarity_of_the_model_is_used():
    model = as_model(tiny_static_model(), "m", similarity="dot")
    similarity = MtebEncoder(model, seed=42).similarity(np.array([[2.0, 0.0]]), np.array([[3.0, 4.0]]))
    assert float(similarity) == 6.0


def test_scored_splits_are_kept(hub_dir: Path, tmp_path: Path):
    model = as_model(tiny_static_model(["a", "the", "man", "woman", "is"]), "m")
    task = {"name": "AmazonCounterfactualClassification", "subsets": ["en"]}
    (validation,) = score([model], [{**task, "splits": ["validation"]}], tmp_path, hub_dir=hub_dir)
    (test,) = score([model], [{**task, "splits": ["test"]}], tmp_path, hub_dir=hub_dir)
    (again,) = score([model], [{**task, "splits": ["validation"]}], tmp_path, hub_dir=hub_dir)
    assert [s.state for s in (validation, test, again)] == ["scored", "scored", "read"]
    assert validation.main_score == again.main_score != test.main_score


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_embeddings_must_be_finite(value: float):
    broken = as_model(tiny_static_model(), "broken", load=lambda device: Broken(value))
    encoder = MtebEncoder(broken, seed=42)
    batches = [{"text": ["cat", "dog"]}, {"text": ["bird"]}]
    metadata = mteb.get_task("STSBenchmark").metadata
    with pytest.raises(BenchError, match="broken gives 1 of 3 texts an embedding that is not finite"):
        encoder.encode(batches, task_metadata=metadata, hf_split="test", hf_subset="default")


def test_nan_score_is_missing(hub_dir: Path, tmp_path: Path):
    class Constant:
        def encode(self, texts: Sequence[str], **_: Any) -> np.ndarray:
            return np.ones((len(texts), 4), np.float32)

    constant = as_model(tiny_static_model(), "constant", load=lambda device: Constant())
    for _ in range(2):  # scored, then read
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            (scored,) = score([constant], ["STSBenchmark"], tmp_path, hub_dir=hub_dir)
        assert (scored.main_score, scored.state) == (None, "missing")
        assert scored.reason == "its main score is NaN (for example because all embeddings are equal)"


class Broken:
    def __init__(self, value: float) -> None:
        self.value = value

    def encode(self, texts: Sequence[str], **_: Any) -> np.ndarray:
        return np.array([[1.0, self.value if text == "dog" else 2.0] for text in texts], np.float32)
