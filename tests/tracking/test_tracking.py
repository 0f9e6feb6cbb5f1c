"""Test the MLflow store: live logging, concurrent processes, rebuilding, MLflow's pages, and unusable stores."""

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.entities import Run
from playwright.sync_api import Locator, Page

from m2v_bench.config.schema import TrackingConfig
from m2v_bench.errors import BenchError
from m2v_bench.tracking import end_sweep, log_run, start_sweep
from m2v_bench.tracking.rebuild import rebuild
from tests import processes
from tests.browser import visit
from tests.conftest import Cli, run_bench

WORDSIM = ["suite=custom", "suite.tasks=[SimLex999WordSim,WordSim353WordSim]", "baseline=[]"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a working folder with a run and a sweep of which one job failed."""
    home = tmp_path_factory.mktemp("tracked")
    run = run_bench("pca_dims=16", *WORDSIM, cwd=home)
    assert run.returncode == 0, run.stderr
    (home / "hub" / "mteb" / "sts12-sts").mkdir(parents=True)  # an empty dataset repository
    overrides = ["suite=custom", "baseline=[]", "pca_dims=16", "hub_dir=hub"]
    sweep = run_bench("-m", "suite.tasks=[STS12],[SimLex999WordSim],[WordSim353WordSim]", *overrides, cwd=home)
    assert sweep.returncode == 1, sweep.stderr
    return home


def client(home: Path, name: str = "mlflow.db") -> mlflow.MlflowClient:
    mlflow.set_tracking_uri(f"sqlite:///{home}/{name}")
    return mlflow.MlflowClient()


def runs(home: Path, name: str = "mlflow.db") -> list[Run]:
    experiment = client(home, name).get_experiment_by_name("m2v_bench")
    return list(client(home, name).search_runs([experiment.experiment_id]))


def contents(home: Path, name: str) -> dict[str, Any]:
    """Return the contents of a store by folder, with run ids replaced."""
    stored = runs(home, name)
    names = {run.info.run_id: run.data.tags["m2v_bench.folder"] for run in stored}
    return {names[run.info.run_id]: _contents(run, client(home, name), names) for run in stored}


def _contents(run: Run, store: mlflow.MlflowClient, names: dict[str, str]) -> dict[str, Any]:
    tags = {key: names.get(value, value) for key, value in run.data.tags.items() if key != "mlflow.log-model.history"}
    inputs = [(item.dataset.name, item.dataset.source, item.tags[0].value) for item in run.inputs.dataset_inputs]
    listed = [
        item.path for folder in ("", "tables", "figures") for item in store.list_artifacts(run.info.run_id, folder)
    ]
    times = (run.info.start_time, run.info.end_time) if tags.get("kind") != "sweep" else None
    models = len(run.outputs.model_outputs) if run.outputs else 0
    values = [run.info.run_name, run.info.status, times, run.data.params, run.data.metrics, tags]
    return {"values": values, "inputs": sorted(inputs), "artifacts": sorted(listed), "models": models}


def test_rebuilt_store_equals_the_live_one(home: Path):
    live = contents(home, "mlflow.db")
    assert len(live) == 5
    for _ in range(2):  # the second time, nothing is left to log
        process = processes.run("m2v_bench.cli", "track", "rebuild", "--uri", "sqlite:///again.db", cwd=home)
        assert process.returncode == 0, process.stderr
        assert "holds 4 runs of results and 1 sweep" in process.stdout
        rebuilt = contents(home, "again.db")
        assert rebuilt.keys() == live.keys()
        for folder, expected in live.items():
            assert rebuilt[folder] == expected, folder


def test_run_has_settings_scores_datasets_and_model(home: Path):
    (run,) = (run for run in runs(home) if run.data.tags["m2v_bench.folder"].startswith("runs/"))
    assert run.data.params["pca_dims"] == "16"
    assert {"task/SimLex999WordSim", "average.WordSim", "average", "speed.texts_per_second", "size.parameters"} <= set(
        run.data.metrics
    )
    assert {"time.evaluate", "time.forward", "size.bytes", "time.peak_rss_bytes"} <= set(run.data.metrics)
    inputs = {item.dataset.name: json.loads(item.dataset.source) for item in run.inputs.dataset_inputs}
    assert set(inputs) == {"SimLex999WordSim", "WordSim353WordSim"}
    assert all(len(source["revision"]) >= 16 and source["splits"] == ["test"] for source in inputs.values())
    (model,) = run.outputs.model_outputs
    info = mlflow.models.get_model_info(f"models:/{model.model_id}")
    assert info.signature is not None
    environment = client(home).download_artifacts(run.info.run_id, "environment.json")
    assert "mteb" in json.loads(Path(environment).read_text())["distributions"]


ODD_NAMES = ["bob's runs", 'a "quoted" name', 'bob\'s "own"', "50% off", "c#", "müller `x`", "a=b\\c", "what?"]


def test_unusual_folder_names_are_logged_once(home: Path, tmp_path: Path):
    (source,) = (home / "results" / "runs").iterdir()
    config = TrackingConfig(name="mlflow", uri=f"sqlite:///{tmp_path}/it's a store.db", log_model=False)
    logged: dict[str, str] = {}
    for name in ODD_NAMES:
        results = tmp_path / name / "results"
        shutil.copytree(source, results / "runs" / "one", ignore=shutil.ignore_patterns("model"))
        logged[str(results)] = log_run(config, results / "runs" / "one")
        assert rebuild(results, config) == (1, 0)
        assert log_run(config, results / "runs" / "one") == logged[str(results)]
    stored = runs(tmp_path, "it's a store.db")
    assert {run.data.tags["m2v_bench.results"]: run.info.run_id for run in stored} == logged
    assert len(stored) == len(ODD_NAMES)


def test_store_in_a_folder_with_an_unusual_name(home: Path, tmp_path: Path):
    (run,) = (home / "results" / "runs").iterdir()
    odd = tmp_path / 'bob\'s "50%" müller `x` a=b\\c'
    config = TrackingConfig(name="mlflow", uri=f"sqlite:///{odd}/own.db", log_model=False)
    table = Path(client(odd, "own.db").download_artifacts(log_run(config, run), "tables/table.md"))
    assert table.read_text(encoding="utf-8") == (run / "table.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", ["a?b.db", "c#.db"])
def test_path_with_uri_delimiters(tmp_path: Path, path: str):
    config = TrackingConfig(name="mlflow", uri=f"sqlite:///{tmp_path}/{path}")
    with pytest.raises(BenchError, match=r"the path has a \? or #"):
        start_sweep(config, tmp_path / "results" / "sweeps" / "x", tags={})
    assert not list(tmp_path.iterdir())


def test_failed_job_is_a_failed_run_nested_in_its_sweep(home: Path):
    by_folder = {run.data.tags["m2v_bench.folder"]: run for run in runs(home)}
    parent = by_folder["sweeps/sweep"]
    assert (parent.info.status, parent.data.metrics["failed_jobs"]) == ("FAILED", 1)
    children = [run for run in by_folder.values() if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert sorted(run.info.status for run in children) == ["FAILED", "FINISHED", "FINISHED"]
    failed = next(run for run in children if run.info.status == "FAILED")
    assert "no task could be scored" in failed.data.tags["error"]
    assert failed.data.params["pca_dims"] == "16"


def test_concurrent_processes_create_the_store(home: Path):
    folders = sorted(path.parent for path in (home / "results").rglob("record.json"))
    code = """
import sys
from pathlib import Path
from m2v_bench.config.schema import TrackingConfig
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


def test_interrupted_sweep_is_marked_as_killed(home: Path, tmp_path: Path):
    command = [sys.executable, "-m", "m2v_bench", "-m", "pca_dims=16,32,64", *WORDSIM]
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


def test_jobs_logged_before_their_sweep_are_nested_later(home: Path, tmp_path: Path):
    shutil.copytree(home / "results", tmp_path / "results")
    config = TrackingConfig(name="mlflow", uri=f"sqlite:///{tmp_path}/mlflow.db", log_model=False)
    sweep_dir = tmp_path / "results" / "sweeps" / "sweep"
    job = next(sweep_dir.glob("*/record.json")).parent
    run_id = log_run(config, job, sweep_dir=sweep_dir)  # the store could not be written when the sweep started
    parent = start_sweep(config, sweep_dir, tags={})
    assert log_run(config, job, sweep_dir=sweep_dir) == run_id
    assert client(tmp_path).get_run(run_id).data.tags["mlflow.parentRunId"] == parent


def test_incomplete_run_is_replaced(home: Path, tmp_path: Path):
    shutil.copytree(home / "results", tmp_path / "results")
    config = TrackingConfig(name="mlflow", uri=f"sqlite:///{tmp_path}/mlflow.db", log_model=False)
    sweep_dir = tmp_path / "results" / "sweeps" / "sweep"
    job = next(sweep_dir.glob("*/record.json")).parent
    first = start_sweep(config, sweep_dir, tags={})
    run_id = log_run(config, job, sweep_dir=sweep_dir)
    client(tmp_path).set_terminated(run_id, "RUNNING")  # as if the process had died while logging
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
def test_invalid_store(uri: str, message: str, tmp_path: Path):
    with pytest.raises(BenchError, match=message):
        start_sweep(TrackingConfig(name="mlflow", uri=uri), tmp_path / "results" / "sweeps" / "x", tags={})


def test_unusable_database_loses_no_results(bench: Cli, tmp_path: Path):
    (tmp_path / "text.db").write_text("no database " * 1000)
    with sqlite3.connect(tmp_path / "held.db") as other:
        other.execute("CREATE TABLE t (x)")
        other.commit()
        other.execute("BEGIN EXCLUSIVE")
        config = TrackingConfig(name="mlflow", uri=f"sqlite:///{tmp_path}/text.db")
        with pytest.raises(BenchError, match=r"file is not a database; is it an MLflow database\?"):
            start_sweep(config, tmp_path / "results" / "sweeps" / "x", tags={})
        run = bench("-m", "pca_dims=16", *WORDSIM, "tracking.uri=sqlite:///held.db")
    assert run.returncode == 0, run.stderr
    assert "database is locked; another program uses it" in run.stdout
    assert "`m2v-bench track rebuild --results results --uri sqlite:///held.db` catches up" in run.stdout
    assert list((tmp_path / "results" / "sweeps").rglob("record.json"))


@pytest.fixture(scope="module")
def pages(home: Path) -> Iterator[str]:
    """Start an MLflow server on the store; yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    host, _, port = address.partition(":")
    command = [Path(sys.executable).with_name("mlflow"), "ui", "--backend-store-uri", "sqlite:///mlflow.db"]
    command += ["--host", host, "--port", port, "--workers", "1"]
    with (home / "ui.log").open("w") as log:
        # a new session, so that all processes of the server can be killed together
        environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
        server = subprocess.Popen(command, cwd=home, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            _wait_for(address, server, home / "ui.log")
            yield f"http://{address}"
        finally:
            os.killpg(server.pid, signal.SIGKILL)  # safe: it only reads
            server.wait(20)


def _wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 120
    while server.poll() is None and time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"http://{address}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"mlflow ui does not answer: {log.read_text()}")


def _link(page: Page, run_id: str) -> Locator:
    return page.locator(f'a[href$="/runs/{run_id}"]')


def test_mlflow_pages_show_the_sweep_its_jobs_a_chart_and_the_model(
    home: Path, request: pytest.FixtureRequest, tmp_path: Path
):
    with visit(width=1500, height=1000) as seen:
        pages = request.getfixturevalue("pages")  # starts the server only if there is a browser
        page = seen.page
        page.set_default_timeout(60_000)  # wait for elements; a busy machine is slow
        experiment = client(home).get_experiment_by_name("m2v_bench").experiment_id
        seen.open(f"{pages}/#/experiments/{experiment}/runs?workflowType=machine_learning")

        parent = next(run for run in runs(home) if run.data.tags.get("kind") == "sweep").info.run_id
        children = [run for run in runs(home) if run.data.tags.get("mlflow.parentRunId") == parent]
        row = page.get_by_role("row").filter(has=_link(page, parent))
        row.wait_for()
        assert [_link(page, child.info.run_id).count() for child in children] == [0, 0, 0]
        row.get_by_role("button").first.click()
        for child in children:
            _link(page, child.info.run_id).wait_for()
            assert _link(page, child.info.run_id).inner_text() == child.info.run_name
        page.screenshot(path=tmp_path / "runs.png")

        child = next(run for run in children if "task/SimLex999WordSim" in run.data.metrics)
        _link(page, child.info.run_id).click()
        page.get_by_text("Parent run", exact=True).wait_for()
        _link(page, parent).wait_for()
        page.get_by_role("tab", name="Model metrics").click()
        page.get_by_placeholder("Search metric charts").fill("task/SimLex999WordSim")
        chart = page.locator(".js-plotly-plot")
        score = child.data.metrics["task/SimLex999WordSim"]
        chart.locator("text", has_text=f"{score:.2f}").first.wait_for()
        assert chart.count() == 1
        page.screenshot(path=tmp_path / "chart.png")

        seen.open(f"{pages}/#/experiments/{experiment}/models?workflowType=machine_learning")
        (model,) = child.outputs.model_outputs
        page.locator(f'a[href$="/models/{model.model_id}"]').click()
        page.get_by_text("Artifacts", exact=True).click()
        for file in ("MLmodel", "python_model.pkl", "input_example.json"):
            page.get_by_text(file, exact=True).wait_for()
        page.screenshot(path=tmp_path / "model.png")

        # this request fails on a store without users
        assert [url for url in seen.failed if "/mlflow/users/current" not in url] == []
        assert seen.outside == []
