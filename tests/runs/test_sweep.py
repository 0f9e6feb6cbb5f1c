"""Test sweeps in subprocesses: resumed, refused, failing, interrupted and killed."""

import json
import random
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from m2v_bench.cache import cache_dir
from m2v_bench.config.job_names import job_folder
from m2v_bench.errors import BenchError
from m2v_bench.runs.sweep import _check_axes
from tests import processes
from tests.conftest import Cli

WORDSIM = ["suite=custom", "suite.tasks=[SimLex999WordSim,WordSim353WordSim]", "baseline=[]", "tracking=none"]


def records(home: Path, name: str = "sweep") -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted((home / "results" / "sweeps" / name).glob("*/record.json"))]


def stamps(home: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in (home / "results").rglob("record.json")}


@pytest.mark.parametrize(
    ("overrides", "folder"),
    [
        (["pca_dims=64", "weighting=sif"], "pca_dims-64_weighting-sif-"),
        (["weighting=sif", "results_dir=elsewhere", "+sweep=pca_dims", "pca_dims=64"], "pca_dims-64_weighting-sif-"),
        (["vocabulary=file:a b/ä.txt"], "vocabulary-file_a_b_.txt-"),
        (["suite=custom"], "job-"),
    ],
)
def test_job_folders_are_readable(overrides: list[str], folder: str):
    assert job_folder(overrides).startswith(folder)
    assert len(job_folder(overrides)) == len(folder) + 8


def test_job_folders_are_unique():
    assert job_folder(["pca_dims=64"]) != job_folder(["pca_dims=64", "suite=paper"])
    assert job_folder(["pca_dims=64", "weighting=sif"]) == job_folder(["weighting=sif", "pca_dims=64"])


def test_restarted_sweep_skips_finished_jobs(bench: Cli, tmp_path: Path):
    plan = bench("+sweep=pca_dims", "pca_dims=16,32", *WORDSIM, "dry_run=true")
    assert plan.returncode == 0, plan.stderr
    assert "2 jobs, 0 finished" in plan.stdout
    assert "4 scores to compute" in " ".join(plan.stdout.split())
    assert re.search(
        r"time: [^;]*, of which [\d.]+ s is a rough estimate from the number of characters",
        " ".join(plan.stdout.split()),
    )
    assert not list((tmp_path / "results").rglob("*.json"))

    first = bench("+sweep=pca_dims", "pca_dims=16,32", *WORDSIM)
    assert first.returncode == 0, first.stderr
    assert re.search(r"1/2 jobs ended after [\d.]+ (s|min), about [\d.]+ (s|min) left", first.stdout + first.stderr)
    before = stamps(tmp_path)
    assert len(before) == 2

    again = bench("+sweep=pca_dims", "pca_dims=16,32,64", *WORDSIM)
    assert again.returncode == 0, again.stderr
    assert "2 of 3 jobs are already finished" in again.stdout
    assert again.stdout.count("distilled ") == 1
    assert again.stdout.count("│ M2V") == 3
    assert before.items() < stamps(tmp_path).items()

    plan = bench("+sweep=pca_dims", "pca_dims=16,32,64", *WORDSIM, "dry_run=true")
    assert "3 jobs, 3 finished; 0 tokens" in plan.stdout
    forced = bench("+sweep=pca_dims", "pca_dims=16", *WORDSIM, "rerun=true")
    assert forced.stdout.count("distilled ") == 1
    changed = bench("+sweep=pca_dims", "pca_dims=16", *WORDSIM, "seed=7")
    assert changed.stdout.count("distilled ") == 1


def test_jobs_cannot_differ_in_how_they_run():
    _check_axes([["pca_dims=16", "device=cpu"]])
    _check_axes([["pca_dims=16", "device=cpu"], ["pca_dims=32", "device=cpu"]])
    with pytest.raises(BenchError, match=r"^device: the jobs of a sweep cannot differ in this setting"):
        _check_axes([["pca_dims=16", "device=cpu"], ["pca_dims=16", "device=auto"]])


def test_all_invalid_jobs_are_listed_before_any_runs(bench: Cli, tmp_path: Path):
    sweep = bench("-m", "pca_dims=16,1000,nan", "weighting=sif,idf", *WORDSIM)
    assert sweep.returncode == 1
    assert "5 of 6 jobs cannot be run, so none was started:" in sweep.stderr
    assert "pca_dims=16 weighting=idf, pca_dims=1000 weighting=idf:\n    weighting=idf counts" in sweep.stderr
    assert "pca_dims=1000 weighting=sif:\n    pca_dims=1000: all-MiniLM-L6-v2 has 384 dimensions" in sweep.stderr
    assert "pca_dims=nan: not a PCA size" in sweep.stderr
    assert "Traceback" not in sweep.stderr
    assert not records(tmp_path)


def test_exit_code_is_the_number_of_failed_jobs(bench: Cli, tmp_path: Path):
    (tmp_path / "hub" / "mteb" / "sts12-sts").mkdir(parents=True)  # an empty dataset repository
    overrides = ["-m", "suite.tasks=[STS12],[STS12,SimLex999WordSim],[SimLex999WordSim]", "pca_dims=16", "hub_dir=hub"]
    overrides += ["suite=custom", "baseline=[]", "tracking=none"]
    stopped = bench(*overrides, "fail_fast=true")
    assert stopped.returncode == 1
    assert "fail_fast=true: 2 job(s) were not started" in stopped.stdout
    assert not records(tmp_path)
    sweep = bench(*overrides)
    assert sweep.returncode == 2
    assert "2 job(s) of the sweep failed:\nsuite.tasks=[STS12]: suite=custom: no task could be scored" in sweep.stderr
    assert "suite.tasks=[STS12,SimLex999WordSim]: 1 of 2 scores failed" in sweep.stderr
    assert "Traceback" not in sweep.stderr
    assert len(records(tmp_path)) == 2
    again = bench(*overrides)
    assert again.returncode == 2
    assert "1 of 3 jobs are already finished" in again.stdout


def test_concurrent_sweeps_of_one_name(bench: Cli, tmp_path: Path):
    folder = tmp_path / "results" / "sweeps" / "mine"
    folder.mkdir(parents=True)
    with FileLock(folder / ".lock"):
        second = bench("-m", "pca_dims=16,32", *WORDSIM, "sweep.name=mine")
        assert second.returncode == 1
        assert "sweep.name=mine: a sweep of this name is running" in second.stderr
    bad = bench("-m", "pca_dims=16,32", *WORDSIM, "sweep.name=../mine")
    assert bad.returncode == 1
    assert "sweep.name=../mine: is the name of a folder" in bad.stderr


def test_full_disk_fails_only_the_job(tmp_path: Path):
    """A file size limit simulates the full disk: the small model can be written, the large one cannot."""
    command = [sys.executable, "-m", "m2v_bench", "-m", "pca_dims=256,16", *WORDSIM]
    earlier = tmp_path / "results" / "sweeps" / "sweep" / job_folder(["pca_dims=256", *WORDSIM]) / "record.json"
    earlier.parent.mkdir(parents=True)
    earlier.write_text('{"key": "of an earlier start"}')
    sweep = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, preexec_fn=_no_file_above_4_mb
    )
    assert sweep.returncode == 1, sweep.stderr
    assert "pca_dims=256: results_dir=results: " in sweep.stderr
    assert "has room" in sweep.stderr
    assert "Traceback" not in sweep.stderr
    assert not earlier.exists()
    assert [record["variant"]["pca_dims"] for record in records(tmp_path)] == [16]


def _no_file_above_4_mb() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, 4_000_000))


# A separate vocabulary, so that the forward pass is short and may be killed, too.
KILLED = ["-m", "vocabulary=glove", "vocabulary_size=3000", "pca_dims=16,64", "weighting=none,sif", "baseline=[]"]
KILLED += ["suite=custom", "suite.tasks=[SimLex999WordSim,AutoFJRetrieval]", "tracking=none"]


def test_a_sweep_killed_ten_times_has_the_same_files(tmp_path: Path):
    alone, killed = _home(tmp_path / "alone"), _home(tmp_path / "killed")
    first = _start(alone)
    assert first.wait() == 0, first.communicate()
    seed = random.randrange(10**6)
    print(f"kill times drawn with seed {seed}")
    moments, interrupted = random.Random(seed), 0
    for number in range(10):
        process = _start(killed)
        try:
            process.wait(moments.uniform(0.2, 9))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT if number % 3 == 2 else signal.SIGKILL)
            assert process.wait() in (130, -signal.SIGKILL)
            interrupted += 1
    assert interrupted >= 3
    last = _start(killed)
    assert last.wait() == 0, last.communicate()
    assert _kept(killed) == _kept(alone)


def _home(folder: Path) -> Path:
    """Make a working folder with a separate cache that shares only the assets."""
    (folder / "cache").mkdir(parents=True)
    (folder / "cache" / "assets").symlink_to(cache_dir() / "assets")
    return folder


def _start(home: Path) -> Any:
    return processes.start("m2v_bench", *KILLED, cwd=home, M2V_BENCH_CACHE=str(home / "cache"))


def _kept(home: Path) -> dict[str, object]:
    """Return the contents of results and cache without what differs between two runs: times and logs."""
    contents: dict[str, object] = {}
    for path in sorted([*(home / "results").rglob("*"), *(home / "cache").glob("[!a]*/**/*")]):
        name = str(path.relative_to(home))
        if not path.is_file() or path.suffix in (".lock", ".png") or "speed" in name or "/costs/" in name:
            continue
        # the page shows speeds; a process that is killed while it writes leaves its part of a page or script
        if path.name.startswith(("leaderboard.html", ".leaderboard.html", ".vega-")):
            continue
        if path.suffix not in (".json", ".jsonl", ".csv", ".md", ".yaml", ".log") and ".locks" not in name:
            contents[name] = path.read_bytes()
        elif name.startswith("results/results/") and path.suffix == ".json":
            content = json.loads(path.read_text())
            contents[name] = {
                key: content.get(key) for key in ("scores", "dataset_revision", "mteb_version", "task_name")
            }
        elif path.name == "record.json":
            content = json.loads(path.read_text())
            rows = [{key: row[key] for key in ("label", "task", "main_score")} for row in content["scores"]]
            contents[name] = [content["key"], content["label"], rows]
        else:
            contents[name] = None  # existence only
    return contents


def test_hydra_default_sweeper_can_be_replaced(monkeypatch: pytest.MonkeyPatch):
    """The sweeper is replaced by a private name of Hydra; this test shows what a new release changed."""
    from hydra.core.config_store import ConfigStore
    from hydra.core.plugins import Plugins

    from m2v_bench.errors import BenchError
    from m2v_bench.runs import sweep

    Plugins.instance()  # imports the plugins of Hydra
    node = ConfigStore.instance().load("hydra/sweeper/basic.yaml").node
    assert node["_target_"] == sweep.REPLACED, "Hydra renamed its default sweeper"
    assert set(node) == {"_target_", "max_batch_size", "params"}, "Hydra changed the settings of its sweeper"
    classes = dict(Plugins.instance().class_name_to_class)
    assert sweep.REPLACED in classes, "Hydra no longer looks up plugin classes by name"
    monkeypatch.setattr(Plugins.instance(), "class_name_to_class", classes)
    sweep.install()
    assert classes[sweep.REPLACED] is sweep.Sweep
    del classes[sweep.REPLACED]
    with pytest.raises(BenchError, match=r"hydra-core .* has no hydra\._internal.*BasicSweeper; pip install"):
        sweep.install()


def test_combinations_match_hydra():
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from m2v_bench.runs.sweep import _combinations

    sweep = ["pca_dims=16,32", "weighting=choice(sif,none)", "seed=range(1,4)", "suite=wordsim", "pca_dims=64,128"]
    sweep += ["corpus='a b.txt'", "+x=[1,2],[3]"]
    overrides = OverridesParser.create().parse_overrides(sweep)
    assert _combinations(overrides) == BasicSweeper.split_arguments(overrides, None)[0]
