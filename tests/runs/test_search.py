"""Test `m2v-bench search` in subprocesses."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from filelock import FileLock

from m2v_bench.config.check import typed
from m2v_bench.config.compose import compose
from m2v_bench.errors import BenchError
from m2v_bench.runs.prepare import suite_of
from m2v_bench.runs.search import halves
from tests import processes

SUITE = ["suite=custom", "suite.tasks=[SimLex999WordSim,WordSim353WordSim,MENWordSim]"]
COMMAND = ["m2v_bench.cli", "search", *SUITE, "--trials", "6"]


def searched(home: Path, *options: str) -> subprocess.CompletedProcess[str]:
    home.mkdir(exist_ok=True)
    return processes.run(*COMMAND, *options, cwd=home)


def trials(home: Path) -> list[dict]:
    return json.loads((home / "results" / "searches" / "search" / "trials.json").read_text())["trials"]


def test_killed_search_resumes_with_the_same_result(tmp_path: Path):
    alone = searched(tmp_path / "alone")
    assert alone.returncode == 0, alone.stderr
    assert "tuned on: SimLex999WordSim, MENWordSim\nreported on: WordSim353WordSim" in alone.stdout
    assert "search over 6 variants" in alone.stdout
    expected = trials(tmp_path / "alone")
    assert len({trial["dims"] for trial in expected}) > 1
    assert all(trial["dims"] % 16 == 0 and 1e-5 <= trial["coefficient"] <= 1e-2 for trial in expected)
    files = list((tmp_path / "alone" / "results" / "results").rglob("WordSim353WordSim.json"))
    assert len(files) == 2  # best variant and variant as set: trials do not see the task
    assert (tmp_path / "alone" / "results" / "searches" / "search" / "report.md").is_file()

    home = tmp_path / "killed"
    home.mkdir()
    process = processes.start(*COMMAND, cwd=home)
    saved = home / "results" / "searches" / "search" / "trials.json"
    end = time.monotonic() + 120
    while not (saved.is_file() and len(trials(home)) >= 2):
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert len(trials(home)) < 6
    again = searched(home)
    assert again.returncode == 0, again.stderr
    assert trials(home) == expected
    assert again.stdout.splitlines()[-12:] == alone.stdout.splitlines()[-12:]
    other = searched(home, "seed=7")
    assert other.returncode == 1
    assert "holds a search with other settings, data or tasks; use another name" in other.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["weighting=zipf_log"], "weighting=zipf_log: has no coefficient to search for; allowed: sif"),
        (["--trials", "0"], "--trials 0: must be at least 1"),
        (["--dims", "16", "1000"], "--dims 16 1000: must be two sizes up to the 384 dimensions"),
        (["--coefficients", "1e-2", "1e-5"], "--coefficients 0.01 1e-05: must be two numbers between 0 and 1"),
        (
            ["--tune", "SimLex999"],
            "--tune SimLex999: not an available task of the suite. Did you mean SimLex999WordSim?",
        ),
    ],
)
def test_invalid_search(options: Sequence[str], message: str, tmp_path: Path):
    run = searched(tmp_path, *options)
    assert run.returncode == 1
    assert message in run.stderr
    assert "Traceback" not in run.stderr


def test_concurrent_searches_of_one_name(tmp_path: Path):
    folder = tmp_path / "results" / "searches" / "mine"
    folder.mkdir(parents=True)
    with FileLock(folder / ".lock"):
        second = searched(tmp_path, "--name", "mine")
    assert second.returncode == 1
    assert "--name mine: a search of this name is running in results/searches" in second.stderr
    assert not (folder / "trials.json").exists()


def test_halves_are_disjoint_and_have_every_type():
    suite = suite_of(typed(compose(["suite=starter"])))
    tuning, reporting = ([entry.name for entry in half] for half in halves(suite, []))
    assert not set(tuning) & set(reporting)
    assert sorted([*tuning, *reporting]) == sorted(entry.name for entry in suite)
    assert {"ReutersR8Classification", "MENWordSim"} <= set(tuning)
    assert {"Newsgroups20Classification", "MTurk771WordSim"} <= set(reporting)
    with pytest.raises(BenchError, match="tuning would use all 9 available tasks of the suite"):
        halves(suite, [entry.name for entry in suite])
