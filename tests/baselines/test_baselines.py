import json
from pathlib import Path

import numpy as np
import pytest

from m2v_bench.assets import fetch
from m2v_bench.baselines import BASELINES, check_names, load_baselines
from m2v_bench.baselines.encoder import Model
from m2v_bench.distillation.base import find_base
from m2v_bench.errors import BenchError

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def baselines() -> dict[str, Model]:
    models = load_baselines(BASELINES, find_base("all-MiniLM-L6-v2"))
    return dict(zip(BASELINES, models, strict=True))


def test_names_revisions_and_sizes(baselines: dict[str, Model]):
    assert [(model.name, model.kind, model.dims) for model in baselines.values()] == [
        ("sentence-transformers/all-MiniLM-L6-v2", "transformer", 384),
        ("stanford/glove.6B.50d", "static", 50),
        ("dleemiller/wordllama-l2-supercat-256", "static", 256),
    ]
    assert [model.n_parameters for model in baselines.values()] == [22_713_216, 20_000_000, 8_192_000]
    assert len({model.revision for model in baselines.values()}) == 3


def test_wordllama_embeds_as_its_own_package_does(baselines: dict[str, Model]):
    golden = json.loads((GOLDEN / "wordllama.json").read_text(encoding="utf-8"))
    ours = baselines["wordllama-256"].load("cpu").encode(golden["sentences"], batch_size=32)
    np.testing.assert_allclose(ours, golden["embeddings"], atol=1e-6)


def test_glove_averages_known_words_without_stop_words_and_punctuation(baselines: dict[str, Model]):
    folder = fetch(["glove-6b-50d"])["glove-6b-50d"]
    words = (folder / "words.txt").read_text(encoding="utf-8").splitlines()
    assert len(words) == 400_000
    assert words[:3] == ["the", ",", "."]
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    expected = (vectors[words.index("cats")] + vectors[words.index("chase")] + vectors[words.index("paris")]) / 3
    got = baselines["glove-6b-50d"].load("cpu").encode(['the Cats chase "Paris".', "xqzzy"], batch_size=2)
    np.testing.assert_allclose(got[0], expected, atol=1e-6)
    assert (got[1] == 0).all()


def test_the_teacher_embeds_as_sentence_transformers_does(baselines: dict[str, Model], teacher_folder: Path):
    from sentence_transformers import SentenceTransformer

    texts = ["A cat.", "Two dogs run."]
    ours = baselines["teacher"].load("cpu").encode(texts, batch_size=32)
    np.testing.assert_allclose(ours, SentenceTransformer(str(teacher_folder)).encode(texts), atol=1e-6)


def test_unknown_names_are_told_with_the_known_ones():
    with pytest.raises(BenchError, match="baselines: unknown bert; allowed: teacher, glove-6b-50d, wordllama-256"):
        check_names(["teacher", "bert"])
    assert check_names([]) == []
