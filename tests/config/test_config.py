"""Test default settings, composition of every config file, and refusal of bad values."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from m2v_bench.config.check import check
from m2v_bench.config.compose import register
from m2v_bench.config.schema import conf_dir
from m2v_bench.errors import BenchError
from m2v_bench.runs.prepare import suite_of

WORD_SIMILARITY_TASKS = [f"{name}WordSim" for name in ("MEN", "MTurk771", "SimLex999", "RareWord", "WordSim353")]
JOBS = ("sweep", "experiment")  # chosen with +, each makes a sweep
FILES = [
    f"{path.parent.name}={path.stem}" for path in sorted(conf_dir().glob("*/*.yaml")) if path.parent.name not in JOBS
]


def composed(*overrides: str) -> DictConfig:
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose("config", overrides=list(overrides))


def test_default_settings(tmp_path: Path):
    config = check(composed(f"results_dir={tmp_path}"))
    assert config.base_model.name == "all-MiniLM-L6-v2"
    assert (config.dialect, config.pca_dims, config.quantize_to) == ("m2v-0.7", 256, "float16")
    assert (config.suite.name, config.tracking.uri) == ("starter", "sqlite:///mlflow.db")
    assert list(config.baselines) == ["teacher", "glove-6b-50d", "wordllama-256"]


@pytest.mark.parametrize("choice", FILES)
def test_every_config_file_composes(choice: str, tmp_path: Path):
    check(composed(choice, f"results_dir={tmp_path}", f"training.corpus={tmp_path}/corpus.txt"))


@pytest.mark.parametrize(
    "choice", [f"{kind}={path.stem}" for kind in JOBS for path in conf_dir().glob(f"{kind}/*.yaml")]
)
def test_every_sweep_and_its_jobs_compose(choice: str, tmp_path: Path):
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = compose("config", overrides=[f"+{choice}"], return_hydra_config=True)
    assert config.sweep.name == choice.partition("=")[2]
    assert config.hydra.mode.name == "MULTIRUN"
    for name, values in config.hydra.sweeper.params.items():
        for value in str(values).split(","):
            corpus = f"corpus={tmp_path}/corpus.txt"  # which some weightings need
            corpora = [corpus, f"training.{corpus}"]
            check(composed(f"+{choice}", f"{name}={value}", *corpora, f"results_dir={tmp_path}"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("pca_dims=0", r"pca_dims=0"),
        ("dialect=m2v-2", r"dialect=m2v-2: unknown dialect"),
        ("tracking.name=neptune", r"tracking\.name=neptune: unknown; allowed: mlflow, wandb, none"),
        ("suite.aggregation=mean", r"suite\.aggregation=mean: unknown; allowed: micro, macro"),
        ("sweep.axis=pca_dim", r"sweep\.axis=pca_dim: no such setting\. Did you mean pca_dims"),
        ("launcher.workers=2", r"launcher\.workers=2: not used with launcher=local; set launcher=joblib or ray"),
        ("launcher.address=auto", r"launcher\.address=auto: not used with launcher=local; set launcher=ray,"),
        ("batch_size=0", r"batch_size=0: must be at least 1"),
        ("seed=-1", r"seed=-1: must lie between"),
        ("weighting=sift", r"weighting=sift: unknown; allowed: none, zipf_log, sif, sif_counts, idf"),
        ("weighting=idf", r"weighting=idf counts tokens: set corpus"),
        ("device=cuda:77", r"device=cuda:77: torch cannot use it here"),
        ("results_dir=/proc/nowhere", r"results_dir=/proc/nowhere: not writable"),
        ("+pca_dim=3", r"pca_dim: no such setting\. Did you mean pca_dims"),
        ("+baselines.x=3", r"baselines\.x=3: must be a mapping, for example '\+baselines\.x=\{kind: static"),
        ("+baselines.x={name: a}", r"baselines\.x\.kind is not set; allowed: teacher, sentence_transformer"),
        (
            "+baselines.x={kind: static, nam: a}",
            r"baselines\.x\.nam: no such setting\. Did you mean baselines\.x\.name",
        ),
        ("+baselines.x={kind: random, dims: many}", r"baselines\.x\.dims=many: Value 'many'"),
        ("+baselines.x={kind: statc}", r"baselines\.x\.kind=statc: unknown\. Did you mean static"),
    ],
)
def test_bad_value_is_refused(override: str, message: str, tmp_path: Path):
    overrides = [override] if override.startswith("results_dir") else [override, f"results_dir={tmp_path}"]
    with pytest.raises(BenchError, match=message):
        check(composed(*overrides))


@pytest.mark.parametrize(
    ("overrides", "n"),
    [
        (["suite=starter"], 9),
        (["suite=mteb_eng_v1"], 56),
        (["suite=mteb_eng_v2"], 41),
        (["suite=wordsim"], 7),
        (["suite=pearl"], 9),
        (["suite=classification"], 8),
        (["suite=paper"], 72),
        (["suite=custom", "suite.benchmark='MTEB(Multilingual, v2)'"], 131),
        (["suite=paper", "suite.types=[STS,WordSim]", "suite.exclude=[STS17,WordSim-MEN]"], 10 + 7 - 2),
    ],
)
def test_number_of_tasks_in_suites(overrides: list[str], n: int, tmp_path: Path):
    assert len(suite_of(check(composed(*overrides, f"results_dir={tmp_path}")))) == n


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["suite.types=[Sts]"], r"suite\.types: the suite has no Sts\. Allowed: Classification, Clustering"),
        (["suite.exclude=[MENWordsim]"], r"suite\.exclude: the suite has no MENWordsim\. Did you mean MENWordSim"),
        (["suite.types=[WordSim]", "suite.exclude=[" + ",".join(WORD_SIMILARITY_TASKS) + "]"], "leave no task"),
    ],
)
def test_filter_without_match_is_refused(overrides: list[str], message: str, tmp_path: Path):
    with pytest.raises(BenchError, match=message):
        suite_of(check(composed(*overrides, f"results_dir={tmp_path}")))


def test_every_suite_file_is_counted():
    files = {path.stem for path in conf_dir().glob("suite/*.yaml")}
    assert files == {"custom", "starter", "mteb_eng_v1", "mteb_eng_v2", "wordsim", "pearl", "classification", "paper"}
