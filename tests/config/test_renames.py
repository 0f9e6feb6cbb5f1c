"""Test that setting names of version 0.1 still work, with a note of the current name."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from m2v_bench.config.check import typed
from m2v_bench.config.compose import compose, read_config, translate
from m2v_bench.config.renames import SETTINGS, current_overrides, current_settings
from m2v_bench.config.schema import settings
from m2v_bench.errors import BenchError


def test_former_names_map_to_current_settings():
    assert set(SETTINGS.values()) <= set(settings())
    assert not set(SETTINGS) & set(settings())


@pytest.mark.parametrize(
    ("former", "current"),
    [
        ("pca.dims=64", "pca_dims=64"),
        ("pca.dims=16,32", "pca_dims=16,32"),
        ("+weighting.corpus='a,b.txt'", "+corpus='a,b.txt'"),
        ("vocabulary.source=file:/a/b=c", "vocabulary=file:/a/b=c"),
        ("pca=none", "pca_dims=none"),
        ("pca=auto,default", "pca_dims=auto,256"),
        ("quantization=int8", "quantize_to=int8"),
        ("quantization=float32,int8", "quantize_to=float32,int8"),
        ("quantization=vocabulary", "vocabulary_quantization=8192"),
        ("pooling=dialect", "pooling=null"),
        ("weighting=dialect,sif", "weighting=null,sif"),
        ("pooling.name=first", "pooling=first"),
    ],
)
def test_former_name_is_translated_and_reported(former: str, current: str):
    assert current_overrides([former]) == ([current], [f"{former} is now spelled {current}"])


@pytest.mark.parametrize(
    "argument",
    ["pca_dims=64", "weighting=sif", "vocabulary=glove", "+sweep=pca_dims", "--help", "-m", "suite.name=pca.dims"],
)
def test_other_arguments_are_unchanged(argument: str):
    assert current_overrides([argument]) == ([argument], [])


def test_former_choice_of_two_settings_is_refused():
    with pytest.raises(BenchError, match="write quantize_to=float32,int8 and, in a separate sweep, vocabulary_quant"):
        current_overrides(["quantization=float32,int8,vocabulary"])


def test_former_names_compose(capsys: pytest.CaptureFixture[str]):
    former = compose(["pca.dims=64", "quantization=int8", "vocabulary.source=glove", "weighting.coefficient=1e-3"])
    assert capsys.readouterr().err.splitlines() == [
        "pca.dims=64 is now spelled pca_dims=64",
        "quantization=int8 is now spelled quantize_to=int8",
        "vocabulary.source=glove is now spelled vocabulary=glove",
        "weighting.coefficient=1e-3 is now spelled sif_coefficient=1e-3",
    ]
    assert former == compose(["pca_dims=64", "quantize_to=int8", "vocabulary=glove", "sif_coefficient=1e-3"])
    assert capsys.readouterr().err == ""


def test_axes_and_records_are_translated(capsys: pytest.CaptureFixture[str]):
    assert translate(["pca.dims=16,32", "weighting=sif"]) == ["pca_dims=16,32", "weighting=sif"]
    assert capsys.readouterr().err.splitlines() == ["pca.dims=16,32 is now spelled pca_dims=16,32"]
    assert current_settings({"pca.dims": 16, "sweep.axis": "pca.dims", "seed": 1}) == {
        "pca_dims": 16,
        "sweep.axis": "pca_dims",
        "seed": 1,
    }


def test_config_file_of_version_0_1_is_read(tmp_path: Path):
    former = {
        "base_model": {"name": "all-MiniLM-L6-v2", "revision": None},
        "pca": {"dims": 64, "solver": None},
        "weighting": {"name": "sif", "coefficient": 0.001, "corpus": None, "column": "text"},
        "vocabulary": {"source": "glove", "subwords": None, "size": 100, "remove": None},
        "quantization": {"dtype": "int8", "vocabulary": None},
        "dialect": {"name": "m2v-0.1", "sequence": None},
        "pooling": {"name": None},
        "baselines": {"bge": {"kind": "sentence_transformer", "name": "BAAI/bge-base-en-v1.5"}},
        "suite": {"name": "starter"},
        "tracking": {"name": "none"},
    }
    OmegaConf.save(former, tmp_path / "config.yaml")
    read = read_config(tmp_path)
    assert (read.pca_dims, read.weighting, read.sif_coefficient, read.vocabulary) == (64, "sif", 0.001, "glove")
    assert (read.vocabulary_size, read.token_remove_pattern, read.quantize_to) == (100, None, "int8")
    assert (read.dialect, read.pooling, read.distillation.pca_dims) == ("m2v-0.1", None, 64)
    assert read.baselines["bge"].name == "BAAI/bge-base-en-v1.5"


def test_the_config_of_a_job_of_today_is_read(tmp_path: Path):
    config = compose(["baseline=[bge-base-en-v1.5,teacher]", "vocabulary=glove", "weighting=sif", "pooling=first"])
    OmegaConf.save(config, tmp_path / "config.yaml")
    assert read_config(tmp_path) == typed(config)


OLD_FILES = {
    "choice": ("defaults:\n  - override /dialect: m2v-0.1\n", "dialect is no longer a group; set values at the top"),
    "value": (
        "pca:\n  dims: 64\n",
        "pca is no longer a group; .* pca.dims is now pca_dims, pca.solver is now pca_solver",
    ),
}


@pytest.mark.parametrize(("content", "message"), OLD_FILES.values(), ids=list(OLD_FILES))
def test_a_former_group_in_a_config_file_is_explained(content: str, message: str, tmp_path: Path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "old.yaml").write_text(f"# @package _global_\n{content}")
    with pytest.raises(BenchError, match=message):
        compose(["+experiment=old"], str(tmp_path))


def test_a_former_axis_is_translated(tmp_path: Path):
    assert typed(compose(["sweep.axis=weighting.coefficient"])).sweep.axis == "sif_coefficient"
