"""Test the commands planned with and without a hub, and one real run in separate processes."""

from pathlib import Path

import pandas as pd
import pytest

from m2v_bench import cli
from m2v_bench.config.check import check
from m2v_bench.config.compose import compose
from m2v_bench.config.schema import conf_dir
from m2v_bench.errors import BenchError
from m2v_bench.paper import reproduce
from m2v_bench.paper.reproduce import ITEMS, Plan, plan_of
from m2v_bench.runs.prepare import suite_of
from tests import processes


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that the hub is reachable; test machines are offline."""
    monkeypatch.setattr(reproduce, "_unavailable", lambda model: None)


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    reproduce._unavailable.cache_clear()


def plan(item: str, *overrides: str, **folders: str | None) -> Plan:
    return plan_of(item, **{"hub_dir": None, "data_dir": None, "corpus": None, **folders}, overrides=overrides)


@pytest.mark.parametrize("item", ITEMS)
def test_every_item_is_an_experiment(item: str):
    assert (conf_dir() / "experiment" / f"{ITEMS[item].experiment}.yaml").is_file()


@pytest.mark.usefixtures("hub")
def test_with_a_hub_items_run_as_in_the_paper(tmp_path: Path):
    (tmp_path / "wordsim").mkdir()
    main = plan("main", data_dir=str(tmp_path))
    assert main.commands == [["m2v_bench", "+experiment=paper_main", "suite=paper", f"data_dir={tmp_path}"]]
    speed = plan("speed", "launcher=joblib", "suite=mteb_eng_v1")
    assert speed.commands[0][2:] == [*ITEMS["speed"].hub, "launcher=joblib", "suite=mteb_eng_v1"]
    assert speed.notes == []
    run, effects = plan("ablations", "results_dir=there", corpus="texts.txt").commands
    assert run == [
        "m2v_bench",
        "+experiment=paper_ablations",
        "suite=paper",
        "corpus=texts.txt",
        "results_dir=there",
    ]
    assert effects == [
        "m2v_bench.cli",
        "paper",
        "ablations",
        "paper_ablations",
        "--results",
        "there",
        "--out",
        "there/tables",
    ]
    notes = plan("ablations").notes
    assert notes[0] == "no corpus=FILE: sif_counts and idf, which count tokens in one, are left out"
    assert notes[1].endswith("WordSim 7/7")  # WordSim has no dataset repositories


@pytest.mark.usefixtures("no_hub")
def test_without_a_hub_missing_inputs_and_substitutes_are_reported(tmp_path: Path):
    main = plan("main")
    assert main.commands[0][2:] == [
        "base_model=all-MiniLM-L6-v2",
        "baseline=[teacher,glove-6b-50d,wordllama-256]",
        "suite=starter",
    ]
    assert "(downloads are switched off): BAAI/bge-base-en-v1.5, sentence-transformers/" in main.notes[0]
    assert "neither hub_dir nor data_dir is set; using instead: suite=starter" in main.notes[1]
    assert plan("classification").commands[0][-2:] == ["suite=starter", "suite.types=[Classification]"]

    words = tmp_path / "wordsim"
    words.mkdir()
    (words / "men.txt").write_text("cat\tdog\t1\n")
    counted = plan("main", data_dir=str(tmp_path))
    assert counted.commands[0][-3:] == ["suite=paper", f"hub_dir={tmp_path}", f"data_dir={tmp_path}"]
    # the fuzzy join of PEARL is in a package registry
    assert "2 of 72 datasets are here; missing: Classification 12/12" in counted.notes[-1]
    assert counted.notes[-1].endswith("PEARL 8/9, WordSim 6/7")
    with pytest.raises(BenchError, match="none of its datasets is here; set hub_dir=FOLDER and data_dir=FOLDER"):
        plan("classification", data_dir=str(tmp_path))


@pytest.mark.usefixtures("no_hub")
def test_a_dry_run_shows_the_plan(hub_dir: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    folders = ["--hub-dir", str(hub_dir), "--data-dir", str(hub_dir.parent / "eval")]
    words = [f"results_dir={tmp_path}", "weighting=none,sif", "base_model=all-MiniLM-L6-v2"]
    cli.main(["reproduce", "ablations", *folders, "--dry-run", *words])  # spelled as in version 0.1
    shown, notes = capfd.readouterr()
    assert "m2v-bench reproduce is now spelled m2v-bench paper reproduce" in notes
    assert f"--hub-dir {hub_dir} is now spelled hub_dir={hub_dir}" in notes
    suite = suite_of(check(compose(["suite=paper", f"hub_dir={hub_dir}", f"data_dir={hub_dir.parent / 'eval'}"])))
    n_here = sum(entry.missing is None for entry in suite)
    assert n_here >= 21
    assert f"{n_here} of 72 datasets are here" in shown
    assert "8 jobs, 0 finished" in shown
    assert "$ python -m m2v_bench.cli paper ablations paper_ablations" in shown
    assert not list(tmp_path.rglob("*.json"))


def test_an_item_runs(tmp_path: Path):
    item = ["base_model=all-MiniLM-L6-v2", "embeddings=output", "weighting=none,zipf_log", "dialect=m2v-0.7"]
    command = ["m2v_bench.cli", "paper", "reproduce", "ablations", *item]
    command += ["suite=custom", "suite.tasks=[SimLex999WordSim]"]
    run = processes.run(*command, "baseline=[]", "tracking=none", cwd=tmp_path, HF_HUB_OFFLINE="1")
    assert run.returncode == 0, run.stderr
    assert "the authors' findings" in run.stdout
    findings = pd.read_csv(tmp_path / "results" / "tables" / "paper_ablations_findings.csv")
    assert set(findings["n_tasks"]) == {0, 1}
    failed = processes.run(*command, "baseline=[nothing]", cwd=tmp_path)
    assert failed.returncode == 1
    assert "m2v_bench.cli paper ablations" not in failed.stdout
