"""Test base models from folders, memory and the hub."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoModel, AutoTokenizer

from m2v_bench import StaticModel, distill
from m2v_bench.distillation.teacher import BaseModel, find_base
from m2v_bench.errors import BenchError
from tests.golden.tiny_models import build_bpe
from tests.hub_server import hub_environment, hub_server


def in_folder(folder: Path) -> BaseModel:
    return BaseModel("model", "revision", folder)


def test_folder_without_transformer_is_refused(tmp_path: Path):
    with pytest.raises(BenchError, match="no transformer can be loaded"):
        in_folder(tmp_path).transformer()


@pytest.fixture
def copy_without(teacher_folder: Path, tmp_path: Path):
    from safetensors.numpy import load_file, save_file

    def make(part: str) -> BaseModel:
        folder = tmp_path / "copy"
        shutil.copytree(teacher_folder, folder)
        weights = load_file(folder / "model.safetensors")
        save_file({name: w for name, w in weights.items() if part not in name}, folder / "model.safetensors")
        return in_folder(folder)

    return make


def test_missing_pooler_weights_are_not_randomized(copy_without):
    base = copy_without("pooler")
    assert base.transformer("mean")
    with pytest.raises(BenchError, match="has no weights of a pooler; allowed: token, mean, first, last"):
        base.transformer("pooler")


def test_missing_weights_are_refused(copy_without):
    with pytest.raises(BenchError, match=r"lacks weights of the transformer: encoder\.layer\.3"):
        copy_without("encoder.layer.3.output.dense").transformer()


def test_damaged_weights_are_refused(teacher_folder: Path, tmp_path: Path):
    shutil.copytree(teacher_folder, tmp_path / "copy")
    with (tmp_path / "copy" / "model.safetensors").open("r+b") as file:
        file.truncate(10_000_000)
    with pytest.raises(BenchError, match="no transformer can be loaded"):
        in_folder(tmp_path / "copy").transformer()


def test_hidden_size_under_another_name(tmp_path: Path):
    (tmp_path / "config.json").write_text('{"model_type": "distilbert", "dim": 48, "n_heads": 4}')
    assert in_folder(tmp_path).hidden_size == 48


def test_loaded_model_matches_its_folder(tmp_path: Path):
    build_bpe(tmp_path / "tiny")
    model, tokenizer = AutoModel.from_pretrained(tmp_path / "tiny"), AutoTokenizer.from_pretrained(tmp_path / "tiny")
    loaded = distill(model, tokenizer=tokenizer, pca_dims=16, quantize_to="float32", show_progress=False)
    named = distill(str(tmp_path / "tiny"), pca_dims=16, quantize_to="float32", show_progress=False)
    np.testing.assert_array_equal(loaded.table, named.table)
    assert loaded.tokens == named.tokens


def test_revision_of_a_loaded_model_depends_on_weights(tmp_path: Path):
    build_bpe(tmp_path / "tiny")
    model, tokenizer = AutoModel.from_pretrained(tmp_path / "tiny"), AutoTokenizer.from_pretrained(tmp_path / "tiny")
    before = find_base(model, tokenizer).revision
    assert find_base(model, tokenizer).revision == before
    model.get_input_embeddings().weight.data[5, 5] += 1
    assert find_base(model, tokenizer).revision != before


def test_loaded_model_without_tokenizer_is_refused(tmp_path: Path):
    build_bpe(tmp_path / "tiny")
    with pytest.raises(
        BenchError, match=r"without a tokenizer; give .* a loaded transformers model with tokenizer=\.\.\."
    ):
        distill(AutoModel.from_pretrained(tmp_path / "tiny"))


def test_hub_model_is_distilled_by_name(tmp_path: Path):
    build_bpe(tmp_path / "tiny")
    code = (
        "import sys; from m2v_bench import distill\n"
        "distill('people/tiny', pca_dims=16, show_progress=False).save_pretrained(sys.argv[1])"
    )
    with hub_server() as (address, repositories):
        files = [file for file in (tmp_path / "tiny").rglob("*") if file.is_file()]
        repositories["people/tiny"] = {
            file.relative_to(tmp_path / "tiny").as_posix(): file.read_bytes() for file in files
        }
        environment = hub_environment(address, tmp_path / "home")
        command = [sys.executable, "-c", code, str(tmp_path / "out")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    model = StaticModel.from_pretrained(tmp_path / "out")
    assert model.config["base_model_name"] == "people/tiny"
    assert model.dims == 16
