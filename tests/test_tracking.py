"""The MLflow store beside the result files: logged live, by several processes, made again, and not to be had."""

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.entities import Run

from m2v_bench.config import TrackingConfig
from m2v_bench.errors import BenchError
from m2v_bench.tracking import end_sweep, log_run, rebuild, start_sweep
from tests.conftest import Cli, run_bench

WORDSIM = ["suite=custom", "suite.tasks=[SimLex999WordSim,WordSim353WordSim]", "baseline=[]"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, and a sweep of which one job failed."""
    home = tmp_path_factory.mktemp("tracked")
    run = run_bench("pca.dims=16", *WORDSIM, cwd=home)
    assert run.returncode == 0, run.stderr
    (home / "hub" / "mteb" / "sts12-sts").mkdir(parents=True)  # an empty dataset repository
    words = ["suite=custom", "baseline=[]", "pca.dims=16", "hub_dir=hub"]
    sweep = run_bench("-m", "suite.tasks=[STS12],[SimLex999WordSim],[WordSim353WordSim]", *words, cwd=home)
    assert sweep.returncode == 1, sweep.stderr
    return home


def client(home: Path, name: str = "mlflow.db") -> mlflow.MlflowClient:
    mlflow.set_tracking_uri(f"sqlite:///{home}/{name}")
    return mlflow.MlflowClient()


def runs(home: Path, name: str = "mlflow.db") -> list[Run]:
    experiment = client(home, name).get_experiment_by_name("m2v_bench")
    return list(client(home, name).search_runs([experiment.experiment_id]))


def told(home: Path, name: str) -> dict[str, Any]:
    """All that a store tells of its runs, without the ids that it gave them."""
    found = runs(home, name)
    names = {run.info.run_id: run.data.tags["m2v_bench.folder"] for run in found}
    return {names[run.info.run_id]: _told(run, client(home, name), names) for run in found}


def _told(run: Run, store: mlflow.MlflowClient, names: dict[str, str]) -> dict[str, Any]:
    tags = {key: names.get(value, value) for key, value in run.data.tags.items() if key != "mlflow.log-model.history"}
    inputs = [(each.dataset.name, each.dataset.source, each.tags[0].value) for each in run.inputs.dataset_inputs]
    listed = [
        item.path for folder in ("", "tables", "figures") for item in store.list_artifacts(run.info.run_id, folder)
    ]
    times = (run.info.start_time, run.info.end_time) if tags.get("kind") != "sweep" else None
    models = len(run.outputs.model_outputs) if run.outputs else 0
    values = [run.info.run_name, run.info.status, times, run.data.params, run.data.metrics, tags]
    return {"values": values, "inputs": sorted(inputs), "artifacts": sorted(listed), "models": models}


def test_a_store_made_again_tells_what_the_first_one_told(home: Path):
    live = told(home, "mlflow.db")
    assert len(live) == 5
    command = [sys.executable, "-m", "m2v_bench.cli", "track", "rebuild", "--uri", "sqlite:///again.db"]
    for _ in range(2):  # the second time there is nothing left to log
        made = subprocess.run(command, cwd=home, capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stderr
        assert "holds 4 runs of results, 1 sweeps above them" in made.stdout
        again = told(home, "again.db")
        assert again.keys() == live.keys()
        for folder, expected in live.items():
            assert again[folder] == expected, folder


def test_a_run_tells_its_settings_scores_data_and_model(home: Path):
    (run,) = (run for run in runs(home) if run.data.tags["m2v_bench.folder"].startswith("runs/"))
    assert run.data.params["pca.dims"] == "16"
    assert {"task.SimLex999WordSim", "type.WordSim", "type.Avg", "texts_per_second", "n_parameters"} <= set(
        run.data.metrics
    )
    assert {"seconds.evaluate", "seconds.forward", "bytes_on_disk", "peak_rss_bytes"} <= set(run.data.metrics)
    inputs = {each.dataset.name: json.loads(each.dataset.source) for each in run.inputs.dataset_inputs}
    assert set(inputs) == {"SimLex999WordSim", "WordSim353WordSim"}
    assert all(len(source["revision"]) >= 16 and source["splits"] == ["test"] for source in inputs.values())
    (model,) = run.outputs.model_outputs
    info = mlflow.models.get_model_info(f"models:/{model.model_id}")
    assert info.signature is not None
    environment = client(home).download_artifacts(run.info.run_id, "environment.json")
    assert "mteb" in json.loads(Path(environment).read_text())["distributions"]


def test_a_failed_job_is_a_failed_run_below_its_sweep(home: Path):
    found = {run.data.tags["m2v_bench.folder"]: run for run in runs(home)}
    parent = found["sweeps/sweep"]
    assert (parent.info.status, parent.data.metrics["failed_jobs"]) == ("FAILED", 1)
    children = [run for run in found.values() if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert sorted(run.info.status for run in children) == ["FAILED", "FINISHED", "FINISHED"]
    failed = next(run for run in children if run.info.status == "FAILED")
    assert "no task could be scored" in failed.data.tags["error"]
    assert failed.data.params["pca.dims"] == "16"


def test_four_processes_log_to_a_store_that_is_not_there_yet(home: Path):
    folders = sorted(path.parent for path in (home / "results").rglob("record.json"))
    code = """
import sys
from pathlib import Path
from m2v_bench.config import TrackingConfig
from m2v_bench.tracking import log_run
for folder in sys.argv[1:]:
    log_run(TrackingConfig(name="mlflow", uri="sqlite:///shared.db", log_model=False), Path(folder))
"""
    orders = [folders, folders[::-1], folders[1:] + folders[:1], folders]
    started = [
        subprocess.Popen([sys.executable, "-c", code, *map(str, order)], cwd=home, stderr=subprocess.PIPE, text=True)
        for order in orders
    ]
    for process in started:
        assert process.communicate()[1] == "" and process.returncode == 0
    logged = [run.data.tags["m2v_bench.folder"] for run in runs(home, "shared.db")]
    assert sorted(logged) == sorted(set(logged))
    assert len(logged) == len(folders)


def test_a_sweep_that_is_interrupted_is_not_left_running(home: Path, tmp_path: Path):
    command = [sys.executable, "-m", "m2v_bench", "-m", "pca.dims=16,32,64", *WORDSIM]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 120
    while not list((tmp_path / "results").glob("sweeps/sweep/*/record.json")):
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert "interrupted; run the same command again" in process.communicate()[1]
    assert process.returncode == 130
    rebuild(tmp_path / "results", TrackingConfig(name="mlflow", uri=f"sqlite:///{tmp_path}/again.db", log_model=False))
    for name in ("mlflow.db", "again.db"):
        parent = next(run for run in runs(tmp_path, name) if run.data.tags["m2v_bench.folder"] == "sweeps/sweep")
        assert parent.info.status == "KILLED"


def test_jobs_logged_before_their_sweep_are_nested_when_it_is(home: Path, tmp_path: Path):
    shutil.copytree(home / "results", tmp_path / "results")
    config = TrackingConfig(name="mlflow", uri=f"sqlite:///{tmp_path}/mlflow.db", log_model=False)
    sweep_dir = tmp_path / "results" / "sweeps" / "sweep"
    job = next(sweep_dir.glob("*/record.json")).parent
    run_id = log_run(config, job, sweep_dir=sweep_dir)  # the store could not be written when the sweep started
    parent = start_sweep(config, sweep_dir, tags={})
    assert log_run(config, job, sweep_dir=sweep_dir) == run_id
    assert client(tmp_path).get_run(run_id).data.tags["mlflow.parentRunId"] == parent


def test_a_half_logged_run_is_logged_once(home: Path, tmp_path: Path):
    shutil.copytree(home / "results", tmp_path / "results")
    config = TrackingConfig(name="mlflow", uri=f"sqlite:///{tmp_path}/mlflow.db", log_model=False)
    sweep_dir = tmp_path / "results" / "sweeps" / "sweep"
    job = next(sweep_dir.glob("*/record.json")).parent
    first = start_sweep(config, sweep_dir, tags={})
    run_id = log_run(config, job, sweep_dir=sweep_dir)
    client(tmp_path).set_terminated(run_id, "RUNNING")  # as if the process had died in the middle
    again = log_run(config, job, sweep_dir=sweep_dir)
    assert again != run_id
    assert log_run(config, job, sweep_dir=sweep_dir) == again
    assert start_sweep(config, sweep_dir, tags={}) == first
    end_sweep(config, sweep_dir, files={}, failed=0)
    assert len(runs(tmp_path)) == 2


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("nosuch://store", "nosuch://store cannot be used as an MLflow store: "),
        ("sqlite:////proc/nowhere/mlflow.db", r"/proc/nowhere/mlflow.db: cannot be written \(No such file"),
    ],
)
def test_a_store_that_cannot_be_is_told_in_one_line(uri: str, message: str, tmp_path: Path):
    with pytest.raises(BenchError, match=message):
        start_sweep(TrackingConfig(name="mlflow", uri=uri), tmp_path / "results" / "sweeps" / "x", tags={})


def test_a_database_that_cannot_be_used_costs_no_result(bench: Cli, tmp_path: Path):
    (tmp_path / "text.db").write_text("no database " * 1000)
    with sqlite3.connect(tmp_path / "held.db") as other:
        other.execute("CREATE TABLE t (x)")
        other.commit()
        other.execute("BEGIN EXCLUSIVE")
        config = TrackingConfig(name="mlflow", uri=f"sqlite:///{tmp_path}/text.db")
        with pytest.raises(BenchError, match=r"file is not a database; is it an MLflow database\?"):
            start_sweep(config, tmp_path / "results" / "sweeps" / "x", tags={})
        run = bench("-m", "pca.dims=16", *WORDSIM, "tracking.uri=sqlite:///held.db")
    assert run.returncode == 0, run.stderr
    assert "database is locked; another program holds it" in run.stdout
    assert "`m2v-bench track rebuild --uri sqlite:///held.db` catches up" in run.stdout
    assert list((tmp_path / "results" / "sweeps").rglob("record.json"))
