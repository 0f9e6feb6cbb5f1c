"""Test users' commands in subprocesses, on the default model and data."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import matplotlib.image
import mlflow
import mteb
import numpy as np
import pytest

from m2v_bench import StaticModel
from tests import processes
from tests.conftest import Cli, run_bench

REPOSITORY = Path(__file__).parents[1]
WORDSIM = ["suite=custom", "suite.tasks=[SimLex999WordSim,WordSim353WordSim]"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a user's working folder."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def first_run(home: Path) -> subprocess.CompletedProcess[str]:
    """Run `python -m m2v_bench` without arguments."""
    return processes.run_new("m2v_bench", cwd=home)


def latest(home: Path, kind: str = "runs") -> Path:
    return max((home / "results" / kind).iterdir())


def client(home: Path) -> mlflow.MlflowClient:
    mlflow.set_tracking_uri(f"sqlite:///{home}/mlflow.db")
    return mlflow.MlflowClient()


def distilled(stored: list[mlflow.entities.Run]) -> list[mlflow.entities.Run]:
    """Return the runs of distilled models, without those of what they are compared with and of sweeps."""
    return [run for run in stored if run.data.tags.get("kind") == "distilled"]


def runs(home: Path) -> list[mlflow.entities.Run]:
    experiment = client(home).get_experiment_by_name("m2v_bench")
    return list(client(home).search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"]))


def score_files(home: Path) -> dict[str, float]:
    files = (home / "results" / "results").rglob("*.json")
    return {str(path): path.stat().st_mtime for path in files if path.name != "model_meta.json"}


def test_default_command_shows_one_table(first_run: subprocess.CompletedProcess[str]):
    assert first_run.returncode == 0, first_run.stderr
    for expected in (
        "distilled M2V all-MiniLM-L6-v2 256d sif: 29,525 tokens x 256, float16",
        "│ M2V all-MiniLM-L6-v2 256d sif │",
        "│ all-MiniLM-L6-v2              │",
        "│ GloVe 6B 50d                  │",
        "│ WordLlama 256                 │",
        "(9/9)",
        "% of teacher",
        "texts/s",
    ):
        assert expected in first_run.stdout
    assert "Traceback" not in first_run.stderr
    assert "Warning" not in first_run.stderr


def test_model_order_matches_the_paper(first_run: subprocess.CompletedProcess[str], home: Path):
    record = json.loads((latest(home) / "record.json").read_text())
    average = {
        label: np.mean([row["main_score"] for row in record["scores"] if row["label"] == label])
        for label in {row["label"] for row in record["scores"]}
    }
    assert average["all-MiniLM-L6-v2"] > average["M2V all-MiniLM-L6-v2 256d sif"] > average["GloVe 6B 50d"]
    speed = {row["label"]: row for row in record["speed"]}
    assert set(speed) == set(average)
    assert all(row["texts_per_second"] > 0 and row["cores_busy"] < 1.3 for row in speed.values())


def test_mteb_reads_every_score(first_run: subprocess.CompletedProcess[str], home: Path):
    loaded = mteb.ResultCache(home / "results").load_results(load_experiments="match_name")
    tasks = {result.model_name: {task.task_name for task in result.task_results} for result in loaded.model_results}
    assert len(tasks) == 4
    assert all(len(names) == 9 for names in tasks.values())
    assert "sentence-transformers/all-MiniLM-L6-v2" in tasks
    student = next(result for result in loaded.model_results if result.model_name.startswith("m2v_bench/"))
    assert "pca_dims_256" in student.experiment_name
    assert "weighting_sif" in student.experiment_name


def test_figure_and_table_are_written(first_run: subprocess.CompletedProcess[str], home: Path):
    picture = matplotlib.image.imread(home / "results" / "figures" / "starter-speed.png")
    assert picture.shape[1] > 800
    assert "**" in (home / "results" / "tables" / "starter.md").read_text()


def test_run_is_logged(first_run: subprocess.CompletedProcess[str], home: Path):
    (run,) = distilled(runs(home))
    note = run.data.tags["mlflow.note.content"]
    assert "| Model | Avg (9/9) |" in note and "m2v-bench report" in note
    baselines = {other.info.run_name: other for other in runs(home) if other.info.run_id != run.info.run_id}
    assert set(baselines) == {"all-MiniLM-L6-v2", "GloVe 6B 50d", "WordLlama 256"}
    teacher = baselines["all-MiniLM-L6-v2"].data
    assert teacher.tags["kind"] == "transformer"
    assert teacher.metrics["average"] > run.data.metrics["average"]
    assert "task/AutoFJRetrieval" in teacher.metrics
    assert run.info.status == "FINISHED"
    assert run.data.params["pca_dims"] == "256"
    assert run.data.params["suite.name"] == "starter"
    assert {
        "task/AutoFJRetrieval",
        "average.Classification",
        "average",
        "time.evaluate",
        "speed.texts_per_second",
    } <= set(run.data.metrics)
    assert {"git_commit", "dialect", "suite", "version.mteb"} <= set(run.data.tags)
    folders = {"", "tables", "figures"}
    artifacts = {item.path for folder in folders for item in client(home).list_artifacts(run.info.run_id, folder)}
    assert {"config.yaml", "record.json", "tables/table.md", "figures/speed_vs_score.png"} <= artifacts


def test_logged_model_loads_and_encodes(first_run: subprocess.CompletedProcess[str], home: Path):
    (run,) = distilled(runs(home))
    (output,) = run.outputs.model_outputs
    texts = ["Static models are fast.", ""]
    embeddings = mlflow.pyfunc.load_model(f"models:/{output.model_id}").predict(texts)
    saved = StaticModel.from_pretrained(latest(home) / "model")
    np.testing.assert_array_equal(embeddings, saved.encode(texts))


def test_second_run_reuses_all_scores(first_run: subprocess.CompletedProcess[str], home: Path):
    before, table = score_files(home), (home / "results" / "tables" / "starter.md").read_text()
    again = processes.run("m2v_bench", cwd=home)
    assert again.returncode == 0, again.stderr
    assert score_files(home) == before
    assert "forward pass read from the cache" in again.stdout
    assert (home / "results" / "tables" / "starter.md").read_text() == table


def test_sweep_reuses_results_and_logs_nested_runs(first_run: subprocess.CompletedProcess[str], home: Path):
    before = score_files(home)
    sweep = run_bench("+sweep=pca_dims", "pca_dims=32,256", cwd=home)
    assert sweep.returncode == 0, sweep.stderr
    new = set(score_files(home)) - set(before)
    assert len(new) == 9  # one new variant; the other and the baselines are cached
    assert all("pca32" in path for path in new)
    assert sweep.stdout.count("forward pass read from the cache") == 2
    assert "sweep pca_dims" in sweep.stdout
    for name in ("figures/pca_dims.png", "figures/pca_dims-speed.svg", "tables/pca_dims.md", "tables/pca_dims.csv"):
        assert (home / "results" / name).is_file()
    parent = next(run for run in runs(home) if run.data.tags.get("kind") == "sweep")
    nested = [run for run in runs(home) if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    children = distilled(nested)
    assert "| Model | Avg" in parent.data.tags["mlflow.note.content"]
    assert sorted(run.data.params["pca_dims"] for run in children) == ["256", "32"]
    assert {run.info.status for run in [parent, *children]} == {"FINISHED"}


def test_model_without_tokenizer_is_refused(bench: Cli, teacher_folder: Path, tmp_path: Path):
    (tmp_path / "model").mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copyfile(teacher_folder / name, tmp_path / "model" / name)
    run = bench("base_model.name=model", *WORDSIM, "baseline=[]", "tracking=none")
    assert run.returncode == 1
    assert "has no tokenizer; copy the model's tokenizer.json" in run.stderr
    assert "Traceback" not in run.stderr


def test_failed_task_keeps_the_others_and_a_record(bench: Cli, tmp_path: Path):
    (tmp_path / "hub" / "mteb" / "sts12-sts").mkdir(parents=True)
    overrides = ["suite=custom", "suite.tasks=[STS12,SimLex999WordSim]", "hub_dir=hub", "baseline=[]", "pca_dims=16"]
    run = bench(*overrides)
    assert run.returncode == 1
    assert "1 of 2 scores failed" in run.stderr
    assert "STS12, M2V all-MiniLM-L6-v2 16d sif: its data could not be loaded" in run.stderr
    assert "Traceback" not in run.stderr
    assert re.search(r"Model +┃ +Avg \(1/2\) ┃ +STS \(0/1\) ┃ +WordSim \(1/1\)", run.stdout)
    assert re.search(r"M2V all-MiniLM-L6-v2 16d sif │\s+[\d.]+ │\s+- │", run.stdout)
    assert list((tmp_path / "results" / "results").rglob("SimLex999WordSim.json"))
    (logged,) = distilled(runs(tmp_path))
    assert logged.info.status == "FAILED"
    shown = bench(*overrides, "debug=true", "tracking=none")
    assert "Traceback" in shown.stderr


def test_stock_tasks_from_a_folder(bench: Cli, hub_dir: Path, tmp_path: Path):
    run = bench(
        "suite=custom", "suite.tasks=[STSBenchmark,STS13]", f"hub_dir={hub_dir}", "baseline=[]", "tracking=none"
    )
    assert run.returncode == 0, run.stderr
    assert "(1/2)" in run.stdout
    assert "STS13 is missing" in run.stdout
    (file,) = (tmp_path / "results" / "results").rglob("STSBenchmark.json")
    assert 0.6 < json.loads(file.read_text())["scores"]["test"][0]["main_score"] < 0.8


def test_word_file_weighted_by_corpus_counts(bench: Cli, tmp_path: Path):
    (tmp_path / "words.txt").write_text("the\nzyzzyva\nice cream\nice cream\n\nquokka\n")
    (tmp_path / "texts.txt").write_text("the quokka\nthe ice cream of the quokka\n")
    overrides = ["vocabulary=file:words.txt", "weighting=idf", "corpus=texts.txt", "dialect=m2v-0.5"]
    run = bench(*WORDSIM, *overrides, "baseline=[]", "tracking=none")
    assert run.returncode == 0, run.stderr
    assert "distilled M2V all-MiniLM-L6-v2 m2v-0.5 words_subword 6 256d idf on texts.txt: 29,52" in run.stdout
    assert "3 of 6 words added; of these 1 of several parts; left out 1 empty, 2 duplicate" in run.stdout
    model = StaticModel.from_pretrained(latest(tmp_path) / "model")
    assert len(model.tokenize(["ice cream"])[0]) == 1
    assert "| weighting | idf |" in (latest(tmp_path) / "model" / "README.md").read_text()


def test_sweep_over_baselines_and_custom_baselines(bench: Cli, tmp_path: Path):
    run = bench("-m", *WORDSIM, "baseline=[],[random]", "pca_dims=16", "tracking=none")
    assert run.returncode == 0, run.stderr
    assert len(list((tmp_path / "results" / "sweeps").glob("*/*/record.json"))) == 2
    assert "│ random " in run.stdout
    saved = next((tmp_path / "results" / "sweeps").glob("*/*/model"))
    (tmp_path / "words.txt").write_text("old 1 2\nnew 2 1\nhard 0 1\n")
    baselines = ["baseline=[random]", f"+baselines.saved={{kind: static, name: {saved}}}"]
    baselines.append("+baselines.words={kind: vectors, name: words.txt, label: three words}")
    run = bench(*WORDSIM, *baselines, "tracking=none")
    assert run.returncode == 0, run.stderr
    shown = re.findall(r"^│ ([^│]+?) +│", run.stdout, flags=re.MULTILINE)
    assert shown == ["M2V all-MiniLM-L6-v2 256d sif", "random", "saved", "three words"]
    assert list((tmp_path / "results" / "results").glob("m2v_bench__random-256d/*/SimLex999WordSim.json"))


def test_unreachable_tracking_server_loses_no_results(bench: Cli, tmp_path: Path):
    run = bench(
        *WORDSIM,
        "baseline=[]",
        "tracking.uri=http://127.0.0.1:9",
    )
    assert run.returncode == 0, run.stderr
    assert "not logged: tracking.uri=http://127.0.0.1:9" in run.stdout
    assert (tmp_path / "results" / "figures" / "custom-speed.png").is_file()


def test_offline_with_a_cold_cache_lists_missing_assets(bench: Cli, tmp_path: Path):
    run = bench(M2V_BENCH_CACHE=str(tmp_path / "cold"), M2V_BENCH_OFFLINE="1")
    assert run.returncode == 1
    names = "all-MiniLM-L6-v2 glove-6b-50d wordllama-256 newsgroups-reuters autofj word-similarity"
    assert f"m2v-bench fetch {names}" in run.stderr
    assert "Traceback" not in run.stderr


def test_help_shows_groups_and_settings(bench: Cli):
    shown = bench("--help").stdout
    assert "+sweep=pca_dims" in shown
    groups = (
        "base_model: all-MiniLM-L6-v2",
        "weighting: none, zipf_log, sif, sif_counts, idf",
        "dialect: m2v-0.1, m2v-0.3.8, m2v-0.3.9, m2v-0.5, m2v-0.7",
        'eval "$(python -m m2v_bench -sc install=bash)"',
        "sweep: base_model, dialect, full_factorial, pca_dims, quantization, sif_coefficient, ",
        "experiment: paper_ablations, paper_classification, paper_main, potion, speed_vs_score",
    )
    assert "baseline: M2V_base_glove, M2V_base_glove_subword, " in shown
    for group in groups:
        assert group in shown


@pytest.mark.parametrize("modules", ["m2v_bench", "m2v_bench.__main__, m2v_bench.runs.sweep", "m2v_bench.cli"])
def test_import_and_help_load_no_heavy_modules(modules: str):
    heavy = ("torch", "mteb", "mlflow", "transformers", "scipy", "pandas", "matplotlib")
    code = f"import sys, {modules}; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_public_names_are_importable():
    code = """
import m2v_bench.distillation.distill
from m2v_bench import StaticModel, distill
from m2v_bench import distill as again
assert callable(distill) and distill is again and StaticModel.__name__ == "StaticModel"
try:
    from m2v_bench import nothing
except ImportError:
    print("ok")
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "ok\n"


def test_installed_wheel_works_from_any_folder(tmp_path: Path):
    source = tmp_path / "source"
    shutil.copytree(
        REPOSITORY,
        source,
        # other tests may write bytecode meanwhile
        ignore=lambda folder, names: {
            *shutil.ignore_patterns(".git", ".venv", "mlruns", "mlflow.db*", ".*cache", "__pycache__")(folder, names),
            *({"results"} & set(names) if Path(folder) == REPOSITORY else ()),
        },
    )
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(source)]
    subprocess.run(command, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(installed)
    assert (installed / "m2v_bench" / "conf" / "suite" / "starter.yaml").is_file()
    shutil.rmtree(source)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    code = "import m2v_bench.config.schema as s; print(s.conf_dir())"
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=elsewhere, env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == str(installed / "m2v_bench" / "conf")
    overrides = [*WORDSIM, "baseline=[]", "tracking=none"]
    ran = run_bench(*overrides, cwd=elsewhere, PYTHONPATH=str(installed))
    assert ran.returncode == 0, ran.stderr
    assert "M2V all-MiniLM-L6-v2 256d sif on custom" in ran.stdout
