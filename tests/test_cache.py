"""Test the cache of arrays, atomic folders, and hashes."""

import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from m2v_bench.cache import cached_arrays, content_hash, folder_hash, new_folder, save_array
from m2v_bench.errors import BenchError


@pytest.fixture(autouse=True)
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("M2V_BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_arrays_are_computed_once_per_key():
    calls = []

    def compute(unfinished: Path) -> dict[str, np.ndarray]:
        calls.append(1)
        return {"x": np.arange(3), "y": np.eye(2)}

    first, hit_first = cached_arrays("stage", {"a": 1}, compute)
    again, hit_again = cached_arrays("stage", {"a": 1}, compute)
    assert (hit_first, hit_again, len(calls)) == (False, True, 1)
    assert (again["x"] == first["x"]).all()
    assert (again["y"] == np.eye(2)).all()
    cached_arrays("stage", {"a": 2}, compute)
    cached_arrays("other", {"a": 1}, compute)
    assert len(calls) == 3


def test_failed_computation_leaves_nothing(fresh_cache: Path):
    with pytest.raises(ZeroDivisionError):
        cached_arrays("stage", {"a": 1}, lambda unfinished: {"x": np.array(1 // 0)})
    assert not [path for path in fresh_cache.rglob("*") if path.suffix != ".lock" and path.is_file()]
    _, hit = cached_arrays("stage", {"a": 1}, lambda unfinished: {"x": np.ones(1)})
    assert not hit


def _write_line_and_wait(log: str) -> dict[str, np.ndarray]:
    import time

    with Path(log).open("a") as file:
        file.write("computed\n")
    time.sleep(0.5)
    return {"x": np.ones(1)}


def _worker(log: str) -> None:
    cached_arrays("stage", {"a": 1}, lambda unfinished: _write_line_and_wait(log))


def test_concurrent_processes_compute_once(tmp_path: Path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_worker, args=(str(tmp_path / "log"),)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert (tmp_path / "log").read_text() == "computed\n"


def test_new_folder_is_atomic(tmp_path: Path):
    with pytest.raises(RuntimeError), new_folder(tmp_path / "f") as folder:
        (folder / "half").write_text("x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with new_folder(tmp_path / "f") as folder:
        (folder / "whole").write_text("x")
        assert not (tmp_path / "f").exists()
    assert (tmp_path / "f" / "whole").read_text() == "x"


def test_folder_hash_covers_names_and_bytes_of_visible_files(tmp_path: Path):
    (tmp_path / "a.json").write_text("1")
    before = folder_hash(tmp_path)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "x").write_text("1")
    assert folder_hash(tmp_path) == before
    (tmp_path / "README.md").write_text("1")
    assert folder_hash(tmp_path) != before
    assert folder_hash(tmp_path, suffixes=(".json",)) == before
    (tmp_path / "a.json").write_text("2")
    assert folder_hash(tmp_path, suffixes=(".json",)) != before


def test_content_hash_ignores_key_order():
    assert content_hash({"a": 1, "b": [2]}) == content_hash({"b": [2], "a": 1})
    assert content_hash({"a": 1}) != content_hash({"a": "1"})


def test_unwritable_cache_names_its_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("M2V_BENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(BenchError, match="Set M2V_BENCH_CACHE to a folder that can be written"):
        cached_arrays("stage", {}, lambda unfinished: {"x": np.ones(1)})


def test_intermediate_results_survive_an_interruption(fresh_cache: Path):
    def stop_after_a_part(unfinished: Path) -> dict[str, np.ndarray]:
        save_array(unfinished / "part.npy", np.arange(3))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached_arrays("stage", {"a": 1}, stop_after_a_part)
    arrays, _ = cached_arrays("stage", {"a": 1}, lambda unfinished: {"x": np.load(unfinished / "part.npy")})
    assert arrays["x"].tolist() == [0, 1, 2]
    assert not list(fresh_cache.rglob("part.npy"))
