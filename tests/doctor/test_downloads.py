"""Test what `dry_run=true` says before models and data are here, with a real hub on this machine."""

import re
import subprocess
import sys
from pathlib import Path

import mteb

from m2v_bench.assets.fetch import catalog
from tests.conftest import tiny_static_model
from tests.hub_server import hub_environment, hub_server


def plan(*overrides: str, cwd: Path, **environment: str) -> str:
    """Return the output of a dry run without a package registry, as one line."""
    command = [sys.executable, "-m", "m2v_bench", *overrides, "dry_run=true", "tracking=none"]
    inherited = {**hub_environment("http://127.0.0.1:9", cwd / "home"), "PIP_NO_INDEX": "1", "COLUMNS": "200"}
    run = subprocess.run(
        command, cwd=cwd, env={**inherited, **environment}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert not list(cwd.rglob("*.json"))
    return " ".join(run.stdout.split())


def test_first_dry_run_lists_what_is_downloaded(tmp_path: Path):
    empty = str(tmp_path / "cache")
    shown = plan("baseline=[teacher,wordllama-256]", cwd=tmp_path, M2V_BENCH_CACHE=empty)
    names = ["all-MiniLM-L6-v2", "wordllama-256", "newsgroups-reuters", "autofj", "word-similarity"]
    rows = re.findall(r"│ (\S+) │ ([^│]+) │ package registry │ ([\d.]+) │ no │", shown)
    assert [name for name, *_ in rows] == names
    assert [size for *_, size in rows] == [f"{catalog()[name].bytes / 1e6:,.1f}" for name in names]
    assert dict(row[:2] for row in rows)["newsgroups-reuters"] == "3 tasks"
    total = sum(catalog()[name].bytes for name in names)
    assert f"{total / 1e6:.0f} MB from the package registry to {empty}, " in shown
    assert "asset wordllama-256 is absent and not in the package registry" in shown
    assert re.search(r"scoring, a rough estimate [^:]+: other models [\d.]+ s, all-MiniLM-L6-v2 [\d.]+ (s|min)", shown)


def test_sweep_lists_each_download_once(tmp_path: Path):
    empty = str(tmp_path / "cache")
    sweep = ["-m", "base_model=paraphrase-MiniLM-L3-v2", "pca_dims=16,32", "suite=custom", "suite.tasks=[MENWordSim]"]
    shown = plan(*sweep, "baseline=[teacher]", cwd=tmp_path, M2V_BENCH_CACHE=empty)
    # the converted model borrows its tokenizer from another one
    assert re.findall(r"│ (\S+) │ [^│]+ │ package registry", shown) == [
        "all-MiniLM-L6-v2", "paraphrase-MiniLM-L3-v2", "word-similarity",
    ]  # fmt: skip


def test_hub_is_asked_for_models_and_datasets(hub_dir: Path, tmp_path: Path):
    tiny_static_model(["one", "two", "three"], dims=4).save_pretrained(tmp_path / "saved")
    files = {file.name: file.read_bytes() for file in (tmp_path / "saved").iterdir()}
    for file in (tmp_path / "saved").iterdir():
        file.unlink()
    overrides = ["suite=custom", "suite.tasks=[STS12,STS13]", "baseline=[]"]
    overrides += ["+baselines.mine.kind=static", "+baselines.mine.name=org/mine"]
    with hub_server() as (address, repositories):
        repositories["org/mine"] = files
        dataset = mteb.get_task("STS12").metadata.dataset
        repositories.add_dataset(hub_dir / dataset["path"], dataset["path"], dataset["revision"])
        shown = plan(*overrides, cwd=tmp_path, HF_ENDPOINT=address)
        assert repositories.requests == []
    assert re.search(r"│ org/mine │ models │ hub │ [\d.]+ │ yes │", shown)
    assert re.search(r"│ mteb/sts12-sts │ STS12 │ hub │ 0\.2 │ yes │", shown)
    assert re.search(r"│ mteb/sts13-sts │ STS13 │ hub │ \? │ no │", shown)
    assert "the hub does not provide mteb/sts13-sts@7e90230a92c190f1bf69ae9002b8cea5" in shown
    unreachable = plan(*overrides, cwd=tmp_path)
    assert "the hub cannot be reached: ConnectError" in unreachable
    assert "m2v-bench bundle suite=... --out FOLDER" in unreachable


def test_datasets_at_their_newest_commit_are_listed(tmp_path: Path):
    with hub_server() as (address, repositories):
        name = "Lihuchen/pearl_benchmark"
        repositories[f"datasets/{name}@newest"] = {"README.md": b"x"}
        shown = plan(
            "suite=custom",
            "suite.tasks=[PEARL-bird]",
            "baseline=[]",
            cwd=tmp_path,
            HF_ENDPOINT=address,
            M2V_BENCH_CACHE=str(tmp_path / "cache"),
        )
    assert re.search(rf"│ {name} │ PEARL-bird │ hub │ [\d.]+ │ yes │", shown), shown
