"""Test that mistyped commands, run in subprocesses, fail with one message that names the fix."""

import pytest

from tests.conftest import Cli


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["pca.dimz=3"], "pca.dimz: no such setting. Did you mean pca_dims?"),
        (["+pca.dimz=3"], "pca.dimz: no such setting. Did you mean pca_dims?"),
        (["base_modell=x"], "base_modell: no such setting. Did you mean base_model"),
        (["suite=startr"], "suite=startr: no such choice. Did you mean starter? Allowed: classification, custom"),
        (["+sweep=pca_dim"], "sweep=pca_dim: no such choice. Did you mean pca_dims?"),
        (["sweep=pca_dims"], "write +sweep=pca_dims"),
        (["pca_dims=64,128"], "For one job per value add -m:\n  python -m m2v_bench -m pca_dims=64,128"),
        (["+sweep=pca_dims", "pca_dims=64,128", "pca.dimz=3"], "pca.dimz: no such setting"),
        (["suite.tasks=[STS12"], "cannot read `suite.tasks=[STS12`"),
        (["seed=abc"], "seed=abc: Value 'abc'"),
        (["pca_dims=-3"], "pca_dims=-3: not a PCA size; allowed: none, auto"),
        (["pca_dims=1000"], "pca_dims=1000: all-MiniLM-L6-v2 has 384 dimensions; allowed: 1 to 384"),
        (["vocabulary=file:none.txt"], "vocabulary=file:none.txt: cannot be read (No such file"),
        (["weighting=idf"], "weighting=idf counts tokens: set corpus to"),
        (["baseline=[teacher,glov-6b-50d]"], "baseline=glov-6b-50d: no such choice. Did you mean glove-6b-50d"),
        (["baseline=null"], "baseline=[] for none"),
        (["baselines=[]"], "choose baselines by their files: 'baseline=[teacher,bm25]', or baseline=[] for none"),
        (["baselines.mine={kind: random}"], "write '+baselines.mine={kind: random}'"),
        (["+baselines.mine.nam=x"], "baselines.mine.nam: no such setting. Did you mean baselines.mine.name"),
        (["+baselines.mine={kind: vectors, name: no.txt}"], "baselines.mine.name=no.txt: cannot be read (No such file"),
        (["base_model.name=/no/folder"], "base_model.name=/no/folder: "),
        (["results_dir=/proc/nowhere"], "Set results_dir=FOLDER"),
        (["hub_dir=/nowhere"], "hub_dir=/nowhere: no such folder"),
        (["suite=custom", "suite.tasks=[STSBenchmrk]"], "no task 'STSBenchmrk'. Did you mean STSBenchmark"),
    ],
)
def test_bad_input_fails_with_one_message(bench: Cli, overrides: list[str], message: str):
    run = bench("tracking=none", *overrides, HF_HUB_OFFLINE="1", M2V_BENCH_OFFLINE="")
    assert run.returncode == 1
    assert message in run.stderr
    assert "Traceback" not in run.stderr
    assert "Error executing job" not in run.stderr
    assert len(run.stderr.strip().splitlines()) <= 4
    assert "results" not in run.stdout
