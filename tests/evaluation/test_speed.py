import json
import os
from pathlib import Path

import pytest
import torch

from m2v_bench.evaluation.mteb_encoder import MtebEncoder
from m2v_bench.evaluation.speed import TEXTS_PER_TASK, SpeedTexts, measure
from m2v_bench.evaluation.throughput import texts_per_second
from m2v_bench.tasks import load_suite
from m2v_bench.threads import limit_threads, n_threads, one_thread
from tests.conftest import as_model, tiny_static_model


def suite(*tasks: str):
    return load_suite(benchmark=None, tasks=tasks, languages=["eng"], splits=["test"], hub_dir=None, seed=42)


def test_texts_come_from_every_task_and_are_the_same_every_time():
    tasks = suite("ReutersR8Classification", "AutoFJRetrieval", "MENWordSim")
    texts = SpeedTexts(42).of(tasks)
    assert len(texts) == 3 * TEXTS_PER_TASK
    assert texts == SpeedTexts(42).of(tasks)
    assert texts != SpeedTexts(43).of(tasks)


def test_a_task_that_was_loaded_to_be_scored_is_not_loaded_again(monkeypatch: pytest.MonkeyPatch):
    (entry,) = suite("MENWordSim")
    texts = SpeedTexts(42)
    texts.add(entry, entry.load())
    expected = SpeedTexts(42).of([entry])
    monkeypatch.setattr(type(entry), "load", lambda entry: pytest.fail("loaded again"))
    assert texts.of([entry]) == expected


def test_inside_one_thread_everything_uses_one_and_afterwards_as_before():
    before = torch.get_num_threads(), os.environ.get("TOKENIZERS_PARALLELISM")
    with one_thread():
        assert torch.get_num_threads() == 1
        assert os.environ["TOKENIZERS_PARALLELISM"] == "false"
    assert (torch.get_num_threads(), os.environ.get("TOKENIZERS_PARALLELISM")) == before
    with limit_threads(2):
        assert (torch.get_num_threads(), n_threads()) == (2, 2)
        with one_thread():
            assert n_threads() == 1
        assert n_threads() == 2
    assert (torch.get_num_threads(), os.environ.get("TOKENIZERS_PARALLELISM")) == before


def test_a_measurement_keeps_one_core_busy_at_most():
    from m2v_bench.baselines.static import StaticEncoder

    measured = texts_per_second(StaticEncoder(tiny_static_model()), ["good cat " * 200] * 2000)
    assert measured["slowest"] <= measured["texts_per_second"] <= measured["fastest"]
    assert measured["cores_busy"] < 1.3
    assert measured["path"] == "compiled loops" or measured["path"].startswith("tokenizers package (")


def test_a_record_is_kept_read_back_and_made_anew_for_other_texts(tmp_path: Path):
    model = as_model(tiny_static_model(), "m")

    def run(*tasks: str):
        encoders = {"m": MtebEncoder(model, seed=42)}
        return measure([model], encoders, suite(*tasks), SpeedTexts(42), suite_name="s", results_dir=tmp_path, seed=42)

    first = run("MENWordSim")
    assert run("MENWordSim") == first
    (file,) = tmp_path.glob("speed/test__m/m/*.json")
    assert json.loads(file.read_text()) == first[0]
    assert first[0]["threads"] == 1
    assert run("SimLex999WordSim")[0]["key"] != first[0]["key"]


def test_a_model_that_cannot_encode_has_no_speed_and_the_others_have(tmp_path: Path):
    def fail(device: str):
        raise RuntimeError("no")

    models = [as_model(tiny_static_model(), "broken", load=fail), as_model(tiny_static_model(), "fine")]
    encoders = {model.label: MtebEncoder(model, seed=42) for model in models}
    records = measure(
        models, encoders, suite("MENWordSim"), SpeedTexts(42), suite_name="s", results_dir=tmp_path, seed=42
    )
    assert [record["label"] for record in records] == ["fine"]


@pytest.mark.parametrize(("kind", "device"), [("static", "cpu"), ("lexical", "cpu"), ("transformer", "cuda")])
def test_only_a_transformer_goes_to_another_device(kind: str, device: str):
    devices: list[str] = []
    model = as_model(tiny_static_model(), "m", load=devices.append, kind=kind)
    MtebEncoder(model, seed=42, device="cuda").loaded()
    assert devices == [device]


def test_speed_is_measured_on_the_cpu_whatever_the_device_of_the_run(tmp_path: Path):
    devices: list[str] = []

    def load(device: str):
        from m2v_bench.baselines.static import StaticEncoder

        devices.append(device)
        return StaticEncoder(tiny_static_model())

    model = as_model(tiny_static_model(), "m", load=load, kind="transformer")
    encoders = {"m": MtebEncoder(model, seed=42, device="cuda")}
    measure([model], encoders, suite("MENWordSim"), SpeedTexts(42), suite_name="s", results_dir=tmp_path, seed=42)
    assert devices == ["cpu"]
