"""Check saving, loading, the model hub, and the file layouts of other libraries."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

from m2v_bench import StaticModel, distill
from m2v_bench.config.schema import BaselineConfig
from m2v_bench.errors import BenchError
from m2v_bench.models.static import static
from m2v_bench.speed.contenders import contenders
from scripts.golden import environment
from tests.conftest import tiny_static_model
from tests.hub_server import hub_environment, hub_server

TEXTS = ["good dog", "", "a bad cat zebra", "zebra"]


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8])
def test_saving_and_loading_changes_nothing(tmp_path: Path, dtype: type):
    tiny = tiny_static_model()
    model = StaticModel((tiny.table * 20).astype(dtype), tiny.tokenizer, config={"dialect": "m2v-0.7"}, max_length=7)
    model.save_pretrained(tmp_path / "model")
    loaded = StaticModel.from_pretrained(tmp_path / "model")
    assert loaded.table.dtype == dtype
    assert (loaded.config["dialect"], loaded.config["model_type"]) == ("m2v-0.7", "model2vec")
    assert (loaded.max_length, loaded.normalize) == (7, True)
    assert (loaded.encode(TEXTS) == model.encode(TEXTS)).all()


def shared_rows() -> StaticModel:
    full = tiny_static_model()
    return StaticModel(
        full.table[:2], full.tokenizer, weights=np.arange(6.0), mapping=np.array([0, 1] * 3), normalize=False
    )


def test_weights_and_mapping_survive_saving(tmp_path: Path):
    model = shared_rows()
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["vocabulary_quantization"] == 2
    assert (StaticModel.from_pretrained(tmp_path).encode(TEXTS) == model.encode(TEXTS)).all()


def test_fewer_dimensions_are_the_first_ones(tmp_path: Path):
    tiny_static_model().save_pretrained(tmp_path)
    whole, cut = (StaticModel.from_pretrained(tmp_path, dimensionality=dims, normalize=False) for dims in (None, 3))
    assert (cut.encode(TEXTS) == whole.encode(TEXTS)[:, :3]).all()
    with pytest.raises(BenchError, match=r"dimensionality=9: .* has 8 dimensions; allowed: 1 to 8"):
        StaticModel.from_pretrained(tmp_path, dimensionality=9)


def test_the_card_says_what_the_model_is_and_how_to_cite(tmp_path: Path):
    from huggingface_hub import ModelCard

    config = {"base_model_name": "org/teacher", "revision": "abc", "recipe": {"dialect": "m2v-0.7", "weighting": "sif"}}
    StaticModel(tiny_static_model().table, tiny_static_model().tokenizer, config=config).save_pretrained(tmp_path)
    card = ModelCard.load(tmp_path / "README.md")
    assert (card.data.base_model, card.data.library_name) == ("org/teacher", "model2vec")
    for words in ("distilled from org/teacher", "| weighting | sif |", "@software{minishlab2024model2vec", "m2v-0.7"):
        assert words in card.text


def test_sentence_transformers_keeps_the_unknown_token(tmp_path: Path):
    from sentence_transformers import SentenceTransformer

    model = tiny_static_model()
    model.save_pretrained(tmp_path)
    theirs = SentenceTransformer(str(tmp_path)).encode(["good dog", "good zebra"])
    np.testing.assert_allclose(theirs[0], model.encode("good dog"), atol=1e-6)
    with_unknown = model.table[[2, 1]].mean(axis=0)
    np.testing.assert_allclose(theirs[1], with_unknown / np.linalg.norm(with_unknown), atol=1e-6)
    assert np.abs(theirs[1] - model.encode("good zebra")).max() > 0.01


def test_the_card_says_what_sentence_transformers_cannot_load(tmp_path: Path):
    from sentence_transformers import SentenceTransformer

    tiny = tiny_static_model()
    StaticModel((20 * tiny.table).astype(np.int8), tiny.tokenizer).save_pretrained(tmp_path / "int8")
    assert "sentence-transformers cannot load it" in (tmp_path / "int8" / "README.md").read_text()
    with pytest.raises(RuntimeError, match="floating point"):
        SentenceTransformer(str(tmp_path / "int8"))
    shared = shared_rows()
    shared.save_pretrained(tmp_path / "shared")
    assert "sentence-transformers loads it too" in (tmp_path / "shared" / "README.md").read_text()
    theirs = SentenceTransformer(str(tmp_path / "shared")).encode(["good dog", "cat"])
    np.testing.assert_allclose(theirs, shared.encode(["good dog", "cat"]), atol=1e-6)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_git_lfs_pointer_is_named(tmp_path: Path, name: str):
    tiny_static_model().save_pretrained(tmp_path)
    pointer = "version {}://git-lfs.{}/spec/v1\noid sha256:{}\nsize 9\n".format("https", "example", "0" * 64)
    (tmp_path / name).write_text(pointer)
    for read in (StaticModel.from_pretrained, lambda path: distill(path, show_progress=False)):
        with pytest.raises(BenchError, match=rf"{name} is a Git LFS pointer.* lfs pull"):
            read(str(tmp_path))


def pipeline(folder: Path, *modules: Any, **settings: Any) -> Any:
    """Save a StaticEmbedding of sentence-transformers and further modules to `folder`."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    tiny = tiny_static_model()
    table = settings.pop("table", tiny.table)
    tokenizer = settings.pop("tokenizer", tiny.tokenizer)
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, table), *modules], device="cpu", **settings)
    model.save(str(folder))
    return model


@pytest.mark.parametrize("nested", [False, True])
def test_a_static_embedding_of_sentence_transformers_is_read(tmp_path: Path, nested: bool):
    from sentence_transformers.sentence_transformer.modules import Normalize

    theirs = pipeline(tmp_path, Normalize())
    if nested and not (tmp_path / "0_StaticEmbedding").is_dir():
        (tmp_path / "0_StaticEmbedding").mkdir()
        for name in ("model.safetensors", "tokenizer.json"):
            (tmp_path / name).rename(tmp_path / "0_StaticEmbedding" / name)
    loaded = StaticModel.from_pretrained(tmp_path)
    assert (loaded.normalize, loaded.rules) == (True, "sentence-transformers")
    np.testing.assert_allclose(loaded.encode(TEXTS), theirs.encode(TEXTS), atol=1e-6)


def cutting(length: int, direction: str = "right") -> Tokenizer:
    tokenizer = tiny_static_model().tokenizer
    tokenizer.enable_truncation(length, direction=direction)
    return tokenizer


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {"max_length": None, "dims": 8}),
        ({"tokenizer": cutting(3)}, {"max_length": 3, "dims": 8}),
        ({"truncate_dim": 5}, {"max_length": None, "dims": 5}),
        ({"table": np.vstack([tiny_static_model().table, np.ones((3, 8), np.float32)])}, {"dims": 8}),
        ({"table": torch.tensor(tiny_static_model().table).to(torch.bfloat16)}, {"dims": 8}),
        ({"table": tiny_static_model().table.astype(np.float64)}, {"dims": 8}),
        ({"prompts": {"query": "good "}, "similarity_fn_name": "dot"}, {"dims": 8}),
    ],
    ids=["plain", "cut tokens", "cut dimensions", "padded rows", "bfloat16", "float64", "prompts"],
)
@pytest.mark.parametrize("fast", [True, False])
def test_it_gives_what_sentence_transformers_gives(
    tmp_path: Path, settings: dict[str, Any], expected: dict[str, Any], fast: bool
):
    """Compare embeddings and scored encodings: no text is cut to 512 tokens, and unknown tokens count."""
    theirs, texts = pipeline(tmp_path, **settings), [*TEXTS, "cat " * 600 + "dog " * 600]
    loaded = StaticModel.from_pretrained(tmp_path)
    assert {name: getattr(loaded, name) for name in expected} == expected
    want = theirs.encode(texts, convert_to_numpy=True).astype(np.float32)
    # they add in the number type of the table, we in float32
    tolerance = {torch.bfloat16: 0.02, np.dtype(np.float64): 1e-4}.get(
        getattr(settings.get("table"), "dtype", None), 1e-6
    )
    np.testing.assert_allclose(loaded.encode(texts, fast=fast), want, atol=tolerance)
    scored = static("x", BaselineConfig(kind="static", name=str(tmp_path)))
    assert scored.similarity == settings.get("similarity_fn_name", "cosine")
    for prompt in (None, *scored.prompts.values()):
        want = theirs.encode(texts, prompt=prompt).astype(np.float32)
        np.testing.assert_allclose(scored.load("cpu").encode(texts, batch_size=32, prompt=prompt), want, atol=tolerance)
    loaded.save_pretrained(tmp_path / "again")
    assert (StaticModel.from_pretrained(tmp_path / "again").encode(texts) == loaded.encode(texts)).all()


def test_steps_that_a_static_model_lacks_are_refused_by_name(tmp_path: Path):
    from sentence_transformers.sentence_transformer.modules import Dense, Dropout, LayerNorm, Normalize

    refused = {
        "Dense": ((Dense(8, 4),), {}),
        "LayerNorm": ((LayerNorm(8), Normalize()), {}),
        "Dropout": ((Dropout(0.5),), {}),
        "default_prompt_name=query": ((), {"prompts": {"query": "good "}, "default_prompt_name": "query"}),
        "tokenizer.json cuts long texts at their beginning": ((), {"tokenizer": cutting(3, "left")}),
        "truncate_dim=4 cuts embeddings after they are normalized": ((Normalize(),), {"truncate_dim": 4}),
    }
    for number, (name, (modules, settings)) in enumerate(refused.items()):
        folder = tmp_path / str(number)
        pipeline(folder, *modules, **settings)
        with pytest.raises(BenchError, match=f"{name}.*kind=sentence_transformer"):
            StaticModel.from_pretrained(folder)
        with pytest.raises(BenchError, match=f"baselines.x.name={folder}: .*{name}.*kind=sentence_transformer"):
            static("x", BaselineConfig(kind="static", name=str(folder)))
        (contender,) = contenders([str(folder)], tmp_path / "scratch")
        assert contender.loader == "sentence_transformer"
    cut = StaticModel.from_pretrained(folder, dimensionality=4)  # as the last message says
    assert np.linalg.norm(cut.encode("good")) == pytest.approx(1)


# 8 tokens of the median length, 3, are 24 characters, which are 6 tokens here
@pytest.mark.parametrize(("max_length", "n_tokens"), [(None, 1006), (2048, 1006), (8, 6)])
def test_a_run_scores_what_encode_gives(tmp_path: Path, max_length: int | None, n_tokens: int):
    tiny, text = tiny_static_model(), "cat " * 6 + "dog " * 1000
    StaticModel(tiny.table, tiny.tokenizer, max_length=max_length).save_pretrained(tmp_path)
    scored = static("x", BaselineConfig(kind="static", name=str(tmp_path)))
    expected = StaticModel.from_pretrained(tmp_path).encode([text])
    assert (scored.load("cpu").encode([text], batch_size=32) == expected).all()
    assert len(StaticModel.from_pretrained(tmp_path).tokenize(text)) == n_tokens


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("max_length", "512", "max_length='512': not a whole number"),
        ("max_length", 0, "max_length=0: must be at least 1, or null to cut nothing"),
        ("max_length", 12.5, "max_length=12.5: not a whole number"),
        ("normalize", "yes", "normalize='yes'; allowed: true, false, null"),
        ("rules", "other", 'rules=\'other\'; allowed: "model2vec", "sentence-transformers", null'),
    ],
)
def test_an_invalid_config_is_refused(tmp_path: Path, name: str, value: object, message: str):
    tiny_static_model().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {name: value}))
    with pytest.raises(BenchError, match=re.escape(message)):
        StaticModel.from_pretrained(tmp_path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_table_that_is_not_finite_is_not_saved(tmp_path: Path, value: float):
    tiny = tiny_static_model()
    table = tiny.table.copy()
    table[3, 2] = value
    with pytest.raises(BenchError, match=r"row 3 \('bad'\) of the table has values that are not finite"):
        StaticModel(table, tiny.tokenizer).save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model").exists()
    with pytest.raises(BenchError, match="the weight of token 'bad' is"):
        StaticModel(tiny.table, tiny.tokenizer, weights=np.where(np.arange(6) == 3, value, 1.0))


def test_an_unsupported_number_type_is_refused(tmp_path: Path):
    from safetensors.torch import save_file as save_tensors

    tiny_static_model().save_pretrained(tmp_path)
    odd = torch.tensor(tiny_static_model().table).to(torch.float8_e4m3fn)
    save_tensors({"embeddings": odd}, tmp_path / "model.safetensors")
    with pytest.raises(BenchError, match="number type F8_E4M3 is not read; allowed: F32, F16"):
        StaticModel.from_pretrained(tmp_path)


@pytest.mark.skipif(not environment("0.10.0").exists(), reason="make golden makes the environment of model2vec")
@pytest.mark.parametrize("kind", ["plain", "shared"])
def test_model2vec_loads_ours_and_we_load_its(tmp_path: Path, kind: str):
    model = tiny_static_model() if kind == "plain" else shared_rows()
    model.save_pretrained(tmp_path / "ours")
    code = (
        "import sys, json; from model2vec import StaticModel\n"
        "model = StaticModel.from_pretrained(sys.argv[1]); model.save_pretrained(sys.argv[2])\n"
        "print(json.dumps(model.encode(json.loads(sys.argv[3])).tolist()))"
    )
    words = [str(tmp_path / "ours"), str(tmp_path / "theirs"), json.dumps(TEXTS)]
    done = subprocess.run([environment("0.10.0"), "-c", code, *words], check=True, capture_output=True, text=True)
    np.testing.assert_allclose(json.loads(done.stdout), model.encode(TEXTS), atol=1e-6)
    back = StaticModel.from_pretrained(tmp_path / "theirs")
    assert (back.encode(TEXTS) == model.encode(TEXTS)).all()
    assert (back.weights is None, back.mapping is None) == (kind == "plain", kind == "plain")


def test_a_model_goes_to_the_hub_and_comes_back(tmp_path: Path):
    with hub_server() as (address, repositories):
        model = tiny_static_model()
        model.save_pretrained(tmp_path / "model")
        code = (
            "import sys, numpy as np; from m2v_bench import StaticModel\n"
            "print(StaticModel.from_pretrained(sys.argv[1]).push_to_hub('people/model', token='secret'))\n"
            "np.save(sys.argv[2], StaticModel.from_pretrained('people/model').encode(['good dog', 'cat']))"
        )
        environment = hub_environment(address, tmp_path / "home")
        command = [sys.executable, "-c", code, str(tmp_path / "model"), str(tmp_path / "out.npy")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "/people/model/commit/" in done.stdout
        assert sorted(repositories["people/model"]) == [
            "README.md",
            "config.json",
            "model.safetensors",
            "modules.json",
            "tokenizer.json",
        ]
        assert b"# people/model" in repositories["people/model"]["README.md"]
    assert (np.load(tmp_path / "out.npy") == model.encode(["good dog", "cat"])).all()


def test_an_unreachable_hub_is_reported(tmp_path: Path):
    code = (
        "import sys; from m2v_bench import StaticModel\nfrom m2v_bench.errors import BenchError\n"
        "try: StaticModel.from_pretrained(sys.argv[1]).push_to_hub('people/model')\n"
        "except BenchError as error: print(error)"
    )
    tiny_static_model().save_pretrained(tmp_path / "model")
    environment = hub_environment("http://127.0.0.1:9", tmp_path / "home")
    command = [sys.executable, "-c", code, str(tmp_path / "model")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "people/model could not be pushed to the model hub: " in done.stdout


def test_a_folder_without_a_model_says_what_is_missing(tmp_path: Path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(BenchError, match=r"model\.safetensors, tokenizer\.json missing"):
        StaticModel.from_pretrained(tmp_path)


def test_a_transformer_is_to_be_distilled(teacher_folder: Path, tmp_path: Path):
    from tests.golden.tiny_models import build_bpe

    plain = build_bpe(tmp_path / "plain")  # as transformers writes it
    nested = tmp_path / "nested"  # as earlier releases of sentence-transformers wrote it
    nested.mkdir()
    (nested / "modules.json").write_text(json.dumps([{"type": "sentence_transformers.models.Transformer"}]))
    for folder in (teacher_folder, plain, nested):
        message = f"{folder} is a transformer, not a static model; distil it first: m2v_bench.distill('{folder}')"
        with pytest.raises(BenchError, match=f"^{re.escape(message)}$"):
            StaticModel.from_pretrained(folder)


@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"])
def test_a_transformers_name_is_known_without_asking_the_hub(name: str):
    with pytest.raises(BenchError, match=r"is a transformer, .*: m2v_bench\.distill\('all-MiniLM-L6-v2'\)$"):
        StaticModel.from_pretrained(name)


def test_a_transformer_on_the_hub_is_refused_before_its_weights_are_downloaded(teacher_folder: Path, tmp_path: Path):
    code = (
        "from m2v_bench import StaticModel\nfrom m2v_bench.errors import BenchError\n"
        "try: StaticModel.from_pretrained('people/transformer')\nexcept BenchError as error: print(error)"
    )
    with hub_server() as (address, repositories):
        config = (teacher_folder / "config.json").read_bytes()
        repositories["people/transformer"] = {"config.json": config, "model.safetensors": b"large"}
        environment = hub_environment(address, tmp_path)
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "people/transformer is a transformer" in done.stdout
    assert "m2v_bench.distill('people/transformer')" in done.stdout
    assert not list(tmp_path.rglob("model.safetensors"))


def test_a_single_file_is_refused_with_its_folder(tmp_path: Path):
    tiny_static_model().save_pretrained(tmp_path)
    message = f"model.safetensors is a file; name the folder of the model: {tmp_path}"
    with pytest.raises(BenchError, match=f"{re.escape(message)}$"):
        StaticModel.from_pretrained(tmp_path / "model.safetensors")


def test_a_table_of_another_name_is_reported(tmp_path: Path):
    tiny_static_model().save_pretrained(tmp_path)
    save_file({"rows": load_file(tmp_path / "model.safetensors")["embeddings"]}, tmp_path / "model.safetensors")
    with pytest.raises(BenchError, match=r"has no tensor 'embeddings'"):
        StaticModel.from_pretrained(tmp_path)


def test_damaged_files_are_reported(tmp_path: Path):
    tiny_static_model().save_pretrained(tmp_path)
    with (tmp_path / "model.safetensors").open("r+b") as file:
        file.truncate(100)
    with pytest.raises(BenchError, match="is damaged"):
        StaticModel.from_pretrained(tmp_path)


def test_a_missing_folder_is_reported_without_asking_the_hub(tmp_path: Path):
    with pytest.raises(BenchError, match="nothing: no such folder; name the folder of a static model"):
        StaticModel.from_pretrained(tmp_path / "nothing")
