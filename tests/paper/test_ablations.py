"""Test effects and findings on a real sweep, run in separate processes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from m2v_bench import cli
from tests.conftest import run_bench

PAPER = Path(__file__).parents[2] / "results" / "paper"
WORDS = ["-m", "embeddings=output,input", "pca_dims=256,none", "weighting=zipf_log,none", "baseline=[]"]
WORDS += ["suite=custom", "suite.tasks=[SimLex999WordSim,WordSim353WordSim,AutoFJRetrieval]", "tracking=none"]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("ablations")
    sweep = run_bench(*WORDS, "sweep.name=mine", cwd=home)
    assert sweep.returncode == 0, sweep.stderr
    return home / "results"


def test_effects_of_a_real_sweep(results: Path, capsys: pytest.CaptureFixture[str]):
    before = {path: path.stat().st_mtime_ns for path in results.rglob("*")}
    cli.main(["ablations", "mine", "--results", str(results), "--format", "markdown"])
    shown = capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in results.rglob("*")} == before  # it only reads
    cli.main(["ablations", "mine", "--results", str(results), "--out", str(results / "tables")])
    assert "8 variants: 2 embeddings x 2 pca_dims x 2 weighting; 3/3 tasks; average over tasks" in shown
    effects = pd.read_csv(results / "tables" / "mine_effects.csv")
    scores = pd.read_csv(results / "tables" / "mine.csv")
    variants = scores.pivot(index="label", columns="task", values="main_score").mean(axis=1)
    assert len(variants) == 8
    reduced = variants.index.str.contains("256d")
    (row,) = effects[(effects["column"] == "Avg") & (effects["effect"] == "pca_dims: 256 less none")].to_dict("records")
    assert row["value"] == pytest.approx(variants[reduced].mean() - variants[~reduced].mean(), abs=1e-9)
    assert row["these_low"] < row["value"] < row["these_high"]
    assert np.isnan([row["like_low"], row["like_high"], row["like_p"]]).all()  # three tasks say nothing of others
    assert "tasks like these: no verdict, 3 tasks, 6 are needed" in shown
    assert set(effects["column"]) == {"Avg", "Avg MTEB", "Retrieval", "WordSim"}
    assert effects.groupby("column")["kind"].value_counts().unstack().to_numpy().tolist() == [[3, 3]] * 4


def test_findings_of_a_real_sweep(results: Path):
    where = ["--results", str(results), "--out", str(results / "tables")]
    cli.main(["ablations", str(results / "sweeps" / "mine"), *where])
    findings = pd.read_csv(results / "tables" / "mine_findings.csv").set_index(["finding", "scope"])
    assert len(findings) == 1 + 3 + 2 + 2
    pca = findings.loc["PCA improves", "all settings"]
    effects = pd.read_csv(results / "tables" / "mine_effects.csv").set_index(["column", "effect"])
    assert pca["value"] == effects.loc[("Avg", "pca_dims: 256 less none"), "value"]
    assert findings["published"].round(4).dropna().tolist() == [0.0526, 0.0281, 0.0281, 0.0324, 0.0324, 0.0605, 0.0605]
    assert findings["verdict"].iloc[0] == "undecided"
    assert np.isnan(findings["value"].iloc[0])
    markdown = (results / "tables" / "mine_findings.md").read_text()
    assert "| not in this sweep | +5.26 | - | - | - | - | - | - | - | - | 0 | 0 | undecided |" in markdown
    assert set(findings["verdict"].iloc[[1, 3, 4, 5, 6, 7]]) == {"withheld: 3 tasks, 6 are needed"}
    assert (results / "tables" / "mine_effects_by_type.md").is_file()


@pytest.mark.parametrize("sweep", sorted(path.stem for path in PAPER.glob("*ablations*.parquet")))
def test_verdicts_are_withheld_without_samples(sweep: str, tmp_path: Path):
    """The committed verdicts were made with the paper's samples, which are not committed."""
    cli.main(["ablations", sweep, "--results", str(PAPER / f"{sweep}.parquet"), "--out", str(tmp_path)])
    actual, committed = (pd.read_csv(folder / f"{sweep}_findings.csv") for folder in (tmp_path, PAPER / "tables"))
    assert actual["value"].to_numpy() == pytest.approx(committed["value"].to_numpy(), nan_ok=True)
    assert actual["p_holm"].isna().all()
    tested = actual["n_tasks"] > 0
    on_average = tested & ~actual["finding"].str.endswith("type")
    assert on_average.sum() == 6
    n_tasks = actual["n_tasks"].max()
    assert set(actual["verdict"][on_average]) == {f"withheld: no per-sample outputs of {n_tasks} of {n_tasks} tasks"}
    assert actual["verdict"][tested & ~on_average].str.startswith("withheld: not tested on").all()
    assert "*" not in (tmp_path / f"{sweep}_effects_by_type.md").read_text().partition("no *")[0]


def test_an_unknown_sweep_is_reported(results: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="1"):
        cli.main(["ablations", "min", "--results", str(results)])
    message = capsys.readouterr().err
    assert f"min: no such sweep or run. Did you mean mine? Sweeps in {results}/sweeps: mine" in message
