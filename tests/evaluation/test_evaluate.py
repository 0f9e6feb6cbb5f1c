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
    raise AssertionError("the model was loaded though its scores are known")


@pytest.fixture(scope="module")
def word_model() -> Model:
    """Rows for the commonest words of the word similarity sets, so that scores differ from chance."""
    words = ["old", "new", "smart", "intelligent", "hard", "difficult", "happy", "cheerful", "fast", "rapid"]
    return as_model(tiny_static_model(words), "words")


def test_the_teacher_scores_as_published(teacher_scores: tuple[list[Score], Path]):
    found = verify(teacher_scores[1], any_revision=True)
    assert {line.task: line.verdict for line in found.lines} == {
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
    (found,) = score([word_model], ["SummEvalSummarization.v2"], tmp_path, hub_dir=hub_dir)
    assert found.state == "scored"
    assert counters["frames"]["total"] == 0


def test_scores_are_written_and_read_back_without_loading_the_model(word_model: Model, tmp_path: Path):
    (first,) = score([word_model], ["SimLex999WordSim"], tmp_path)
    known = as_model(tiny_static_model(), "words", load=never_loaded)
    (second,) = score([known], ["SimLex999WordSim"], tmp_path)
    assert (first.state, second.state) == ("scored", "read")
    assert first.main_score == second.main_score


def test_result_files_are_mtebs_own(word_model: Model, tmp_path: Path):
    (written,) = score([word_model], ["SimLex999WordSim"], tmp_path)
    found = mteb.ResultCache(tmp_path).load_results(models=["test/words"])
    assert found.model_results[0].model_revision == "words"
    assert found.model_results[0].task_results[0].get_score() == written.main_score


def test_the_deprecated_reader_reads_them_too(hub_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model = as_model(tiny_static_model(["a", "the", "man", "woman", "is"]), "m")
    (written,) = score([model], ["STSBenchmark"], tmp_path, hub_dir=hub_dir)
    monkeypatch.setenv("MTEB_CACHE", str(tmp_path))
    with pytest.deprecated_call():
        found = mteb.load_results(download_latest=False)
    assert found.model_results[0].task_results[0].get_score() == written.main_score


def test_models_that_differ_in_one_thing_share_no_score(tmp_path: Path):
    static = tiny_static_model(["old", "new", "smart", "intelligent"])
    score([as_model(static, "a", name="test/m", revision="1", variant={"dims": 8})], ["SimLex999WordSim"], tmp_path)
    for fields in (
        {"name": "test/other", "revision": "1", "variant": {"dims": 8}},
        {"name": "test/m", "revision": "2", "variant": {"dims": 8}},
        {"name": "test/m", "revision": "1", "variant": {"dims": 16}},
    ):
        (again,) = score([as_model(static, "a", **fields)], ["SimLex999WordSim"], tmp_path)
        assert again.state == "scored", fields


def test_another_seed_has_its_own_scores(word_model: Model, tmp_path: Path):
    task = "Newsgroups20Clustering"
    (usual,) = score([word_model], [task], tmp_path)
    (other,) = score([word_model], [task], tmp_path, seed=7)
    assert other.state == "scored"
    assert usual.main_score != other.main_score


def test_a_model_gets_the_same_score_alone_and_after_others(word_model: Model, tmp_path: Path):
    task = "Newsgroups20Clustering"  # draws documents from the task's own random state
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


def test_a_task_that_raises_is_a_record_and_the_others_go_on(word_model: Model, tmp_path: Path):
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


def test_missing_data_is_missing(word_model: Model, hub_dir: Path, tmp_path: Path):
    (absent,) = score([word_model], ["STS13"], tmp_path, hub_dir=hub_dir)
    assert (absent.state, absent.main_score) == ("missing", None)
    assert "mteb/sts13-sts" in str(absent.reason)


def test_data_that_cannot_be_read_fails_that_task_alone(word_model: Model, tmp_path: Path):
    (tmp_path / "hub" / "mteb" / "sts12-sts").mkdir(parents=True)
    scores = score([word_model], ["STS12", "SimLex999WordSim"], tmp_path / "results", hub_dir=tmp_path / "hub")
    assert [s.state for s in scores] == ["failed", "scored"]
    assert "its data could not be loaded" in str(scores[0].reason)


def test_each_text_is_encoded_once_per_call_and_comes_back_in_place():
    seen: list[str] = []

    class Recorder:
        def encode(self, texts: Sequence[str], *, batch_size: int, prompt: str | None = None) -> np.ndarray:
            seen.extend(texts)
            return np.array([[float(len(text)), 1.0] for text in texts], dtype=np.float32)

    encoder = MtebEncoder(as_model(tiny_static_model(), "m", load=lambda device: Recorder()), seed=42)
    batches = [{"text": ["bb", "a"]}, {"text": ["bb", "ccc"]}]
    got = encoder.encode(batches, task_metadata=mteb.get_task("STS12").metadata, hf_split="test", hf_subset="default")
    assert seen == ["bb", "a", "ccc"]
    assert got[:, 0].tolist() == [2, 1, 2, 3]


def test_prompts_of_a_model_reach_it_by_prompt_type():
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


def test_a_file_that_holds_more_than_is_asked_for_gives_the_score_of_what_is_asked(hub_dir: Path, tmp_path: Path):
    model = as_model(tiny_static_model(["a", "the", "man", "woman", "is"]), "m")
    (asked,) = score([model], ["STS12"], tmp_path, hub_dir=hub_dir)
    (file,) = (tmp_path / "results").rglob("STS12.json")
    held = json.loads(file.read_text())
    extra = [{**entry, "main_score": 0.99, "cosine_spearman": 0.99} for entry in held["scores"]["test"]]
    held["scores"]["train"] = extra
    file.write_text(json.dumps(held))
    (again,) = score([model], ["STS12"], tmp_path, hub_dir=hub_dir)
    assert (again.state, again.main_score) == ("read", asked.main_score)


@pytest.mark.parametrize(
    "spoil", [lambda text: text[: len(text) // 2], lambda text: text.replace(mteb.__version__, "2.0.0")]
)
def test_a_torn_file_and_one_of_another_mteb_are_made_anew(word_model: Model, tmp_path: Path, spoil: Any):
    (first,) = score([word_model], ["SimLex999WordSim"], tmp_path)
    (file,) = (tmp_path / "results").rglob("SimLex999WordSim.json")
    file.write_text(spoil(file.read_text()))
    (again,) = score([word_model], ["SimLex999WordSim"], tmp_path)
    assert (again.state, again.main_score) == ("scored", first.main_score)


def test_a_model_is_compared_as_it_says():
    model = as_model(tiny_static_model(), "m", similarity="dot")
    similarity = MtebEncoder(model, seed=42).similarity(np.array([[2.0, 0.0]]), np.array([[3.0, 4.0]]))
    assert float(similarity) == 6.0


def test_splits_scored_before_are_kept(hub_dir: Path, tmp_path: Path):
    model = as_model(tiny_static_model(["a", "the", "man", "woman", "is"]), "m")
    task = {"name": "AmazonCounterfactualClassification", "subsets": ["en"]}
    (validation,) = score([model], [{**task, "splits": ["validation"]}], tmp_path, hub_dir=hub_dir)
    (test,) = score([model], [{**task, "splits": ["test"]}], tmp_path, hub_dir=hub_dir)
    (again,) = score([model], [{**task, "splits": ["validation"]}], tmp_path, hub_dir=hub_dir)
    assert [s.state for s in (validation, test, again)] == ["scored", "scored", "read"]
    assert validation.main_score == again.main_score != test.main_score


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_embedding_that_is_not_finite_fails_its_task(value: float):
    broken = as_model(tiny_static_model(), "broken", load=lambda device: Broken(value))
    encoder = MtebEncoder(broken, seed=42)
    batches = [{"text": ["cat", "dog"]}, {"text": ["bird"]}]
    metadata = mteb.get_task("STSBenchmark").metadata
    with pytest.raises(BenchError, match="broken gives 1 of 3 texts an embedding that is not finite"):
        encoder.encode(batches, task_metadata=metadata, hf_split="test", hf_subset="default")


def test_a_score_of_nan_is_no_score(hub_dir: Path, tmp_path: Path):
    class Constant:
        def encode(self, texts: Sequence[str], **_: Any) -> np.ndarray:
            return np.ones((len(texts), 4), np.float32)

    constant = as_model(tiny_static_model(), "constant", load=lambda device: Constant())
    for _ in range(2):  # scored, then read
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            (found,) = score([constant], ["STSBenchmark"], tmp_path, hub_dir=hub_dir)
        assert (found.main_score, found.state) == (None, "missing")
        assert "its main score is nan" in str(found.reason)


class Broken:
    def __init__(self, value: float) -> None:
        self.value = value

    def encode(self, texts: Sequence[str], **_: Any) -> np.ndarray:
        return np.array([[1.0, self.value if text == "dog" else 2.0] for text in texts], np.float32)
