"""Test runs that train: scores, report, MLflow, and texts that tasks and corpus share."""

import json
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from m2v_bench.inference.static_model import StaticModel
from tests import processes
from tests.conftest import run_bench
from tests.golden.tiny_models import build_bpe, sentences


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a working folder with a sweep over three losses and none, one text of whose task is in the corpus."""
    home = tmp_path_factory.mktemp("trained")
    build_bpe(home / "teacher")
    texts = sentences()
    (home / "texts.txt").write_text("\n".join(texts[:800]) + "\n", encoding="utf-8")
    pairs = pd.DataFrame({"a": [texts[0], *texts[1000:1040]], "b": texts[1100:1141], "y": range(41)})
    pairs.to_csv(home / "pairs.csv", index=False)
    task = "{name: Pairs, type: STS, data: pairs.csv, columns: {sentence1: a, sentence2: b, score: y}}"
    sweep = run_bench(
        "+sweep=training",
        "base_model.name=teacher",
        "pca_dims=16",
        "training.corpus=texts.txt",
        "training.batch_size=32",
        "suite=custom",
        f"suite.tasks=[{task}]",
        "baseline=[]",
        cwd=home,
    )
    assert sweep.returncode == 0, sweep.stderr
    assert "Pairs: of 82 texts, 1 are in the training corpus" in sweep.stdout
    return home


def records(home: Path) -> list[dict]:
    paths = sorted((home / "results" / "sweeps" / "training").glob("*/record.json"))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def test_every_loss_is_trained_and_recorded(home: Path):
    by_loss = {record["settings"]["training.loss"]: record for record in records(home)}
    assert sorted(by_loss) == ["contrastive", "cosine", "mse", "none"]
    assert "training" not in by_loss["none"]
    assert len({record["revision"] for record in by_loss.values()}) == 4
    for loss in ("contrastive", "cosine", "mse"):
        training = by_loss[loss]["training"]
        assert min(training["held_out"][1:]) < training["held_out"][0]
        (shared,) = training["overlap"]
        assert (shared["task"], shared["texts"], shared["exact"]) == ("Pairs", 82, 1)


def test_report_shows_losses_and_shared_texts(home: Path):
    done = processes.run("m2v_bench.cli", "report", "training", cwd=home)
    assert done.returncode == 0, done.stderr
    page = (home / "results" / "reports" / "training.md").read_text(encoding="utf-8")
    section = page.partition("## Training")[2].partition("\n## ")[0]
    assert section.count("trained ") >= 3
    assert "| Pairs | 82 | 1 |" in section
    assert "training-training.png" in section
    assert (home / "results" / "reports" / "training-training.png").is_file()


def test_mlflow_has_the_curve(home: Path):
    mlflow.set_tracking_uri(f"sqlite:///{home}/mlflow.db")
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("m2v_bench")
    runs = client.search_runs([experiment.experiment_id], "params.`training.loss` = 'cosine'")
    (run,) = runs
    curve = client.get_metric_history(run.info.run_id, "training.held_out_loss")
    (record,) = (record for record in records(home) if record["settings"]["training.loss"] == "cosine")
    assert [point.value for point in sorted(curve, key=lambda point: point.step)] == record["training"]["held_out"]


def test_model_of_a_run_loads(home: Path):
    folders = [path.parent for path in (home / "results" / "sweeps" / "training").glob("*/model/config.json")]
    models = [StaticModel.from_pretrained(folder) for folder in folders]
    assert sum("training" in model.config for model in models) == 3
    assert {model.dims for model in models} == {16}


def test_missing_corpus_is_one_message(home: Path):
    run = run_bench("training=cosine", "base_model.name=teacher", "pca_dims=16", cwd=home)
    assert run.returncode == 1
    assert run.stderr.strip().splitlines()[-1].startswith("training needs texts: set training.corpus to")


def test_dry_run_says_what_the_teacher_has_to_embed(home: Path):
    run = run_bench(
        "training=cosine",
        "training.corpus=texts.txt",
        "training.target=pooled",
        "base_model.name=teacher",
        "pca_dims=16",
        "suite=wordsim",
        "baseline=[]",
        "dry_run=true",
        cwd=home,
    )
    assert run.returncode == 0, run.stderr
    assert "texts to embed with teachers" in run.stdout
