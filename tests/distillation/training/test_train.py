"""Test training with a tiny teacher: targets, cache, bad input, and what the model becomes."""

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from m2v_bench import StaticModel, distill, train
from m2v_bench.cache import cache_dir
from m2v_bench.distillation.distill_config import DistillConfig
from m2v_bench.distillation.recipe import make_recipe
from m2v_bench.distillation.teacher import find_base
from m2v_bench.distillation.training import text_vectors as vectors_module
from m2v_bench.distillation.training.text_vectors import text_vectors
from m2v_bench.distillation.training.training_config import TrainingConfig
from m2v_bench.distillation.training.training_texts import TrainingTexts, read_sample, training_corpora
from m2v_bench.errors import BenchError
from tests.golden.tiny_models import sentences

Trainer = Callable[..., StaticModel]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "texts.txt"
    path.write_text("\n".join(sentences()) + "\n", encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M2V_BENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def trained(tiny_folder: Path, corpus: Path) -> Trainer:
    def run(settings: dict[str, Any] | None = None, **training: Any) -> StaticModel:
        return distill(
            str(tiny_folder),
            **{"pca_dims": 16, "quantize_to": "float32", "show_progress": False, **(settings or {})},
            training={"corpus": str(corpus), "batch_size": 32, **training},
        )

    return run


@pytest.mark.parametrize("loss", ["mse", "cosine", "contrastive"])
def test_training_lowers_the_loss(trained: Trainer, loss: str):
    losses = trained(loss=loss, epochs=3).config["training"]["held_out"]
    assert min(losses[1:]) < losses[0]


def test_trained_model_is_nearer_to_its_teacher(trained: Trainer, tiny_folder: Path, corpus: Path):
    plain = distill(str(tiny_folder), pca_dims=16, quantize_to="float32", show_progress=False)
    better = trained(loss="cosine", epochs=10, learning_rate=0.01)
    texts = [text for text in corpus.read_text(encoding="utf-8").splitlines() if text][-200:]
    wanted = text_vectors(find_base(str(tiny_folder)), texts, "tokens", device="cpu", show_progress=False)
    wanted -= wanted.mean(axis=0)

    def agreement(model: StaticModel) -> float:
        ours, theirs = (matrix @ matrix.T for matrix in (model.encode(texts), wanted))
        return float(np.corrcoef(ours[np.triu_indices(200, 1)], theirs[np.triu_indices(200, 1)])[0, 1])

    assert agreement(better) > agreement(plain) + 0.05


def test_distillation_without_training_is_unchanged(tiny_folder: Path):
    recipe = make_recipe(str(tiny_folder), DistillConfig(pca_dims=16))
    ignored = make_recipe(
        str(tiny_folder), DistillConfig(pca_dims=16, training=TrainingConfig(loss="none", corpus="x"))
    )
    assert ignored.revision == recipe.revision
    assert not any("train" in name for name in recipe.variant)
    assert "trained" not in recipe.label


def test_revision_and_label_name_the_training(tiny_folder: Path, corpus: Path, tmp_path: Path):
    def recipe(**training: Any) -> Any:
        given = TrainingConfig(**{"corpus": str(corpus), **training})
        return make_recipe(str(tiny_folder), DistillConfig(pca_dims=16, training=given))

    other = tmp_path / "texts.txt"
    other.write_text("another corpus\n" * 3, encoding="utf-8")
    variants = [
        recipe(),
        recipe(loss="mse"),
        recipe(n_texts=100),
        recipe(learning_rate=0.5),
        recipe(target="pooled"),
        recipe(corpus=str(other)),
        recipe(corpus=[str(corpus), str(other)]),
    ]
    assert len({variant.revision for variant in variants}) == len(variants)
    assert "trained contrastive on 100 texts of texts" in variants[2].label
    assert variants[3].variant["training.learning_rate"] == 0.5
    assert recipe(loss="mse", temperature=0.5).revision == variants[1].revision


def test_saved_model_loads_and_says_how_it_was_trained(trained: Trainer, tmp_path: Path):
    model = trained(settings={"quantize_to": "float16"})
    model.save_pretrained(tmp_path / "model")
    loaded = StaticModel.from_pretrained(tmp_path / "model")
    assert np.array_equal(loaded.table, model.table)
    assert loaded.config["recipe"]["training.loss"] == "contrastive"
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert "trained on" in card
    assert "training.loss" in card


@pytest.mark.parametrize("package", ["model2vec", "sentence_transformers"])
def test_other_packages_load_a_trained_model(trained: Trainer, tmp_path: Path, package: str):
    model = trained()
    model.save_pretrained(tmp_path / "model")
    module = pytest.importorskip(package)
    other = (
        module.StaticModel.from_pretrained(str(tmp_path / "model"))
        if package == "model2vec"
        else module.SentenceTransformer(str(tmp_path / "model"), device="cpu")
    )
    np.testing.assert_allclose(other.encode(sentences()), model.encode(sentences()), rtol=0, atol=1e-6)


def test_same_seed_gives_the_same_bytes_and_another_does_not(
    trained: Trainer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    first = trained()
    monkeypatch.setenv("M2V_BENCH_CACHE", str(tmp_path / "second"))
    assert trained().table.tobytes() == first.table.tobytes()
    assert trained(settings={"seed": 7}).table.tobytes() != first.table.tobytes()


def test_teacher_runs_once_for_all_variants(trained: Trainer, monkeypatch: pytest.MonkeyPatch):
    trained()

    def fail(self: Any) -> Any:
        raise AssertionError("the teacher was loaded again")

    monkeypatch.setattr(vectors_module._Embedder, "_load", fail)
    assert trained(loss="mse").dims == 16
    assert trained(settings={"pca_dims": 8}).dims == 8
    with pytest.raises(AssertionError):
        trained(target="pooled")


def test_interrupted_pass_continues_with_the_next_shard(
    tiny_folder: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(vectors_module, "SHARD_TEXTS", 64)
    base, texts = find_base(str(tiny_folder)), corpus.read_text(encoding="utf-8").splitlines()[:300]
    whole = text_vectors(base, texts, "tokens", device="cpu", show_progress=False)
    monkeypatch.setenv("M2V_BENCH_CACHE", str(tmp_path / "second"))
    calls = []
    embed = vectors_module._Embedder.__call__

    def interrupted(self: Any, shard: Any) -> Any:
        calls.append(len(shard))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return embed(self, shard)

    monkeypatch.setattr(vectors_module._Embedder, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        text_vectors(base, texts, "tokens", device="cpu", show_progress=False)
    resumed = text_vectors(base, texts, "tokens", device="cpu", show_progress=False)
    assert resumed.tobytes() == whole.tobytes()
    assert calls == [64, 64, 64, 64, 64, 300 - 4 * 64]


def test_targets_are_means_without_special_tokens_or_the_teachers_own(tiny_folder: Path):
    import torch
    from sentence_transformers import SentenceTransformer

    texts = ["the old teacher reads", "a quiet village by the sea and a long, long winter"]
    base = find_base(str(tiny_folder))
    ours = text_vectors(base, texts, "tokens", device="cpu", show_progress=False)
    model = base.transformer()
    for text, vector in zip(texts, ours, strict=True):
        ids = base.tokenizer.tokenizer.encode(text).ids
        with torch.inference_mode():
            states = model(input_ids=torch.tensor([ids])).last_hidden_state[0]
        special = {base.tokenizer.tokenizer.token_to_id(token) for token in ("<s>", "</s>")}
        inner = [place for place, id_ in enumerate(ids) if id_ not in special]
        assert np.allclose(vector, states[inner].mean(dim=0), atol=1e-5)
    pooled = text_vectors(base, texts, "pooled", device="cpu", show_progress=False)
    assert np.allclose(pooled, SentenceTransformer(str(tiny_folder), device="cpu").encode(texts), atol=1e-5)


def test_larger_sample_extends_a_smaller_one(corpus: Path):
    corpora = training_corpora(TrainingConfig(corpus=str(corpus)))
    small, large = (read_sample(corpora, n, show_progress=False).texts for n in (50, 200))
    assert large[:50] == small


def test_duplicates_and_empty_texts_are_dropped(tmp_path: Path):
    path = tmp_path / "texts.txt"
    path.write_text("one text\n\n   \none text\nanother text\n", encoding="utf-8")
    sample = read_sample(training_corpora(TrainingConfig(corpus=str(path))), None, show_progress=False)
    assert sorted(sample.texts) == ["another text", "one text"]
    assert sample.n_duplicates == 1
    assert str(sample) == "2 of 3 texts, without 1 duplicates"


def test_pca_and_sif_weights_can_follow(trained: Trainer):
    plain, finished = (trained(finish=finish) for finish in ("none", "pca_sif"))
    assert finished.dims == plain.dims
    norms = np.linalg.norm(finished.table, axis=1)
    frequent = finished.tokens.index("Ġthe") if "Ġthe" in finished.tokens else 0
    assert norms[frequent] < np.median(norms)


def test_model_that_exists_can_be_trained(tiny_folder: Path, corpus: Path):
    model = distill(str(tiny_folder), pca_dims=16, quantize_to="float32", show_progress=False)
    settings = {"corpus": str(corpus), "batch_size": 32, "epochs": 2, "learning_rate": 0.005}
    after = train(model, str(tiny_folder), settings, show_progress=False)
    losses = after.config["training"]["held_out"]
    assert min(losses[1:]) < losses[0]
    assert after.table.shape == model.table.shape
    # training starts in the model's own space, so most rows stay near
    cosines = (after.encode(sentences()[:50]) * model.encode(sentences()[:50])).sum(axis=1)
    assert np.median(cosines) > 0.5


def test_vocabulary_of_words_can_be_trained(trained: Trainer):
    model = trained(settings={"vocabulary": ["teacher", "village", "river", "old", "winter"], "pca_dims": "none"})
    assert model.config["training"]["texts"] > 0


def test_damaged_teacher_is_refused_with_the_text(tiny_folder: Path, corpus: Path, tmp_path: Path):
    from safetensors.numpy import load_file, save_file

    broken = tmp_path / "broken"
    shutil.copytree(tiny_folder, broken)
    weights = load_file(broken / "model.safetensors")
    name = next(name for name in weights if name.endswith("encoder.layer.0.attention.self.query.weight"))
    weights[name] = np.full_like(weights[name], np.nan)
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BenchError, match=r"its embedding of the text .* is not finite"):
        text_vectors(find_base(str(broken)), ["the old teacher"], "tokens", device="cpu", show_progress=False)


def test_teacher_that_vanished_is_one_message_and_shards_stay(tiny_folder: Path, corpus: Path, tmp_path: Path):
    gone = tmp_path / "gone"
    shutil.copytree(tiny_folder, gone)
    base = find_base(str(gone))
    assert base.revision
    text_vectors(base, ["a text"], "tokens", device="cpu", show_progress=False)
    shutil.rmtree(gone)
    assert len(text_vectors(base, ["a text"], "tokens", device="cpu", show_progress=False)) == 1
    with pytest.raises(BenchError, match=r"cannot be loaded from .*gone to embed the training texts"):
        text_vectors(base, ["another text"], "tokens", device="cpu", show_progress=False)
    assert list((cache_dir() / vectors_module.STAGE).glob("*/vectors.npy"))


def test_diverging_learning_rate_is_reported_and_the_distilled_rows_kept(trained: Trainer):
    with pytest.warns(UserWarning, match=r"learning_rate=1e\+06: training diverged .* distilled rows are kept"):
        model = trained(loss="mse", learning_rate=1e6)
    assert np.isfinite(model.table).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trained()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"corpus": None}, "training needs texts: set training.corpus"),
        ({"corpus": "missing.txt"}, "training.corpus=missing.txt: no such file or folder"),
        ({"loss": "l2"}, "training.loss=l2: unknown; allowed: none, mse, cosine, contrastive"),
        ({"target": "mean"}, "training.target=mean: unknown"),
        ({"learning_rate": 0}, "training.learning_rate=0: must be a number above 0"),
        ({"learning_rate": float("nan")}, "training.learning_rate=nan: must be"),
        ({"held_out": 1.0}, "training.held_out=1.0: must be between 0 and 1"),
        ({"batch_size": 1}, "training.batch_size=1: must be at least 2"),
        ({"batch_size": 10**6}, "training.batch_size=1000000: only .* usable texts"),
        ({"epochs": 0}, "training.epochs=0: must be at least 1"),
        ({"n_texts": 0}, "training.n_texts=0: must be at least 1, or null for all"),
        ({"regularization": -1}, "training.regularization=-1: must be"),
        ({"token_weights": "yes"}, "training.token_weights=yes: must be true or false"),
        ({"rate": 1}, "training.rate: no such setting. Allowed: loss, corpus"),
    ],
)
def test_bad_settings_are_refused(trained: Trainer, settings: dict[str, Any], message: str):
    with pytest.raises(BenchError, match=message):
        trained(**settings)


def test_too_few_texts_are_refused_before_the_teacher_runs(
    trained: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(vectors_module._Embedder, "_load", lambda self: pytest.fail("the teacher was loaded"))
    path = tmp_path / "texts.txt"
    path.write_text("the only text\n", encoding="utf-8")
    with pytest.raises(BenchError, match=r"batch_size=32: only 1 usable texts, 2 .* held out; give more texts"):
        trained(corpus=str(path))


def test_empty_corpus_is_refused(trained: Trainer, tmp_path: Path):
    empty = tmp_path / "empty.txt"
    empty.write_text("\n  \n", encoding="utf-8")
    with pytest.raises(BenchError, match=r"training.corpus=.*empty.txt: there is no text in it"):
        trained(corpus=str(empty))


def test_corpus_without_known_tokens_is_refused(tiny_folder: Path, tmp_path: Path):
    model = distill(
        str(tiny_folder), vocabulary=["river", "winter"], subwords=False, pca_dims="none", show_progress=False
    )
    path = tmp_path / "texts.txt"
    path.write_text("unrelated words\n" * 3, encoding="utf-8")
    config = TrainingConfig(corpus=str(path)).resolved()
    with pytest.raises(BenchError, match="none of its 1 texts has a token that the vocabulary knows"):
        TrainingTexts.read(model.tokenizer, training_corpora(config), config, show_progress=False)


def test_shared_rows_cannot_be_trained(trained: Trainer):
    with pytest.raises(BenchError, match="vocabulary_quantization=50: tokens that share rows cannot be trained"):
        trained(settings={"vocabulary_quantization": 50})


def test_full_disk_is_one_message(trained: Trainer, monkeypatch: pytest.MonkeyPatch):
    def full(self: Path, data: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(BenchError, match=r"cannot write to the cache folder .*: No space left on device"):
        trained()
