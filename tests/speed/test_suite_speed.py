"""Test the speed measurement of runs on texts of their suite."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from m2v_bench.evaluation.mteb_encoder import MtebEncoder
from m2v_bench.results.record import Speed
from m2v_bench.speed.suite_speed import TEXTS_PER_TASK, SpeedTexts, is_loaded, measure
from m2v_bench.speed.throughput import ROUNDS, alternately, others_running
from m2v_bench.system.threads import limit_threads, n_threads, one_blas_thread, one_thread
from m2v_bench.tasks import load_suite
from tests.conftest import as_model, tiny_static_model


def suite(*tasks: str):
    return load_suite(benchmark=None, tasks=tasks, languages=["eng"], splits=["test"], hub_dir=None, seed=42)


def test_texts_come_from_every_task_and_are_reproducible():
    tasks = suite("ReutersR8Classification", "AutoFJRetrieval", "MENWordSim")
    texts = SpeedTexts(42).of(tasks)
    assert len(texts) == 3 * TEXTS_PER_TASK
    assert texts == SpeedTexts(42).of(tasks)
    assert texts != SpeedTexts(43).of(tasks)


def test_loaded_task_is_not_loaded_again(monkeypatch: pytest.MonkeyPatch):
    (entry,) = suite("MENWordSim")
    texts = SpeedTexts(42)
    texts.add(entry, entry.load())
    expected = SpeedTexts(42).of([entry])
    monkeypatch.setattr(type(entry), "load", lambda entry: pytest.fail("loaded again"))
    assert texts.of([entry]) == expected


def test_one_blas_thread_leaves_torch_its_threads():
    def blas() -> set[int]:
        return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}

    with limit_threads(2):
        with one_blas_thread():
            assert (blas(), torch.get_num_threads()) == ({1}, 2)
        assert blas() == {2}


def test_one_thread_limits_and_restores_threads():
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


def test_measurement_keeps_at_most_one_core_busy():
    from m2v_bench.models.static import StaticEncoder

    encoders = {"m": lambda: StaticEncoder(tiny_static_model())}
    measured = alternately(encoders, ["good cat " * 200] * 2000)[0]["m"]
    assert measured["slowest"] <= measured["texts_per_second"] <= measured["fastest"]
    assert measured["cores_busy"] < 1.3
    assert measured["path"] == "compiled loops" or measured["path"].startswith("tokenizers package (")


def test_record_is_read_back_unless_the_texts_change(tmp_path: Path):
    model = as_model(tiny_static_model(), "m")

    def run(*tasks: str):
        encoders = {"m": MtebEncoder(model, seed=42)}
        return measure([model], encoders, suite(*tasks), SpeedTexts(42), suite_name="s", results_dir=tmp_path, seed=42)

    first = run("MENWordSim")
    assert run("MENWordSim") == first
    (file,) = tmp_path.glob("speed/test__m/m/*.json")
    assert json.loads(file.read_text()) == first[0].to_json()
    assert first[0].threads == 1
    assert run("SimLex999WordSim")[0].key != first[0].key


class Counting:
    """Encoder that records its calls."""

    def __init__(self, name: str, calls: list[str], fails: int = 99) -> None:
        self.name, self.calls, self.fails = name, calls, fails

    def encode(self, texts: Sequence[str], batch_size: int = 32) -> np.ndarray:
        self.calls.append(self.name)
        if self.calls.count(self.name) > self.fails:
            raise MemoryError
        time.sleep(0.12)  # two calls fill a pass
        return np.zeros((len(texts), 2))


def test_rounds_rotate_the_models():
    calls: list[str] = []
    rates, failed = alternately({name: partial(Counting, name, calls) for name in "abc"}, ["x"])
    per_round = len(calls) // (1 + ROUNDS)
    order = ["".join(dict.fromkeys(calls[3 + n * 6 : 9 + n * 6])) for n in range(ROUNDS)]
    assert per_round == 5  # one warm-up call, two calls per round
    assert calls[:3] == ["a", "b", "c"]
    assert order == ["abc", "bca", "cab", "abc", "bca"]
    assert not failed
    for rate in rates.values():
        assert len(rate["rounds"]) == ROUNDS
        assert rate["slowest"] == pytest.approx(min(rate["rounds"]), abs=0.01)


@pytest.mark.parametrize("fails", [0, 1, 3])
def test_failed_model_does_not_affect_the_others(fails: int):
    calls: list[str] = []
    encoders = {"bad": partial(Counting, "bad", calls, fails), "good": partial(Counting, "good", calls)}
    rates, failed = alternately(encoders, ["x"])
    assert set(rates) == {"good"}
    assert isinstance(failed["bad"], MemoryError)


def test_new_model_causes_a_new_session(tmp_path: Path):
    models = [as_model(tiny_static_model(seed=seed), name) for seed, name in enumerate("abc")]

    def run(n: int, **more: Any) -> list[Speed]:
        return measure(
            models[:n], {}, suite("MENWordSim"), SpeedTexts(42), suite_name="s", results_dir=tmp_path, seed=42, **more
        )

    first = run(2)
    assert len({speed.session for speed in first}) == 1
    assert run(2) == first
    alone = run(3, together=False)
    assert alone[:2] == first  # a job of a sweep measures only new models
    assert len({speed.session for speed in alone}) == 2
    assert run(3, alone=False) == alone
    together = run(3)
    assert len({speed.session for speed in together}) == 1
    assert together[0].session not in {speed.session for speed in alone}


@pytest.mark.parametrize(
    ("cores_busy", "others", "cores", "loaded"),
    [(1.0, 0.0, 2, False), (1.0, None, 2, False), (1.0, 2.0, 2, True), (0.7, 0.0, 2, True), (0.99, 5.0, 16, False)],
)
def test_is_loaded(cores_busy: float, others: float | None, cores: int, loaded: bool):
    assert is_loaded(cores_busy, others, cores) == loaded


def test_other_running_threads_are_counted():
    before = others_running()
    if before is None:
        pytest.skip("the system does not say")
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3)]
    try:
        time.sleep(1)
        counts = []
        for _ in range(21):
            time.sleep(0.02)
            counts.append(others_running())
        assert statistics.median(counts) >= 3
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_broken_model_has_no_speed(tmp_path: Path):
    def fail(device: str):
        raise RuntimeError("no")

    models = [as_model(tiny_static_model(), "broken", load=fail), as_model(tiny_static_model(), "fine")]
    encoders = {model.label: MtebEncoder(model, seed=42) for model in models}
    records = measure(
        models, encoders, suite("MENWordSim"), SpeedTexts(42), suite_name="s", results_dir=tmp_path, seed=42
    )
    assert [record.label for record in records] == ["fine"]


@pytest.mark.parametrize(("kind", "device"), [("static", "cpu"), ("lexical", "cpu"), ("transformer", "cuda")])
def test_only_transformers_use_the_device(kind: str, device: str):
    devices: list[str] = []
    model = as_model(tiny_static_model(), "m", load=devices.append, kind=kind)
    MtebEncoder(model, seed=42, device="cuda").loaded()
    assert devices == [device]


def test_speed_is_measured_on_the_cpu(tmp_path: Path):
    devices: list[str] = []

    def load(device: str):
        from m2v_bench.models.static import StaticEncoder

        devices.append(device)
        return StaticEncoder(tiny_static_model())

    model = as_model(tiny_static_model(), "m", load=load, kind="transformer")
    encoders = {"m": MtebEncoder(model, seed=42, device="cuda")}
    measure([model], encoders, suite("MENWordSim"), SpeedTexts(42), suite_name="s", results_dir=tmp_path, seed=42)
    assert devices == ["cpu"]
