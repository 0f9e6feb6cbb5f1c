"""Test weightings, and token counts in a corpus."""

import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from m2v_bench.distillation.corpus import Corpus
from m2v_bench.distillation.weighting import WEIGHTINGS, Tokens, weighting
from m2v_bench.errors import BenchError
from tests.conftest import tiny_static_model

COUNTED = Tokens(3, counts=np.array([6, 3, 0]), documents=np.array([4, 2, 0]), n_documents=4)


def test_zipf_log_is_the_logarithm_of_the_rank():
    np.testing.assert_allclose(WEIGHTINGS["zipf_log"](Tokens(4), 0.5), [0, np.log(2), np.log(3), np.log(4)])


def test_sif_on_three_tokens_by_hand():
    # 1/2, 1/3, 1/4 normalised are 6/13, 4/13, 3/13
    np.testing.assert_allclose(WEIGHTINGS["sif"](Tokens(3), 0.1), [0.1 / (0.1 + p / 13) for p in (6, 4, 3)])


def test_sif_rises_with_rank_and_with_the_coefficient():
    weights = WEIGHTINGS["sif"](Tokens(1000), 1e-4)
    assert (np.diff(weights) > 0).all()
    assert (WEIGHTINGS["sif"](Tokens(1000), 1e-3) > weights).all()


def test_sif_counts_on_three_tokens_by_hand():
    np.testing.assert_allclose(WEIGHTINGS["sif_counts"](COUNTED, 0.1), [0.1 / (0.1 + 2 / 3), 0.1 / (0.1 + 1 / 3), 1])


def test_idf_matches_scikit_learn():
    from sklearn.feature_extraction.text import TfidfTransformer

    documents = np.array([[3, 1, 0], [1, 0, 0], [1, 2, 0], [1, 0, 0]])
    np.testing.assert_allclose(WEIGHTINGS["idf"](COUNTED, 0), TfidfTransformer().fit(documents).idf_)


def test_every_weighting_gives_one_finite_factor_per_token():
    for registered in WEIGHTINGS.values():
        weights = registered(COUNTED, 1e-4)
        assert weights.shape == (3,)
        assert np.isfinite(weights).all()
    assert (WEIGHTINGS["none"](Tokens(50), 1e-4) == 1).all()


@pytest.fixture
def tokenizer() -> Tokenizer:
    return tiny_static_model().tokenizer  # [PAD] [UNK] good bad cat dog


@pytest.fixture
def in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)


DOCUMENTS = ["Good cat, bad cat.", "cat", "zebra dog"]


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".tsv", ".jsonl", ".parquet"])
def test_tokens_of_a_file_are_counted(tokenizer: Tokenizer, tmp_path: Path, suffix: str):
    import pandas as pd

    file = tmp_path / f"corpus{suffix}"
    table = pd.DataFrame({"text": DOCUMENTS, "label": [1, 2, 3]})
    if suffix == ".txt":
        file.write_text("\n".join([*DOCUMENTS, ""]))
    elif suffix in (".csv", ".tsv"):
        table.to_csv(file, index=False, sep="\t" if suffix == ".tsv" else ",")
    elif suffix == ".jsonl":
        table.to_json(file, orient="records", lines=True)
    else:
        table.to_parquet(file)
    tokens = Corpus(str(file)).count(tokenizer, 6, show_progress=False)
    assert tokens.counts[2:].tolist() == [1, 1, 3, 1]
    assert tokens.documents[2:].tolist() == [1, 1, 2, 1]
    assert tokens.n_documents == 3


def texts_of(name: str) -> list[str]:
    return [text for batch in Corpus(name).batches() for text in batch]


@pytest.mark.parametrize("name", ["t[1]", "n?", "a*", "{t}", "a,b", "a#b", "a%20b", "a b", "a:b", "größe"])
def test_path_is_not_a_pattern(tmp_path: Path, name: str):
    (tmp_path / "t1.txt").write_text("another\n")
    (tmp_path / "t1").mkdir()
    (tmp_path / "t1" / "train.txt").write_text("another\n")
    (tmp_path / f"{name}.txt").write_text("good cat\n")
    (tmp_path / name).mkdir()
    (tmp_path / name / "train.txt").write_text("bad dog\n")
    assert texts_of(str(tmp_path / f"{name}.txt")) == ["good cat"]
    assert texts_of(str(tmp_path / name)) == ["bad dog"]
    assert texts_of(f"{tmp_path / name}:train") == ["bad dog"]
    (tmp_path / name / "train.txt").write_text("changed\n")
    assert texts_of(str(tmp_path / name)) == ["changed"]


def test_table_cells_are_read_verbatim(tmp_path: Path):
    (tmp_path / "t.tsv").write_text('text\tn\nNA\t1\n"second\t2\n007\t3\nnull"\t4\n')
    (tmp_path / "t.csv").write_text("text,n\nNA,1\n,2\nnull,3\n")
    assert texts_of(str(tmp_path / "t.tsv")) == ["NA", '"second', "007", 'null"']
    assert texts_of(str(tmp_path / "t.csv")) == ["NA", "null"]


def test_dataset_repository_is_a_corpus(tokenizer: Tokenizer, hub_dir: Path):
    folder = hub_dir / "mteb" / "stsbenchmark-sts"
    tokens = Corpus(f"{folder}:test", column="sentence1").count(tokenizer, 6, show_progress=False)
    assert tokens.n_documents == 1_379
    assert tokens.counts[4] > 0


@pytest.mark.parametrize(
    ("name", "column", "message"),
    [
        ("missing.txt", "text", r"corpus=missing\.txt: no such file or folder"),
        ("corpus.pdf", "text", r"files that end in \.pdf are not read; allowed: \.txt"),
        ("empty.txt", "text", r"corpus=empty\.txt: is empty"),
        ("pointer.parquet", "text", r"pointer\.parquet is a Git LFS pointer.* lfs pull"),
        ("latin.txt", "text", r"latin\.txt: is not UTF-8: byte 0xe9 at position 3 \(line 1\).*iconv"),
        ("corpus.csv", "body", r"corpus_column=body: corpus\.csv has no such column; it has text"),
        ("broken.parquet", "text", r"corpus=broken\.parquet: cannot be read"),
    ],
)
@pytest.mark.usefixtures("in_tmp_path")
def test_bad_corpus_is_refused(tokenizer: Tokenizer, name: str, column: str, message: str):
    for file, content in {"corpus.pdf": "x", "empty.txt": "", "corpus.csv": "text\na", "broken.parquet": "x"}.items():
        Path(file).write_text(content)
    Path("pointer.parquet").write_bytes(b"version https://git-" + b"lfs.example/spec/v1\noid sha256:0\nsize 1\n")
    Path("latin.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(BenchError, match=message):
        Corpus(name, column).count(tokenizer, 6, show_progress=False)


def test_missing_split_is_refused(hub_dir: Path):
    with pytest.raises(BenchError, match=r"no split dev; it has .*test"):
        list(Corpus(f"{hub_dir / 'mteb' / 'sts12-sts'}:dev", column="sentence1").batches())


def test_git_lfs_pointer_is_refused(tmp_path: Path):
    for name in ("t.parquet", "t.txt", "folder/data.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"version https://git-lfs.example/spec/v1\noid sha256:{'0' * 64}\nsize 9\n")
    for name in ("t.parquet", "t.txt", "folder"):
        with pytest.raises(BenchError, match=r"is a Git LFS pointer.* lfs pull"):
            list(Corpus(str(tmp_path / name)).batches())


def test_weighting_in_the_guide_works():
    guide = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", guide, re.DOTALL)
    assert code
    exec(textwrap.dedent(code[1]), {"weighting": weighting, "Tokens": Tokens, "np": np})
    try:
        np.testing.assert_allclose(WEIGHTINGS["inverse_rank"](Tokens(3), 1.0), [1 / 2, 2 / 3, 3 / 4])
        assert WEIGHTINGS["inverse_rank"].uses_coefficient
    finally:
        del WEIGHTINGS["inverse_rank"]
