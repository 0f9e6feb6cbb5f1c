"""Test distillation: caching, dialects, and checks of settings."""

import inspect
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from m2v_bench import StaticModel, distill
from m2v_bench.cache import cache_dir
from m2v_bench.distillation.dialects import DIALECTS
from m2v_bench.distillation.distill import run_recipe
from m2v_bench.distillation.distill_config import DistillConfig
from m2v_bench.distillation.recipe import make_recipe
from m2v_bench.distillation.teacher import find_base
from m2v_bench.errors import BenchError

Distil = Callable[..., StaticModel]


@pytest.fixture(scope="module")
def ours(teacher_folder: Path) -> StaticModel:
    return distill("all-MiniLM-L6-v2", pca_dims=256, quantize_to="float32", show_progress=False)


@pytest.fixture(scope="module")
def tiny(tiny_folder: Path) -> Distil:
    def run(**settings: Any) -> StaticModel:
        return distill(
            str(tiny_folder), **{"pca_dims": 16, "quantize_to": "float32", "show_progress": False, **settings}
        )

    return run


def test_result_is_bit_identical_with_and_without_cache(
    teacher_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    # a cache with the assets, but without the forward pass and the rotation
    (tmp_path / "assets").symlink_to(cache_dir() / "assets")
    monkeypatch.setenv("M2V_BENCH_CACHE", str(tmp_path))
    fresh, cached = (
        distill("all-MiniLM-L6-v2", pca_dims=256, quantize_to="float32", show_progress=False) for _ in range(2)
    )
    assert fresh.table.tobytes() == cached.table.tobytes()


def test_one_decomposition_serves_all_sizes(ours: StaticModel):
    small = distill("all-MiniLM-L6-v2", pca_dims=32, quantize_to="float32", show_progress=False)
    assert (small.table == ours.table[:, :32]).all()
    rotated = distill("all-MiniLM-L6-v2", pca_dims="auto", quantize_to="float32", show_progress=False)
    assert rotated.dims == 384
    assert (rotated.table[:, :256] == ours.table).all()


def test_share_of_variance_keeps_fewest_components(tiny: Distil):
    rotated = tiny(pca_dims="auto", weighting="none").table.astype(np.float64)
    shares = np.cumsum(rotated.var(axis=0)) / rotated.var(axis=0).sum()
    kept = tiny(pca_dims=0.9).dims
    assert shares[kept - 2] < 0.9 <= shares[kept - 1]


def test_sklearn_solver_agrees_with_exact_solver(tiny: Distil):
    full, theirs = (tiny(pca_solver=solver).table for solver in ("full", "sklearn"))
    np.testing.assert_allclose(full, theirs, atol=1e-3 * np.abs(full).max())  # theirs is float32 throughout
    assert tiny(dialect="m2v-0.1").config["recipe"]["seed"] == 42


def test_input_embeddings_need_no_forward_pass(tiny: Distil, tiny_folder: Path):
    from transformers import AutoModel

    model = tiny(embeddings="input", pca_dims=None, weighting="none")
    assert model.config["recipe"]["embeddings"] == "input"
    matrix = AutoModel.from_pretrained(tiny_folder).get_input_embeddings().weight.detach().numpy()
    known = dict(find_base(str(tiny_folder)).tokenizer.tokens)
    np.testing.assert_array_equal(model.table, matrix[[known[token] for token in model.tokens]])


@pytest.mark.parametrize("dialect", DIALECTS)
def test_dialect_defaults_can_be_overridden(tiny: Distil, dialect: str):
    preset = DIALECTS[dialect]
    other = {
        "sequence": "template" if preset.sequence == "swapped" else "swapped",
        "pooling": "last",
        "weighting": "none",
    }
    default = tiny(dialect=dialect)
    for setting, value in other.items():
        changed = tiny(dialect=dialect, **{setting: value})
        assert changed.tokens == default.tokens
        assert np.abs(changed.table - default.table).max() > 1e-3
        assert changed.config["revision"] != default.config["revision"]
    assert default.normalize == preset.normalize


def test_counted_weights_multiply_the_rows(tiny: Distil, tmp_path: Path):
    (tmp_path / "corpus.txt").write_text("the the the the water\nthe water of the house\n")
    plain = tiny(weighting="none")
    weighted = tiny(weighting="sif_counts", sif_coefficient=0.5, corpus=str(tmp_path / "corpus.txt"))
    ratio = weighted.table[:, 0] / plain.table[:, 0]
    counts = np.bincount(
        [i for text in (tmp_path / "corpus.txt").read_text().splitlines() for i in plain.tokenizer.encode(text).ids],
        minlength=len(plain.tokens),
    )
    np.testing.assert_allclose(ratio, 0.5 / (0.5 + counts / counts.sum()), rtol=1e-5)
    assert tiny(weighting="idf", corpus=str(tmp_path / "corpus.txt")).config["weighting"] == "idf"


def test_shared_rows_have_weights_and_mapping(tiny: Distil, tmp_path: Path):
    model = tiny(vocabulary_quantization=40)
    assert model.weights is not None
    assert model.mapping is not None
    assert (model.table.shape, model.mapping.shape, model.weights.shape) == ((40, 16), (400 - 3,), (400 - 3,))
    model.save_pretrained(tmp_path)
    texts = ["the water of the house", "a teacher"]
    assert (StaticModel.from_pretrained(tmp_path).encode(texts) == model.encode(texts)).all()


@pytest.mark.parametrize(
    "change",
    [
        {"pca_dims": 128},
        {"pca_dims": "auto"},
        {"weighting": "zipf_log"},
        {"sif_coefficient": 1e-3},
        {"pooling": "first"},
        {"quantize_to": "float32"},
        {"quantize_to": "int8"},
        {"token_remove_pattern": None},
        {"dialect": "m2v-0.5"},
        {"sequence": "swapped"},
        {"embeddings": "input"},
        {"precision": "bf16"},
        {"pca_solver": "sklearn"},
        {"vocabulary_quantization": 1000},
        {"vocabulary": "glove"},
        {"vocabulary": "glove_subword"},
        {"vocabulary": "glove", "vocabulary_size": 5000},
    ],
)
def test_settings_change_revision_and_label(change: dict[str, Any]):
    default, changed = make_recipe("all-MiniLM-L6-v2"), make_recipe("all-MiniLM-L6-v2", DistillConfig(**change))
    assert changed.revision != default.revision
    assert changed.label != default.label


@pytest.mark.parametrize(
    ("settings", "change"),
    [
        ({"weighting": "idf", "corpus": "a.csv"}, {"corpus": "b.csv"}),
        ({"weighting": "idf", "corpus": "a.csv"}, {"corpus_column": "other"}),
        ({"vocabulary_quantization": 1000}, {"seed": 1}),
        ({"vocabulary": ["zyzzyva", "quokka"] * 200}, {"vocabulary": ["zyzzyva", "quagga"] * 200}),
        ({"vocabulary": ["zyzzyva"] * 300}, {"subwords": False}),
        ({"vocabulary": ["zyzzyva"] * 300, "dialect": "m2v-0.1"}, {"sequence": "template"}),
    ],
)
def test_content_changes_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], change: dict[str, Any]
):
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        Path(f"{name}.csv").write_text(f"text,other\n{name},c\n")
    before, after = (make_recipe("all-MiniLM-L6-v2", DistillConfig(**{**settings, **more})) for more in ({}, change))
    assert before.revision != after.revision


def test_base_models_with_equal_names_differ_in_revision(tmp_path: Path):
    folders = [tmp_path / "a" / "model", tmp_path / "b" / "model"]
    for folder, text in zip(
        folders, ('{"model_type": "bert"}', '{"model_type": "bert", "vocab_size": 3}'), strict=True
    ):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(text)
        (folder / "model.safetensors").touch()
    first, second = (make_recipe(str(folder)) for folder in folders)
    assert first.name == second.name
    assert first.revision != second.revision


@pytest.mark.parametrize(
    ("setting", "change"),
    [
        ({"weighting": "none"}, {"sif_coefficient": 1e-3}),
        ({}, {"seed": 1}),
        ({"pca_solver": "sklearn", "pca_dims": "auto"}, {"seed": 1}),
        ({"weighting": "none"}, {"corpus_column": "body"}),
        ({"embeddings": "input"}, {"pooling": "last", "sequence": "swapped", "precision": "bf16"}),
    ],
)
def test_unused_setting_keeps_revision(setting: dict[str, Any], change: dict[str, Any]):
    before, after = (make_recipe("all-MiniLM-L6-v2", DistillConfig(**setting, **more)) for more in ({}, change))
    assert before.revision == after.revision


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weighting": "tfidf"}, r"weighting=tfidf: unknown; allowed: none, zipf_log, sif, sif_counts, idf"),
        ({"weighting": "idf"}, r"weighting=idf counts tokens: set corpus to"),
        ({"pooling": "max"}, r"pooling=max: unknown; allowed: token, mean, first, last, pooler"),
        ({"dialect": "m2v-9"}, r"dialect=m2v-9: unknown dialect; allowed: m2v-0\.1, m2v-0\.3\.8"),
        ({"sequence": "upside"}, r"sequence=upside: unknown; allowed: template, swapped"),
        ({"embeddings": "middle"}, r"embeddings=middle: unknown; allowed: output, input"),
        ({"precision": "fp8"}, r"precision=fp8: unknown; allowed: fp32, bf16"),
        ({"pca_solver": "magic"}, r"pca_solver=magic: unknown; allowed: full, sklearn"),
        ({"quantize_to": "int4"}, r"quantize_to=int4: unknown; allowed: float32, float16, int8"),
        ({"vocabulary_quantization": 0}, r"vocabulary_quantization=0: must be at least 1"),
        ({"sif_coefficient": 1.0}, r"sif_coefficient=1\.0: must lie between 0 and 1"),
        ({"sif_coefficient": None}, r"sif_coefficient=None: must lie between 0 and 1"),
        ({"seed": -1}, r"seed=-1: must lie between 0 and"),
        ({"token_remove_pattern": "("}, r"token_remove_pattern='\(' is not a regular expression"),
        ({"token_remove_pattern": 5}, r"token_remove_pattern=5: must be a regular expression or null"),
        ({"pooling": ["mean"]}, r"pooling=\['mean'\]: unknown; allowed: token, mean"),
        ({"subwords": "no"}, r"subwords=no: must be true, false or null"),
        ({"corpus_column": None}, r"corpus_column=None: must be text"),
        ({"pca_dims": 385}, r"pca_dims=385: all-MiniLM-L6-v2 has 384 dimensions; allowed"),
        ({"vocabulary": "webster"}, r"vocabulary=webster: unknown; allowed: model, glove"),
        ({"vocabulary": "glove", "vocabulary_size": 100}, r"pca_dims=256: vocabulary glove has only 100 words"),
    ],
)
def test_bad_setting_is_refused(settings: dict[str, Any], message: str):
    with pytest.raises(BenchError, match=message):
        make_recipe("all-MiniLM-L6-v2", DistillConfig(**settings))


def test_revision_of_a_catalog_model_is_refused():
    with pytest.raises(BenchError, match=r"base_model\.revision=abc: only a model from the hub has revisions"):
        make_recipe("all-MiniLM-L6-v2", revision="abc")


def test_settings_are_keywords_or_one_object(tiny: Distil):
    with pytest.raises(BenchError, match=r"pca_dim: no such setting of distill\. Did you mean pca_dims\?"):
        tiny(pca_dim=8)
    with pytest.raises(BenchError, match=r"give config=\.\.\., or weighting as keywords, not both"):
        distill("all-MiniLM-L6-v2", config=DistillConfig(), weighting="sif")
    parameters = inspect.signature(distill).parameters
    assert {field.name for field in fields(DistillConfig)} < set(parameters)


def test_former_keywords_still_work(tiny: Distil):
    with pytest.warns(FutureWarning, match="remove is now called token_remove_pattern"):
        former = tiny(remove="##")
    assert former.tokens == tiny(token_remove_pattern="##").tokens
    with pytest.raises(BenchError, match=r"remove is now called token_remove_pattern; give only token_remove_pattern"):
        tiny(remove="##", token_remove_pattern="##")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vocabulary": ["a", "A"] * 20, "subwords": False}, r"pca_dims=16: only 2 words are left of words"),
        ({"vocabulary_quantization": 500}, r"vocabulary_quantization=500: must not exceed the 397 tokens"),
        ({"vocabulary_quantization": 10}, r"pca_dims=16: vocabulary_quantization=10 leaves 10 rows"),
    ],
)
def test_sizes_are_checked_against_the_vocabulary(tiny: Distil, settings: dict[str, Any], message: str):
    with pytest.raises(BenchError, match=message):
        tiny(**settings)


def test_added_words_reuse_the_pass_over_subwords(tiny: Distil, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("M2V_BENCH_CACHE", str(tmp_path))
    alone = tiny(pca_dims=None, weighting="none")
    (first,) = (tmp_path / "forward").glob("*/vectors.npy")
    beside = tiny(pca_dims=None, weighting="none", vocabulary=["zyzzyva", "quokka"])
    (second,) = set((tmp_path / "forward").glob("*/vectors.npy")) - {first}
    assert len(np.load(second)) == len(beside.tokens) - len(alone.tokens) > 0
    np.testing.assert_array_equal(beside.table[: len(alone.table)], alone.table)


def test_second_distillation_reads_the_cached_forward_pass():
    recipe = make_recipe("all-MiniLM-L6-v2", DistillConfig(weighting="none"))
    run_recipe(recipe, show_progress=False)
    assert run_recipe(recipe, show_progress=False).forward_cached
