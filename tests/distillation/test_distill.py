from pathlib import Path
from typing import Any

import numpy as np
import pytest

from m2v_bench import StaticModel, distill
from m2v_bench.cache import cache_dir
from m2v_bench.distillation.distill import run_recipe
from m2v_bench.distillation.recipe import make_recipe
from m2v_bench.errors import BenchError


@pytest.fixture(scope="module")
def ours(teacher_folder: Path) -> StaticModel:
    return distill("all-MiniLM-L6-v2", pca_dims=256, quantize_to="float32", show_progress=False)


def test_distilling_twice_gives_the_same_bits_also_without_the_cache(
    ours: StaticModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    cached = distill("all-MiniLM-L6-v2", pca_dims=256, quantize_to="float32", show_progress=False)
    assert cached.table.tobytes() == ours.table.tobytes()
    # the assets stay, the forward pass and the rotation are computed anew
    (tmp_path / "assets").symlink_to(cache_dir() / "assets")
    monkeypatch.setenv("M2V_BENCH_CACHE", str(tmp_path))
    fresh = distill("all-MiniLM-L6-v2", pca_dims=256, quantize_to="float32", show_progress=False)
    assert fresh.table.tobytes() == ours.table.tobytes()


def test_one_decomposition_serves_all_sizes(ours: StaticModel):
    small = distill("all-MiniLM-L6-v2", pca_dims=32, quantize_to="float32", show_progress=False)
    assert (small.table == ours.table[:, :32]).all()
    rotated = distill("all-MiniLM-L6-v2", pca_dims="auto", quantize_to="float32", show_progress=False)
    assert rotated.dims == 384
    assert (rotated.table[:, :256] == ours.table).all()


def test_without_pca_and_weighting_a_row_is_the_transformers_vector(teacher_folder: Path):
    from m2v_bench.distillation.forward import load_transformer, token_vectors

    model = distill("all-MiniLM-L6-v2", pca_dims=None, weighting="none", quantize_to="float32", show_progress=False)
    row = model.table[model.tokenizer.token_to_id("quantum")]
    base_id = 8559
    assert load_transformer(teacher_folder, pooling="mean").config.vocab_size == 30_522
    alone = token_vectors(
        load_transformer(teacher_folder, pooling="mean"), [[101, base_id, 102]], pooling="mean", show_progress=False
    )[0]
    np.testing.assert_allclose(row, alone, atol=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        {"pca_dims": 128},
        {"pca_dims": "auto"},
        {"weighting": "zipf_log"},
        {"coefficient": 1e-3},
        {"pooling": "first"},
        {"dtype": "float32"},
        {"remove": None},
    ],
)
def test_every_setting_that_moves_a_number_moves_revision_and_label(change: dict[str, Any]):
    default, changed = make_recipe("all-MiniLM-L6-v2"), make_recipe("all-MiniLM-L6-v2", **change)
    assert changed.revision != default.revision
    assert changed.label != default.label


def test_another_base_model_of_the_same_folder_name_has_another_revision(teacher_folder: Path, tmp_path: Path):
    folders = [tmp_path / "a" / "model", tmp_path / "b" / "model"]
    for folder, text in zip(
        folders, ('{"model_type": "bert"}', '{"model_type": "bert", "vocab_size": 3}'), strict=True
    ):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(text)
    first, second = (make_recipe(str(folder)) for folder in folders)
    assert first.name == second.name
    assert first.revision != second.revision


def test_a_coefficient_that_is_not_used_does_not_change_the_revision():
    assert (
        make_recipe("all-MiniLM-L6-v2", weighting="none", coefficient=1e-3).revision
        == make_recipe("all-MiniLM-L6-v2", weighting="none").revision
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weighting": "tfidf"}, r"weighting\.name=tfidf: unknown; allowed: none, zipf_log, sif"),
        ({"pooling": "max"}, r"pooling\.name=max: unknown; allowed: mean, first, last, pooler"),
        ({"dialect": "m2v-9"}, r"dialect\.name=m2v-9: unknown dialect; allowed: m2v-0\.7"),
        ({"dtype": "int4"}, r"quantization\.dtype=int4: unknown; allowed: float32, float16"),
        ({"coefficient": 1.0}, r"weighting\.coefficient=1\.0: must lie between 0 and 1"),
        ({"pca_dims": 385}, r"pca\.dims=385: all-MiniLM-L6-v2 has 384 dimensions; allowed: 1 to 384, auto"),
        ({"base_revision": "abc"}, r"base_model\.revision=abc: only a model from the hub has revisions"),
        ({"vocabulary": "webster"}, r"vocabulary\.source=webster: unknown; allowed: model"),
    ],
)
def test_a_bad_setting_is_named_with_what_is_allowed(settings: dict[str, Any], message: str):
    with pytest.raises(BenchError, match=message):
        make_recipe("all-MiniLM-L6-v2", **settings)


def test_the_second_distillation_reads_the_forward_pass():
    recipe = make_recipe("all-MiniLM-L6-v2", weighting="none")
    run_recipe(recipe, show_progress=False)
    assert run_recipe(recipe, show_progress=False).forward_cached
