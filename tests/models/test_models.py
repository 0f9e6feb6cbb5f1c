"""Test baselines: defaults, every kind, and checks of settings."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from m2v_bench.assets.fetch import fetch
from m2v_bench.config.check import check, check_baselines
from m2v_bench.config.compose import register
from m2v_bench.config.schema import BaselineConfig, Config, conf_dir
from m2v_bench.distillation.teacher import BaseModel, find_base
from m2v_bench.errors import BenchError
from m2v_bench.models import baseline_assets, distinct, load_baselines
from m2v_bench.models.model import Model
from tests.conftest import as_model, tiny_static_model
from tests.hub_server import COMMIT, hub_environment, hub_server

GOLDEN = Path(__file__).parents[1] / "golden"
L3 = "paraphrase-MiniLM-L3-v2"


def composed(results: Path, *overrides: str) -> Config:
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return check(compose("config", overrides=[*overrides, f"results_dir={results}"]))


@pytest.fixture(scope="module")
def base() -> BaseModel:
    return find_base("all-MiniLM-L6-v2")


@pytest.fixture(scope="module")
def baselines(base: BaseModel, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    configs = composed(tmp_path_factory.mktemp("results")).baselines
    return dict(zip(configs, load_baselines(configs, base), strict=True))


def test_default_baselines(baselines: dict[str, Model], tmp_path: Path):
    assert [(key, model.label, model.name, model.kind, model.dims) for key, model in baselines.items()] == [
        ("teacher", "all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2", "transformer", 384),
        ("glove-6b-50d", "GloVe 6B 50d", "stanford/glove.6B.50d", "static", 50),
        ("wordllama-256", "WordLlama 256", "dleemiller/wordllama-l2-supercat-256", "static", 256),
    ]
    assert [model.n_parameters for model in baselines.values()] == [22_713_216, 20_000_000, 8_192_000]
    assert len({model.revision for model in baselines.values()}) == 3
    assert baseline_assets(composed(tmp_path).baselines) == ["glove-6b-50d", "wordllama-256"]


def test_wordllama_matches_its_package(baselines: dict[str, Model]):
    golden = json.loads((GOLDEN / "wordllama.json").read_text(encoding="utf-8"))
    ours = baselines["wordllama-256"].load("cpu").encode(golden["sentences"], batch_size=32)
    np.testing.assert_allclose(ours, golden["embeddings"], atol=1e-6)


def test_teacher_matches_sentence_transformers(baselines: dict[str, Model], teacher_folder: Path):
    from sentence_transformers import SentenceTransformer

    texts = ["A cat.", "Two dogs run."]
    ours = baselines["teacher"].load("cpu").encode(texts, batch_size=32)
    np.testing.assert_allclose(ours, SentenceTransformer(str(teacher_folder)).encode(texts), atol=1e-6)


def test_baselines_follow_the_chosen_order(tmp_path: Path):
    assert list(composed(tmp_path, "baseline=[random,teacher]").baselines) == ["random", "teacher"]
    assert composed(tmp_path, "baseline=[]").baselines == {}
    one = composed(tmp_path, "baseline=[]", "+baselines.mine={kind: static, name: /some/folder}").baselines
    assert one == {"mine": BaselineConfig(kind="static", name="/some/folder")}


@pytest.mark.parametrize("path", sorted(conf_dir().glob("baseline/*.yaml")), ids=lambda path: path.stem)
def test_every_file_adds_the_baseline_of_its_name(path: Path, tmp_path: Path):
    (key, config), *rest = composed(tmp_path, f"baseline=[{path.stem}]").baselines.items()
    assert not rest
    assert key == path.stem.replace(".", "_")
    assert (config.label or key).replace("_", ".") == path.stem.replace("_", ".") or config.label
    assert path.read_text().splitlines()[1].startswith("# ")


def test_static_models_pin_published_revisions():
    import pandas as pd

    from tests.conftest import TEST_DATA

    csv = TEST_DATA / "reference" / "published_mteb_scores.csv"
    if not csv.is_file():
        pytest.skip(f"no published scores at {csv}")
    published = set(pd.read_csv(csv, usecols=["model", "revision"]).itertuples(index=False, name=None))
    pinned = {}
    for path in conf_dir().glob("baseline/*.yaml"):
        lines = dict(line.split(": ", 1) for line in path.read_text().splitlines() if not line.startswith("#"))
        if lines["kind"] == "static":
            pinned[lines["name"]] = lines["revision"]
    assert len(pinned) == 8
    assert set(pinned.items()) <= published


def test_sentence_transformer_by_catalog_name_and_folder(base: BaseModel):
    (small,) = load_baselines({"small": BaselineConfig(kind="sentence_transformer", name=L3)}, base)
    folder = fetch([L3])[L3]
    (local,) = load_baselines({"x": BaselineConfig(kind="sentence_transformer", name=str(folder), label="L3")}, base)
    assert (small.name, small.label, small.dims) == (f"sentence-transformers/{L3}", "small", 384)
    assert (local.name, local.label, local.revision) == (f"local/{folder.name}", "L3", small.revision)
    texts = ["a cat", "the stock market"]
    np.testing.assert_array_equal(
        small.load("cpu").encode(texts, batch_size=2), local.load("cpu").encode(texts, batch_size=2)
    )


def test_sentence_transformer_prompts_and_similarity(tmp_path: Path, base: BaseModel):
    import shutil

    shutil.copytree(base.folder, tmp_path / "prompted")
    settings = tmp_path / "prompted" / "config_sentence_transformers.json"
    settings.write_text(json.dumps({"prompts": {"query": "q: ", "document": ""}, "similarity_fn_name": "dot"}))
    config = BaselineConfig(kind="sentence_transformer", name=str(tmp_path / "prompted"))
    (model,) = load_baselines({"prompted": config}, base)
    assert (dict(model.prompts), model.similarity) == ({"query": "q: "}, "dot")


def test_saved_distilled_model_is_a_baseline(tmp_path: Path, base: BaseModel):
    static = tiny_static_model()
    static.save_pretrained(tmp_path / "mine")
    config = BaselineConfig(kind="static", name=str(tmp_path / "mine"))
    (model,) = load_baselines({"saved": config}, base)
    assert (model.name, model.label, model.kind, model.dims) == ("local/mine", "saved", "static", 8)
    texts = ["good cat", "bad dog cat"]
    np.testing.assert_array_equal(model.load("cpu").encode(texts, batch_size=2), static.encode(texts))
    other = tiny_static_model(seed=1)
    other.save_pretrained(tmp_path / "mine")
    assert load_baselines({"saved": config}, base)[0].revision != model.revision


_LOAD_FROM_HUB = """
import sys
from m2v_bench.models import load_baselines
from m2v_bench.config.schema import BaselineConfig
configs = {"potion": BaselineConfig(kind="static", name="people/potion", revision=sys.argv[1])}
(model,) = load_baselines(configs, None)
print(model.name, model.revision, model.label, model.load("cpu").encode(["good cat"], batch_size=1).shape)
"""


def test_published_model_has_hub_name_and_commit(tmp_path: Path):
    tiny_static_model().save_pretrained(tmp_path / "model")
    with hub_server() as (address, repositories):
        files = [path for path in (tmp_path / "model").rglob("*") if path.is_file()]
        repositories["people/potion"] = {
            path.relative_to(tmp_path / "model").as_posix(): path.read_bytes() for path in files
        }
        environment = hub_environment(address, tmp_path / "home")
        command = [sys.executable, "-c", _LOAD_FROM_HUB, COMMIT]
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.stdout.strip() == f"people/potion {COMMIT} potion (1, 8)", run.stderr


def test_duplicates_are_dropped_and_equal_labels_refused():
    one, other = as_model(tiny_static_model(), "a"), as_model(tiny_static_model(), "a", revision="2")
    assert distinct([one, one]) == [one]
    with pytest.raises(BenchError, match="test/a and test/a are both called a; rename one with"):
        distinct([one, other])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (BaselineConfig(kind="statc"), r"baselines\.x\.kind=statc: unknown\. Did you mean static\? Allowed: teacher"),
        (BaselineConfig(kind="vectors"), r"baselines\.x\.name is not set; a baseline with kind=vectors needs it"),
        (BaselineConfig(kind="bm25", dims=3), r"baselines\.x\.dims=3: kind=bm25 has no such setting"),
        (BaselineConfig(kind="teacher", label="T"), r"baselines\.x\.label=T: kind=teacher has no such setting"),
        (BaselineConfig(kind="random", dims=0), r"baselines\.x\.dims=0: must lie between 1 and 65536"),
    ],
)
def test_settings_of_another_kind_are_refused(config: BaselineConfig, message: str):
    with pytest.raises(BenchError, match=message):
        check_baselines({"x": config})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (BaselineConfig(kind="static", name="/no/folder"), r"baselines\.x\.name=/no/folder: .*no such folder"),
        (BaselineConfig(kind="static", name="FOLDER"), r"baselines\.x\.name=.* is not a static model"),
        (BaselineConfig(kind="static", name="FOLDER", revision="a"), r"baselines\.x\.revision=a: only a model from"),
        (BaselineConfig(kind="sentence_transformer", name="FOLDER"), r"baselines\.x\.name=.* holds no model"),
        (
            BaselineConfig(kind="sentence_transformer", name="FOLDER", revision="a"),
            r"baselines\.x\.revision=a: only a model from the hub has revisions",
        ),
        (BaselineConfig(kind="vectors", name="FOLDER"), r"not a file of word vectors; allowed: .* glove-6b-50d"),
        (BaselineConfig(kind="vectors", name="wordllama-256"), "not a file of word vectors"),
        (BaselineConfig(kind="wordllama", name="glove-6b-50d"), "no WordLlama in the catalog; allowed: wordllama-256"),
    ],
)
def test_bad_models_are_refused(config: BaselineConfig, message: str, base: BaseModel, tmp_path: Path):
    config.name = str(config.name).replace("FOLDER", str(tmp_path))
    with pytest.raises(BenchError, match=message):
        load_baselines({"x": config}, base)


_HIDDEN = """
import sys
sys.modules[sys.argv[1]] = None  # makes Python raise ImportError
from m2v_bench.models import load_baselines
from m2v_bench.config.schema import BaselineConfig
from m2v_bench.errors import BenchError
try:
    load_baselines({"x": BaselineConfig(kind=sys.argv[2], name=sys.argv[3] or None)}, None)
except BenchError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("module", "kind", "name", "command"),
    [
        ("bm25s", "bm25", "", "pip install bm25s PyStemmer"),
        ("Stemmer", "bm25", "", "pip install bm25s PyStemmer"),
        ("sentencepiece", "bpemb", "folder", "pip install sentencepiece"),
    ],
)
def test_missing_package_names_the_install_command(module: str, kind: str, name: str, command: str):
    run = subprocess.run(
        [sys.executable, "-c", _HIDDEN, module, kind, name], capture_output=True, text=True, check=True
    )
    assert f"baselines.x.kind={kind} needs the package" in run.stdout
    assert f"\n  {command}\n" in run.stdout


def test_install_commands_match_the_extras():
    import re
    import tomllib

    from m2v_bench.system.packages import EXTRAS

    project = tomllib.loads((conf_dir().parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extra, packages in EXTRAS.items():
        named = project["optional-dependencies"][extra]
        assert [re.split("[><=]", requirement)[0] for requirement in named] == list(packages)


def test_random_vector_depends_only_on_the_text(tmp_path: Path):
    (model,) = load_baselines({"random": BaselineConfig(kind="random", dims=64)}, None)
    assert (model.name, model.dims, model.n_parameters) == ("m2v_bench/random-64d", 64, 0)
    encoder = model.load("cpu")
    texts = [f"text {number}" for number in range(2000)]
    vectors = encoder.encode(texts, batch_size=32)
    np.testing.assert_array_equal(encoder.encode(texts[::-1], batch_size=1)[::-1], vectors)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    # uniform on the sphere: the mean of n unit vectors has norm 1/sqrt(n), every coordinate the variance 1/dims
    assert np.linalg.norm(vectors.mean(axis=0)) < 2 / np.sqrt(len(texts))
    np.testing.assert_allclose(vectors.var(axis=0), 1 / 64, rtol=0.2)
    code = (
        "import sys, numpy as np; from m2v_bench.models.random_vectors import RandomEncoder\n"
        "np.save(sys.argv[1], RandomEncoder(64).encode(['text 7'], batch_size=1))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "other.npy")], check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "other.npy")[0], vectors[7])
