"""Test `m2v-bench doctor` on real data, and on missing and modified data."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import mteb
import pandas as pd
import pytest

from m2v_bench.cache import file_sha256
from m2v_bench.doctor.data_needs import Need, examine
from m2v_bench.doctor.machine_needs import peak_memory
from m2v_bench.doctor.timing import ROUGH, Estimate, Records, forecast, rough
from m2v_bench.tasks import load_suite
from m2v_bench.tasks.manifest import Entry, File, Manifest
from tests.conftest import as_model, run_bench, tiny_static_model
from tests.hub_server import hub_environment, hub_server

AMAZON = {"name": "AmazonCounterfactualClassification", "subsets": ["en"]}


def look(hub: Path | None, *tasks: Any, count: str = "all") -> dict[str, Need]:
    folder = str(hub) if hub else None
    suites = [
        load_suite(benchmark=None, tasks=tasks, languages=["eng"], splits=["test"], hub_dir=where, seed=42)
        for where in (folder, None)
    ]
    return {need.name: need for need in examine(*suites, count=count)}


def doctor(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "m2v_bench.cli", "doctor", *arguments]
    inherited = hub_environment("http://127.0.0.1:9", cwd / "home")
    return subprocess.run(
        command, cwd=cwd, env={**inherited, **environment}, capture_output=True, text=True, check=False
    )


def test_real_datasets_match_mteb(hub_dir: Path):
    needs = look(
        hub_dir, "STSBenchmark", "STS12", "STS15", "Banking77Classification", AMAZON, "SciFact",
        "TweetSentimentExtractionClassification",
    )  # fmt: skip
    assert {need.data for need in needs.values()} == {"as mteb's"}
    assert not any(need.problems for need in needs.values())
    assert needs["STSBenchmark"].bytes == sum(
        path.stat().st_size for path in (hub_dir / "mteb" / "stsbenchmark-sts").rglob("*") if path.is_file()
    )


def test_data_of_another_revision(hub_dir: Path):
    # the second version of the task pins a revision without duplicates; the folder holds the first
    (problem,) = look(hub_dir, "Banking77Classification.v2")["Banking77Classification.v2"].problems
    assert problem.startswith(
        "differs from the data that mteb counted: test: num_samples 3,076 expected, 3,080 found; "
    )
    summaries = look(hub_dir, "SummEval")["SummEval"]  # this copy lacks five characters of a summary
    assert "number_of_characters 1,007,527 expected, 1,007,522 found" in summaries.problems[0]


def test_files_verified_by_a_manifest_are_no_problem(hub_dir: Path, tmp_path: Path):
    name, revision = (mteb.get_task("SummEval").metadata.dataset[key] for key in ("path", "revision"))
    folder = tmp_path / name
    shutil.copytree(hub_dir / name, folder, copy_function=shutil.copyfile)
    paths = [path for path in folder.rglob("*") if path.is_file()]
    files = {path.relative_to(folder).as_posix(): File(path.stat().st_size, file_sha256(path)) for path in paths}
    Manifest({name: Entry(name, name, revision, files)}).write(tmp_path)
    need = look(tmp_path, "SummEval")["SummEval"]
    assert (need.verified, need.data, need.problems) == (True, "differs", ())
    assert "its files match the pinned revision" in str(need.remark)
    (file,) = folder.rglob("*.parquet")
    pd.read_parquet(file).iloc[:-1].to_parquet(file)
    need = look(tmp_path, "SummEval", count="none")["SummEval"]
    assert need.state == "missing"
    assert "test.parquet is damaged: " in need.problems[0]


@pytest.fixture
def banking(hub_dir: Path, tmp_path: Path) -> Path:
    shutil.copytree(hub_dir / "mteb" / "banking77", tmp_path / "mteb" / "banking77", copy_function=shutil.copyfile)
    return tmp_path


def change(folder: Path, split: str, edit: Any) -> None:
    file = folder / "mteb" / "banking77" / "default" / f"{split}.parquet"
    edit(pd.read_parquet(file)).to_parquet(file)


def test_removed_rows(banking: Path):
    change(banking, "train", lambda rows: rows.iloc[:-3])
    need = look(banking, "Banking77Classification")["Banking77Classification"]
    assert (need.state, need.data) == ("present", "differs")
    assert "train: num_samples 10,003 expected, 10,000 found" in need.problems[0]


def test_changed_label(banking: Path):
    def relabel(rows: pd.DataFrame) -> pd.DataFrame:
        rows.loc[0, "label"] = 76 if rows.loc[0, "label"] != 76 else 75
        return rows

    change(banking, "test", relabel)
    (problem,) = look(banking, "Banking77Classification")["Banking77Classification"].problems
    assert re.search(r"label_statistics\.labels\.76\.count 40 expected, 41 found", problem)
    assert re.search(r"label_statistics\.labels\.\d+\.count 40 expected, 39 found", problem)


def test_large_datasets_are_counted_only_on_request(hub_dir: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("m2v_bench.doctor.data_needs.CHECKED_TEXTS", 2000)
    needs = look(hub_dir, "STSBenchmark", "STS12", count="small")
    assert {name: need.data for name, need in needs.items()} == {"STSBenchmark": "as mteb's", "STS12": "not counted"}
    assert look(hub_dir, "STSBenchmark", count="none")["STSBenchmark"].data == "not counted"


def test_suite_without_data(tmp_path: Path):
    (tmp_path / "hub").mkdir()
    run = doctor("suite=mteb_eng_v2", "hub_dir=hub", cwd=tmp_path)
    assert run.returncode == 1
    assert run.stdout.count("│ missing │") == 41
    assert "PROBLEM data: 41 tasks have nothing in hub_dir=hub: " in run.stdout
    assert "ok      hub_dir: hub, no manifest.json: folders are not verified" in run.stdout
    assert "memory: not estimated: no task has its data here" in run.stdout
    assert "ok      encoding: compiled loops" in run.stdout
    assert "problem(s): this run cannot be completed correctly here" in run.stderr
    assert "Traceback" not in run.stderr


def test_times_come_from_result_files(hub_dir: Path, tmp_path: Path):
    overrides = ["suite=custom", "suite.tasks=[STSBenchmark]", f"hub_dir={hub_dir}", "baseline=[]", "tracking=none"]
    before = doctor(*overrides, "pca_dims=16", cwd=tmp_path)
    assert before.returncode == 0, before.stdout + before.stderr
    assert re.search(r"1 take 0\.\d s \(a rough estimate from the number of characters\)", before.stdout)
    assert run_bench(*overrides, "pca_dims=16", cwd=tmp_path).returncode == 0
    (file,) = (tmp_path / "results" / "results").rglob("STSBenchmark.json")
    seconds = json.loads(file.read_text())["evaluation_time"]
    other = doctor(*overrides, "pca_dims=32", cwd=tmp_path)
    assert f"1 take {seconds:.1f} s (of other static models, as recorded)" in other.stdout
    assert f"{seconds:.1f} s (1/1)" in other.stdout
    same = doctor(*overrides, "pca_dims=16", cwd=tmp_path)
    assert "│ scored" in re.sub(" +", " ", same.stdout)
    assert "time: 1 score already there" in same.stdout
    assert "MB free for " in same.stdout or "GB free for " in same.stdout
    assert re.search(r"memory: .* available; the largest task, STSBenchmark, takes about \d", same.stdout)


def test_estimates_and_their_sources():
    records = Records(
        Path(),
        {("T", "static", "a"): [2.0], ("T", "static", "b"): [9.0], ("T", "transformer", "c"): [100.0]},
        {"a": {"suite-1.json": 1000.0}, "new": {"suite-1.json": 500.0, "suite-2.json": 7.0}},
    )
    assert records.estimate("T", "static", "a") == Estimate(2.0, "recorded for the same model")
    # half as fast as `a` on the same suite and machine
    assert records.estimate("T", "static", "new") == Estimate(4.0, "of other static models, scaled by texts per second")
    assert records.estimate("T", "static", "unmeasured") == Estimate(5.5, "of other static models, as recorded")
    assert records.estimate("U", "static", "a") is None


def test_memory_from_mteb_statistics():
    peak = peak_memory([mteb.get_task("STSBenchmark"), mteb.get_task("FEVER")], 256)
    assert peak is not None
    # 6,666 queries; a chunk of 50,000 of the 5.4 M documents at once
    assert (peak.task, peak.bytes) == ("FEVER", (6666 + 50_000) * 256 * 4 + 6666 * 50_000 * 4)


def test_hub_is_queried_but_nothing_is_downloaded(hub_dir: Path, tmp_path: Path):
    overrides = ["suite=custom", "suite.tasks=[STS12,STS13]", "baseline=[]"]
    with hub_server() as (address, repositories):
        dataset = mteb.get_task("STS12").metadata.dataset
        repositories.add_dataset(hub_dir / dataset["path"], dataset["path"], dataset["revision"])
        run = doctor(*overrides, cwd=tmp_path, HF_ENDPOINT=address)
        assert repositories.requests == []
    assert run.returncode == 1
    assert re.search(r"STS12 │.*│ on the hub │ +0\.2 │", run.stdout)
    assert "PROBLEM STS13: the hub does not provide mteb/sts13-sts@7e90230a92c190f1bf69ae9002b8cea5" in run.stdout
    unreachable = doctor(*overrides, cwd=tmp_path)
    assert "PROBLEM STS12, STS13: the hub cannot be reached: ConnectError" in unreachable.stdout
    forbidden = doctor(*overrides, cwd=tmp_path, HF_HUB_OFFLINE="1")
    names = "2 tasks have nothing in the hub's cache, and downloads are disabled: STS12, STS13. On a machine with "
    assert f"PROBLEM data: {names}hub access, run m2v-bench bundle suite=... --out FOLDER; then" in forbidden.stdout
    assert "cannot be loaded" not in forbidden.stdout
    assert forbidden.returncode == unreachable.returncode == 1


def test_hub_model_is_queried_but_not_downloaded(hub_dir: Path, tmp_path: Path):
    model = tiny_static_model(["one", "two", "three"], dims=4)
    model.save_pretrained(tmp_path / "saved")
    overrides = ["suite=custom", "suite.tasks=[STSBenchmark]", f"hub_dir={hub_dir}", "baseline=[]"]
    overrides += ["+baselines.mine.kind=static", "+baselines.mine.name=org/mine"]
    with hub_server() as (address, repositories):
        files = [file for file in (tmp_path / "saved").rglob("*") if file.is_file()]
        repositories["org/mine"] = {file.name: file.read_bytes() for file in files}
        asked = doctor(*overrides, cwd=tmp_path, HF_ENDPOINT=address)
        assert asked.returncode == 0, asked.stdout + asked.stderr
        assert "models: to be downloaded from the hub: org/mine (" in asked.stdout
        assert str(tmp_path / "home" / "hub") in asked.stdout  # the target folder
        assert not list((tmp_path / "home").rglob("*.safetensors"))
        command = "import huggingface_hub; huggingface_hub.snapshot_download('org/mine')"
        environment = hub_environment(address, tmp_path / "home")
        subprocess.run([sys.executable, "-c", command], env=environment, check=True, capture_output=True)
        repositories["org/mine"]["modules.json"] = b"[]"
        cached = doctor(*overrides, cwd=tmp_path, HF_ENDPOINT=address)
        assert re.search(r"ok +models: .*, mine$", cached.stdout, re.MULTILINE)
        assert len(list((tmp_path / "home").rglob("modules.json"))) == 1
    shutil.rmtree(tmp_path / "home")
    unreachable = doctor(*overrides, cwd=tmp_path)
    assert (
        "PROBLEM models: baselines.mine.name=org/mine: no folder here, not in the hub's cache, and"
        in unreachable.stdout
    )


def test_unsupported_tasks_take_no_time(tmp_path: Path):
    model = replace(
        as_model(tiny_static_model(["one"], dims=4), "words"), task_types=frozenset({"Retrieval"}), refusal="x"
    )
    records = Records(tmp_path)
    assert forecast(records, mteb.get_task("STSBenchmark"), [model], seed=42) == ([], 0)
    ((estimate,), n_done) = forecast(records, mteb.get_task("SciFact"), [model], seed=42)
    assert estimate is not None
    assert (estimate.source, n_done) == (ROUGH, 0)


def test_rough_times_grow_with_texts_and_parameters():
    short, long = mteb.get_task("STSBenchmark"), mteb.get_task("SciFact")
    known = [
        rough(short, "static"),
        rough(long, "static"),
        rough(long, "transformer", 22.7e6),
        rough(long, "transformer", 1e8),
    ]
    assert None not in known
    assert known == sorted(known, key=lambda seconds: seconds or 0)
    assert known[3] == pytest.approx((known[2] or 0) * 1e8 / 22.7e6)


def test_machine_without_assets(tmp_path: Path):
    run = doctor("suite=starter", cwd=tmp_path, M2V_BENCH_CACHE=str(tmp_path / "cold"), M2V_BENCH_OFFLINE="1")
    assert run.returncode == 1
    assert run.stdout.count("│ missing │") == 9
    assert "PROBLEM models: asset all-MiniLM-L6-v2 is absent, and M2V_BENCH_OFFLINE forbids downloads" in run.stdout
    assert "time: not estimated: the models are not available yet" in run.stdout
