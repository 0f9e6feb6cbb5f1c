"""Test files of word vectors in three formats, and the encoders that average them."""

import bz2
import codecs
import gzip
import io
import json
import lzma
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from m2v_bench.assets.fetch import fetch
from m2v_bench.config.schema import BaselineConfig
from m2v_bench.errors import BenchError
from m2v_bench.models import load_baselines
from m2v_bench.models.model import Model
from m2v_bench.models.vector_files import converted, read_words
from tests.hub_server import hub_environment, hub_server

WORDS = ["the", "cat", "Paris", "é\u2028x", "22", "a b\u00a0c"]
ROWS = np.random.default_rng(0).normal(size=(len(WORDS), 5)).astype(np.float32)


@pytest.fixture(autouse=True)
def cold_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Use a separate cache for conversions."""
    monkeypatch.setenv("M2V_BENCH_CACHE", str(tmp_path / "cache"))


def text(words: list[str] = WORDS, rows: np.ndarray = ROWS, end: str = "\n") -> bytes:
    return "".join(
        f"{word} {' '.join(map(repr, row.tolist()))}{end}" for word, row in zip(words, rows, strict=True)
    ).encode()


SINGLE = [word for word in WORDS if " " not in word]


def binary(words: list[str] = SINGLE, rows: np.ndarray = ROWS[:5], end: bytes = b"\n") -> bytes:
    header = f"{len(words)} {rows.shape[1]}\n".encode()
    return header + b"".join(word.encode() + b" " + row.tobytes() + end for word, row in zip(words, rows, strict=True))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (text(), WORDS),
        (text(end="\r\n"), WORDS),
        (b"6 5\n" + text(end=" \n"), WORDS),  # word2vec ends a line with a space
        (binary(), SINGLE),
        (binary(end=b""), SINGLE),  # as gensim writes it
    ],
    ids=["glove", "line ends of Windows", "word2vec text", "word2vec binary", "gensim binary"],
)
def test_every_format_is_read(content: bytes, words: list[str], tmp_path: Path):
    (tmp_path / "vectors").write_bytes(content)
    folder = converted(tmp_path / "vectors", setting="name")
    assert read_words(folder) == words
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, ROWS[: len(words)])


def zipped(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("vectors.txt", content)
    return file.getvalue()


PACKERS = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "zip": zipped}


@pytest.mark.parametrize("content", [text(), b"6 5\n" + text(), binary()], ids=["glove", "word2vec text", "binary"])
@pytest.mark.parametrize("pack", PACKERS.values(), ids=PACKERS)
def test_compressed_file_is_read(pack: Callable[[bytes], bytes], content: bytes, tmp_path: Path):
    (tmp_path / "plain").write_bytes(content)
    (tmp_path / "packed").write_bytes(pack(content))
    plain, packed = (converted(tmp_path / name, setting="name") for name in ("plain", "packed"))
    assert sorted(path.name for path in packed.iterdir()) == ["report.json", "vectors.npy", "words.txt"]
    assert read_words(packed) == read_words(plain)
    assert (packed / "vectors.npy").read_bytes() == (plain / "vectors.npy").read_bytes()


@pytest.mark.parametrize("content", [text(), b"6 5\n" + text(), binary()], ids=["glove", "word2vec text", "binary"])
def test_byte_order_mark_is_skipped(content: bytes, tmp_path: Path):
    (tmp_path / "v").write_bytes(codecs.BOM_UTF8 + content)
    assert read_words(converted(tmp_path / "v", setting="name"))[:2] == ["the", "cat"]


@pytest.mark.parametrize("name", ["v[1].txt", "v?.txt", "a*/v.txt", "a,b.txt", "a:b.txt", "größe #1 100%.txt"])
def test_path_is_not_a_pattern(name: str, tmp_path: Path):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text())
    assert read_words(converted(path, setting="name")) == WORDS


def test_first_of_duplicate_words_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "v.txt").write_bytes(text(["a", "b", "a", "a"], ROWS[:4]))
    folder = converted(tmp_path / "v.txt", setting="name")
    np.testing.assert_array_equal(np.load(folder / "vectors.npy"), ROWS[:2])
    assert "read v.txt: 2 words x 5; dropped 2 duplicate words, keeping the first of each" in capsys.readouterr().err


def test_conversion_is_cached_by_content(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "v.txt"
    path.write_bytes(text())
    first = converted(path, setting="name")
    capsys.readouterr()
    assert converted(path, setting="name") == first
    assert capsys.readouterr().err == ""
    path.write_bytes(text(rows=ROWS * 2))
    assert converted(path, setting="name") != first


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no word vectors"),
        (b"one\ntwo\n", "holds no word vectors: lines must be a word and numbers"),
        (text()[:-5].rpartition(b" ")[0] + b"\n", r"line 6 has 'b\xa0c' where a number should be"),
        (text(WORDS[:3], ROWS[:3]) + b"dog 1 2 3 4 5 6\n", "line 4 has 6 numbers, the others have 5"),
        (text(WORDS[:3], ROWS[:3]) + b"dog 1 2 3 4\n", "line 4 has 4 numbers, the others have 5"),
        (text(WORDS[:3], ROWS[:3]) + b"dog 1 2 x 4 5\n", "line 4 has 'x' where a number should be"),
        (text(WORDS[:3], ROWS[:3]) + b"dog 1 2 nan 4 5\n", "line 4 holds a number that is not finite"),
        (b"the 1 2\nd\xe9j\xe0 1 2\n", "the word of line 2 is not UTF-8"),
        (b"7 5\n" + text(), "line 1 says 7 words, the file has 6; copy it again"),
        (b"6 4\n" + text(), "line 2 has 5 numbers, the others have 4"),
        (binary()[:-10], "ends within word 5 of 5; copy it again"),
        (binary() + b"more", "goes on after the 5 words that line 1 says"),
        (b"2 0\nx\n", "line 1 says 0 dimensions"),
        (text(WORDS[:3], ROWS[:3]) + b"dog  1 2 3 4 5\n", "line 4 has no word, or more than one space"),
        (text(WORDS[:3], ROWS[:3]) + b" 1 2 3 4 5\n", "line 4 has no word, or more than one space"),
        (text(WORDS[:3], ROWS[:3]) + b"dog 1 2 1e39 4 5\n", "line 4 holds a number that is not finite"),
        (codecs.BOM_UTF16_LE + "the 1 2\n".encode("utf-16-le"), "is UTF-16; convert it: iconv -f UTF-16 -t UTF-8 "),
        (
            (793712314).to_bytes(4, "little") + b"\x0c\0\0\0" * 9,
            "is a fastText model, whose subword vectors are not supported",
        ),
        (b"version https://git-lfs.example/spec/v1\noid sha256:0\nsize 1\n", "is a Git LFS pointer, not the file"),
        (gzip.compress(text())[:-30], "damaged compressed data"),
        (zipped(text())[:-30], "cannot be unpacked: File is not a zip file"),
        (b"\x28\xb5\x2f\xfd0000", "unpack it first: zstd -d "),
    ],
)
def test_damaged_file_is_refused_with_the_place(content: bytes, message: str, tmp_path: Path):
    path = tmp_path / "v.txt"
    path.write_bytes(content)
    with pytest.raises(BenchError) as error:
        converted(path, setting="baselines.x.name")
    assert str(error.value).startswith(f"baselines.x.name={path}: ")
    assert message in str(error.value)
    assert not list((tmp_path / "cache").glob("vectors/[!.]*/"))  # no partial conversion is kept


def test_unreadable_file_is_refused(tmp_path: Path):
    with pytest.raises(BenchError, match=r"name=.*none\.txt: cannot be read \(No such file"):
        converted(tmp_path / "none.txt", setting="name")


@pytest.mark.parametrize("form", ["text", "binary", "no header"])
def test_rows_match_gensim(form: str, tmp_path: Path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        models = pytest.importorskip("gensim.models", reason="gensim is not installed")
    vectors = models.KeyedVectors(5)
    vectors.add_vectors(SINGLE, ROWS[:5])
    path = tmp_path / "gensim"
    vectors.save_word2vec_format(str(path), binary=form == "binary", write_header=form != "no header")
    folder = converted(path, setting="name")
    theirs = models.KeyedVectors.load_word2vec_format(str(path), binary=form == "binary", no_header=form == "no header")
    assert read_words(folder) == theirs.index_to_key
    np.testing.assert_array_equal(np.load(folder / "vectors.npy"), theirs.vectors)


def baseline(name: object) -> Model:
    (model,) = load_baselines({"mine": BaselineConfig(kind="vectors", name=str(name))}, None)  # type: ignore[arg-type]
    return model


def test_file_is_a_baseline(tmp_path: Path):
    (tmp_path / "v.vec").write_bytes(text())
    model = baseline(tmp_path / "v.vec")
    assert (model.name, model.label, model.dims, model.n_parameters) == ("local/v", "mine", 5, 30)
    got = model.load("cpu").encode(["The Cat, in Paris 22", "", "the"], batch_size=2)
    np.testing.assert_allclose(got[0], ROWS[[1, 2, 4]].mean(axis=0), atol=1e-6)  # `the` is a stop word
    assert (got[1:] == 0).all()


@pytest.fixture(scope="module")
def glove_asset() -> Path:
    return fetch(["glove-6b-50d"])["glove-6b-50d"]


def test_glove_averages_known_words_without_stop_words_and_punctuation(glove_asset: Path):
    words = read_words(glove_asset)
    assert len(words) == 400_000
    assert words[:3] == ["the", ",", "."]
    vectors = np.load(glove_asset / "vectors.npy", mmap_mode="r")
    expected = (vectors[words.index("cats")] + vectors[words.index("chase")] + vectors[words.index("paris")]) / 3
    got = baseline("glove-6b-50d").load("cpu").encode(['the Cats chase "Paris".', "xqzzy"], batch_size=2)
    np.testing.assert_allclose(got[0], expected, atol=1e-6)
    assert (got[1] == 0).all()


def test_glove_matches_sentence_transformers(glove_asset: Path, real_texts: list[str]):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, WordEmbeddings
    from sentence_transformers.sentence_transformer.modules.tokenizer import WhitespaceTokenizer

    vectors = np.load(glove_asset / "vectors.npy")
    table = np.vstack([np.zeros((1, 50), np.float32), vectors])
    words = WordEmbeddings(WhitespaceTokenizer(["PADDING_TOKEN", *read_words(glove_asset)]), table)
    theirs = SentenceTransformer(modules=[words, Pooling(50)], device="cpu").encode(real_texts)
    ours = baseline("glove-6b-50d").load("cpu").encode(real_texts, batch_size=32)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


_LOAD_FROM_HUB = """
from m2v_bench.models import load_baselines
from m2v_bench.config.schema import BaselineConfig
(model,) = load_baselines({"old": BaselineConfig(kind="sentence_transformer", name="people/old")}, None)
print(model.name, model.revision, (model.load("cpu").encode(["cat"], batch_size=1)[:, :3] != 0).tolist(), sep="|")
"""


def of_the_hub(folder: Path, home: Path) -> list[str]:
    """Load the model in `folder` from a hub; return its name, revision and number of non-zero values."""
    with hub_server() as (address, repositories):
        files = [path for path in folder.rglob("*") if path.is_file()]
        repositories["people/old"] = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
        environment = hub_environment(address, home)
        command = [sys.executable, "-c", _LOAD_FROM_HUB]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().split("|")


def test_sentence_transformer_with_pickled_word_vectors(tmp_path: Path):
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, WordEmbeddings
    from sentence_transformers.sentence_transformer.modules.tokenizer import WhitespaceTokenizer

    table = np.vstack([np.zeros((1, 5), np.float32), ROWS])
    words = WordEmbeddings(WhitespaceTokenizer(["PADDING_TOKEN", *WORDS]), table)
    SentenceTransformer(modules=[words, Pooling(5)], device="cpu").save(str(tmp_path / "old"))
    # the layout of the published models: the first module in a subfolder, with pickled weights
    folder = tmp_path / "old" / "0_WordEmbeddings"
    folder.mkdir()
    for name in ("wordembedding_config.json", "whitespacetokenizer_config.json"):
        (tmp_path / "old" / name).rename(folder / name)
    (tmp_path / "old" / "model.safetensors").unlink()
    modules = json.loads((tmp_path / "old" / "modules.json").read_text())
    modules[0].update(path=folder.name, type="sentence_transformers.models.WordEmbeddings")
    (tmp_path / "old" / "modules.json").write_text(json.dumps(modules))
    torch.save({"emb_layer.weight": torch.from_numpy(table)}, folder / "pytorch_model.bin")
    config = BaselineConfig(kind="sentence_transformer", name=str(tmp_path / "old"))
    (model,) = load_baselines({"old": config}, None)  # type: ignore[arg-type]
    assert (model.kind, model.dims, model.n_parameters) == ("static", 5, 35)
    got = model.load("cpu").encode(["Cat Paris"], batch_size=1)
    np.testing.assert_allclose(got[0], ROWS[[1, 2]].mean(axis=0), atol=1e-6)
    assert of_the_hub(tmp_path / "old", tmp_path / "home") == ["people/old", model.revision, "[[True, True, True]]"]
    torch.save({"emb_layer.weight": torch.from_numpy(table * 2)}, folder / "pytorch_model.bin")
    assert load_baselines({"old": config}, None)[0].revision != model.revision  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def bpemb_folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], np.ndarray]:
    """Train a SentencePiece model on a few lines and write subword vectors in word2vec's binary format."""
    sentencepiece = pytest.importorskip("sentencepiece", reason="the extra bpemb is not installed")
    folder = tmp_path_factory.mktemp("bpemb")
    lines = folder / "lines.txt"
    lines.write_text("the cat sat on the mat\nthe dogs ran to 000 cats\nmats and dogs and cats\n" * 20)
    code = (
        "import sys, sentencepiece\nsentencepiece.SentencePieceTrainer.train(input=sys.argv[1], model_type='bpe', "
        "vocab_size=60, model_prefix=sys.argv[2], minloglevel=2)"
    )
    subprocess.run([sys.executable, "-c", code, str(lines), str(folder / "en.wiki.bpe.vs60")], check=True)
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "en.wiki.bpe.vs60.model"))
    words = [pieces.id_to_piece(number) for number in range(pieces.get_piece_size())]
    rows = np.random.default_rng(1).normal(size=(len(words), 6)).astype(np.float32)
    (folder / "en.wiki.bpe.vs60.d6.w2v.bin").write_bytes(binary(words, rows, end=b""))
    return folder, words, rows


def bpemb(folder: Path) -> Model:
    (model,) = load_baselines({"b": BaselineConfig(kind="bpemb", name=str(folder))}, None)  # type: ignore[arg-type]
    return model


def test_bpemb_averages_subwords_of_normalized_text(
    bpemb_folder: tuple[Path, list[str], np.ndarray],
):
    folder, words, rows = bpemb_folder
    model = bpemb(folder)
    assert (model.name, model.dims, model.n_parameters) == ("local/en.wiki.bpe.vs60.d6", 6, rows.size)
    encoder = model.load("cpu")
    got = encoder.encode(["the cats", "THE Cats", "ran 17", "ran 00", ""], batch_size=2)
    subwords = encoder.pieces.encode("the cats", out_type=str)
    np.testing.assert_allclose(got[0], rows[[words.index(subword) for subword in subwords]].mean(axis=0), atol=1e-6)
    np.testing.assert_array_equal(got[0], got[1])
    np.testing.assert_array_equal(got[2], got[3])
    assert (got[4] == 0).all()


def test_bpemb_matches_its_package(bpemb_folder: tuple[Path, list[str], np.ndarray]):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        package = pytest.importorskip("bpemb", reason="the package bpemb is not installed")
        pytest.importorskip("gensim", reason="gensim is not installed")
    folder, _, _ = bpemb_folder
    files = {"model_file": folder / "en.wiki.bpe.vs60.model", "emb_file": folder / "en.wiki.bpe.vs60.d6.w2v.bin"}
    theirs = package.BPEmb(**files, dim=6, vs_fallback=False)
    texts = ["The cats ran to 42 dogs.", "MATS", "unknown ☃ letters"]
    ours = bpemb(folder).load("cpu").encode(texts, batch_size=2)
    np.testing.assert_allclose(ours, [theirs.embed(text).mean(axis=0) for text in texts], atol=1e-6)


def test_folder_without_bpemb_is_refused(bpemb_folder: tuple[Path, list[str], np.ndarray], tmp_path: Path):
    folder, words, rows = bpemb_folder
    with pytest.raises(BenchError, match=r"must be a folder with one \*\.model and one \*\.w2v\.bin.*found: neither"):
        bpemb(tmp_path)
    pointer = f"version https://git-lfs.example/spec/v1\noid sha256:{'0' * 64}\nsize 1\n"
    for file in ("a.w2v.bin", "a.model"):
        (tmp_path / file).write_text(pointer)
    with pytest.raises(BenchError, match=r"^baselines\.b\.name=.*a\.model is a Git LFS pointer"):
        bpemb(tmp_path)
    (tmp_path / "a.model").write_bytes((folder / "en.wiki.bpe.vs60.model").read_bytes())
    (tmp_path / "a.w2v.bin").write_bytes(binary(words[:-1], rows[:-1]))
    with pytest.raises(BenchError, match=r"a\.model has 60 subwords, a\.w2v\.bin 59 vectors; take both files of one"):
        bpemb(tmp_path)
