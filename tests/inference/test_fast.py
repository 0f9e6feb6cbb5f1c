"""Check that the fast path gives the token ids and the bits of the plain path on every kind of text."""

import itertools
import json
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unicodedata import category, combining, decomposition, normalize

import numba
import numpy as np
import pytest
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from benchmarks.languages import sentencepiece_unigram
from m2v_bench import StaticModel
from m2v_bench.assets.fetch import fetch
from m2v_bench.errors import BenchError
from m2v_bench.inference.fast import boundaries, characters, fast_tokenizer, kernels, loading, pretoken_cache
from m2v_bench.inference.fast.boundaries import Unproven, find_boundaries
from m2v_bench.inference.fast.fast_tokenizer import FastTokenizer
from m2v_bench.inference.fast.pieces import _trie
from m2v_bench.inference.fast.short_kernels import find_short, first_slot, unpack
from m2v_bench.inference.fast.utf8_kernels import key
from m2v_bench.inference.fast.workers import in_threads
from m2v_bench.inference.tokenizer import tokenize_batch, unknown_id
from tests.conftest import tiny_static_model
from tests.golden import tiny_models
from tests.golden.cases import ADDED_WORDS, ODD_TEXTS

SPACES = [" ", "  ", "\t", "\n", "\r\n", "\xa0", "\u2009", "\u3000", "\x0b", "\x85", "\u200b"]
SPECIAL = ["[UNK]", "[PAD]", "[CLS", "##ing", "<s>", "<unk>", "</s", "<|endoftext|>", "▁", "Ġ", "<0x41>"]
ACCENTS = ["\u0301", "\u0308", "\u0338", "\u0345", "\u05b4", "\u0e31", "\u200d", "\ufe0f", "\u1100", "\u1161"]
WORDS = [
    "the",
    "The",
    "NAÏVE",
    "café",
    "don't",
    "x" * 120,
    "unbelievably",
    "日本語",
    "한국어",
    "ﬁne",
    "½",
    "İ",
    "ς",
    "🙂",
]


def wordpiece(*, lowercase: bool) -> Tokenizer:
    data = json.loads((fetch(["all-MiniLM-L6-v2"])["all-MiniLM-L6-v2"] / "tokenizer.json").read_text(encoding="utf-8"))
    data["truncation"] = data["padding"] = data["post_processor"] = None
    data["normalizer"]["lowercase"] = lowercase
    return Tokenizer.from_str(json.dumps(data))


def words_alone() -> Tokenizer:
    vocabulary = {word: row for row, word in enumerate(["[UNK]", *dict.fromkeys(w.lower() for w in WORDS)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def of_model(build: Callable[[Path], Path], folder: Path) -> Tokenizer:
    """Return the tokenizer of a model distilled from a tiny one."""
    from m2v_bench import distill

    return distill(str(build(folder)), pca_dims=16, show_progress=False).tokenizer


SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
MULTILINGUAL = [
    "naïve Ångström",
    "Привет, мир!",
    "日本語のテキスト、です。",
    "สวัสดีครับทุกคน ค่ำนี้",
    "नमस्ते दुनिया",
    "مرحبا بالعالم",
    "한국어 문장",
    "বাংলা ভাষায় কোনো কথা বলা",
    "தமிழ் மொழியில் கொஞ்சம் பேசு",
    "हिन्दी में पढ़ना और लड़का",
]


def ignoring_merges(texts: list[str]) -> Tokenizer:
    """Train a byte-level BPE that takes a pre-token that is a token as it is, as Llama 3's."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=1500, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    data = json.loads(tokenizer.to_str())
    for token in ("Ġunreachable", "unreachable", 200 * "Ġ"):  # no merges lead to them
        data["model"]["vocab"][token] = len(data["model"]["vocab"])
    return Tokenizer.from_str(json.dumps(data))


def of_sentencepiece(texts: list[str], *, white_space: bool, fallback: bool) -> Tokenizer:
    """Train a Unigram model with SentencePiece's map of characters, split as XLM-R's or as multilingual E5's."""
    tokenizer = sentencepiece_unigram(texts, byte_fallback=fallback, vocab_size=1500, character_coverage=0.998)
    if white_space:
        steps = [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    else:
        ends = [normalizers.Strip(left=False, right=True), normalizers.Replace(Regex(" {2,}"), "▁")]
        tokenizer.normalizer = normalizers.Sequence([tokenizer.normalizer, *ends])
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return tokenizer


def normalizing(texts: list[str], steps: list[Any]) -> Tokenizer:
    """Train a Unigram model on normalized texts."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    trainer = trainers.UnigramTrainer(vocab_size=1500, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory, real_texts: list[str]) -> dict[str, Tokenizer]:
    tmp = tmp_path_factory.mktemp("tiny")
    llama = fetch(["wordllama-256"])["wordllama-256"] / "tokenizer.json"
    texts = [*real_texts[:1000], *MULTILINGUAL * 20]
    return {
        "uncased": wordpiece(lowercase=True),
        "cased": wordpiece(lowercase=False),
        "bpe": of_model(tiny_models.build_bpe, tmp / "bpe"),
        "qwen": of_model(tiny_models.build_qwen, tmp / "qwen"),
        "unigram": of_model(tiny_models.build_unigram, tmp / "unigram"),
        "llama": Tokenizer.from_file(str(llama)),
        "words": words_alone(),
        "llama 3": ignoring_merges(texts),
        "xlm-r": of_sentencepiece(texts, white_space=True, fallback=False),
        "e5": of_sentencepiece(texts, white_space=False, fallback=True),
        "accents": normalizing(texts, [normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()]),
        "nfkc": normalizing(texts, [normalizers.NFKC(), normalizers.Lowercase()]),
    }


NAMES = [
    "uncased",
    "cased",
    "bpe",
    "qwen",
    "unigram",
    "llama",
    "words",
    "llama 3",
    "xlm-r",
    "e5",
    "accents",
    "nfkc",
]


def assert_same_ids(tokenizer: Tokenizer, texts: list[str], max_length: int | None = None) -> None:
    """Compare twice: while the cache learns the pre-tokens, and when it has them."""
    unknown = unknown_id(tokenizer)
    expected = tokenize_batch(tokenizer, texts, max_length, unknown).lists()
    fast = FastTokenizer(tokenizer, "model2vec")
    for _ in range(2):
        for text, ids, correct in zip(texts, fast.lists(texts, max_length, unknown), expected, strict=True):
            assert ids == correct, repr(text)


def random_texts(n: int) -> Iterator[str]:
    rng = random.Random(0)
    pools = [
        [chr(c) for c in range(32, 127)],
        [chr(c) for c in range(0x250)],
        [*SPACES, *SPECIAL, *ACCENTS, *WORDS, *".,!?-'\"()[]<>=#"],
        [chr(c) for c in range(1, 0x3000)],
        [chr(c) for c in itertools.chain(range(0x3000, 0xD800), range(0xE000, 0x1F900))],
    ]
    for _ in range(n):
        mixed = rng.choices(pools, weights=[3, 2, 6, 1, 1], k=rng.randint(0, 12))
        parts = [rng.choice(pool) for pool in mixed]
        yield rng.choice(["", " "]).join(parts)


@pytest.mark.parametrize(
    ("name", "mode"),
    {
        "bpe": boundaries.EXPRESSION,
        "qwen": boundaries.EXPRESSION,
        "llama 3": boundaries.EXPRESSION,
        "unigram": boundaries.METASPACE,
        "xlm-r": boundaries.METASPACE,
        "e5": boundaries.METASPACE,
        "accents": boundaries.METASPACE,
        "nfkc": boundaries.METASPACE,
        "llama": boundaries.UNITS,
        "uncased": boundaries.MARKS,
        "cased": boundaries.MARKS,
    }.items(),
)
def test_new_words_cost_no_call_of_the_package(
    tokenizers: dict[str, Tokenizer], name: str, mode: int, real_texts: list[str]
):
    fast = FastTokenizer(tokenizers[name], "model2vec")
    assert fast._boundaries.mode == mode
    asked: list[str] = []

    class Spy:
        def encode_batch_fast(self, texts: list[str], **_: Any) -> Any:
            asked.extend(texts)
            return tokenizers[name].encode_batch_fast(texts, add_special_tokens=False)

    fast.tokenizer = Spy()  # type: ignore[assignment]
    texts = [*real_texts, *MULTILINGUAL]
    fast.lists(texts, None, None)
    assert sum(map(len, asked)) < 0.01 * sum(map(len, texts)), asked[:20]


@pytest.mark.parametrize("name", NAMES)
def test_random_texts(tokenizers: dict[str, Tokenizer], name: str):
    assert_same_ids(tokenizers[name], list(random_texts(50_000)))


@pytest.mark.parametrize("name", NAMES)
def test_every_code_point(tokenizers: dict[str, Tokenizer], name: str):
    """Place assigned code points between letters and spaces, and put all others in rows."""
    points = [chr(point) for point in itertools.chain(range(0xD800), range(0xE000, 0x110000))]
    assigned = [point for point in points if category(point) not in ("Cn", "Co", "Lo")]
    texts = [f"a{point}b {point} {point}c" for point in assigned]
    texts += ["".join(points[start : start + 256]) for start in range(0, len(points), 256)]
    assert_same_ids(tokenizers[name], texts)


@pytest.mark.parametrize("name", ["uncased", "qwen", "xlm-r", "e5", "accents", "nfkc"])
def test_characters_that_compose(tokenizers: dict[str, Tokenizer], name: str):
    """Mix characters that are decomposed, what they are composed of, and marks that change places with these."""
    whole = [chr(point) for point in range(0xC0, 0x30000) if decomposition(chr(point))]
    parts = {part for character in whole for part in normalize("NFKD", character)}
    jamo = [chr(point) for point in (0x1100, 0x1112, 0x1161, 0x1175, 0x11A8, 0x11C2, 0xAC00, 0xAC01, 0xD788)]
    marks = [part for part in parts if combining(part)]
    pools = [whole, sorted(parts), sorted(marks), jamo, [" ", "a", "e", "o\u0323", "=", "\u0cc6\u0cc2", "\u09c7\u09be"]]
    rng = random.Random(2)
    assert_same_ids(tokenizers[name], [composition(rng, pools) for _ in range(60_000)])
    pairs = [decomposition(character).split() for character in whole]
    chains = [[chr(int(point, 16)) for point in pair if point[0] != "<"] for pair in pairs]
    texts = [f"{before}{''.join(chain)}{after}" for chain in chains for before in ("", "x", " ") for after in ("", "x")]
    assert_same_ids(tokenizers[name], [*texts, *("\u0323".join(chain) for chain in chains)])


def composition(rng: random.Random, pools: list[list[str]]) -> str:
    return "".join(rng.choice(rng.choice(pools)) for _ in range(rng.randint(1, 6)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("max_length", [None, 512, 7, 1, 0])
def test_real_and_odd_texts(tokenizers: dict[str, Tokenizer], name: str, max_length: int | None, real_texts: list[str]):
    odd = [text if isinstance(text, str) else "".join(part * n for part, n in text) for text in ODD_TEXTS]
    long = ["word" * 5000, "日" * 3000, "\u0301" * 300, " " * 500, "a " * 3000, "x" * 256 + " " + "y" * 257]
    long += ["an unreachable word, unreachable", "a" + 201 * " " + "b", 199 * " " + "unreachable"]
    assert_same_ids(tokenizers[name], [*odd, *ADDED_WORDS, *long, *MULTILINGUAL, *real_texts], max_length)


@pytest.mark.parametrize(("n", "longest"), [(200, 2), (3000, 3), (70_000, 3)])
def test_a_trie_has_its_pieces_and_no_others(n: int, longest: int):
    """Random bytes branch so much that the trie has to grow."""
    rng = random.Random(n)
    ids = {rng.randbytes(rng.randint(1, longest)): number for number in range(n)}
    trie = _trie(ids)

    def id_of(piece: bytes) -> int:
        node = 0
        for byte in piece:
            child = trie[node, kernels.BASE] + byte
            if trie[child, kernels.PARENT] != node:
                return kernels.NO_ID
            node = child
        return int(trie[node, kernels.ID])

    for piece in [*ids, b"", *(rng.randbytes(rng.randint(1, longest + 1)) for _ in range(n))]:
        assert id_of(piece) == ids.get(piece, kernels.NO_ID)


@numba.njit
def packed_ids(raw, offsets, short, out):
    """Write the packed ids of keys to `out`, and the ids of the last one to `out[-4:]`, their number first."""
    for k in range(len(offsets) - 1):
        low, high = key(raw, offsets[k], offsets[k + 1], 0)
        size = offsets[k + 1] - offsets[k]
        out[k] = find_short(low, high, size, first_slot(low, high, size, short), short)
    unpacked = np.zeros(4, np.int32)
    out[-4] = unpack(np.int64(out[len(offsets) - 2]), unpacked, 0)
    out[-3:] = unpacked[:3]


def test_the_short_table_has_short_keys_and_no_others():
    """Keys differ in length alone, too; ids from 2^20 on and more than three do not fit."""
    rng = random.Random(0)
    keys = {bytes(rng.choices(b"\0\0ab", k=rng.randint(1, 18))): rng.randint(0, 4) for _ in range(3000)}
    table = pretoken_cache.Table()
    ids = {one: [rng.randint(0, (1 << 20) + (1 << 17)) for _ in range(count)] for one, count in keys.items()}
    table.add(list(ids), list(ids.values()))

    def ids_of(one: bytes) -> list[int] | None:
        raw = np.frombuffer(bytes(rng.choices(range(256), k=16)) + one, np.uint8)
        out = np.zeros(5, np.int64)
        packed_ids(raw, np.array([16, 16 + len(one)]), table.short, out)
        return out[2 : 2 + out[1]].tolist() if out[0] else None

    found = 0
    for one, expected in ids.items():
        fits = 0 < len(expected) <= 3 and len(one) <= 15 and max(expected) < 1 << 20
        assert ids_of(one) in ((expected, None) if fits else (None,))
        found += ids_of(one) is not None
    assert found > 500
    others = (bytes(rng.choices(b"\0\0ab", k=rng.randint(0, 18))) for _ in range(3000))
    assert not any(ids_of(other) for other in others if other not in ids)


def test_words_up_to_the_longest_that_wordpiece_splits(tokenizers: dict[str, Tokenizer]):
    texts = [letter * n for letter in ("a", "qz", "the", "7", "é", "日本", "한") for n in range(110)]
    assert_same_ids(tokenizers["uncased"], texts)
    assert_same_ids(tokenizers["cased"], texts)


@pytest.fixture(scope="module")
def model(tokenizers: dict[str, Tokenizer]) -> StaticModel:
    tokenizer = tokenizers["uncased"]
    rows = tokenizer.get_vocab_size()
    return StaticModel(np.random.default_rng(0).normal(size=(rows, 40)).astype(np.float32), tokenizer)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("normalize", [False, True])
def test_embeddings_have_the_same_bits(
    model: StaticModel, dtype: Any, shared: bool, normalize: bool, real_texts: list[str]
):
    rng = np.random.default_rng(1)
    n = len(model.table)
    parts = {"weights": rng.random(n), "mapping": rng.integers(0, 500, n)} if shared else {}
    table = (50 * model.table[: 500 if shared else n]).astype(dtype)
    fresh = StaticModel(table, model.tokenizer, normalize=normalize, **parts)
    texts = ["", "🜁", *real_texts]
    fast, slow = fresh.encode(texts, fast=True), fresh.encode(texts, fast=False)
    assert fast.dtype == slow.dtype == np.float32
    assert fast.tobytes() == slow.tobytes()
    assert not fast[:2].any()


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8])
@pytest.mark.parametrize("dims", [1, 2, 3, 17, 64, 300])
def test_bits_are_equal_in_any_number_of_dimensions(model: StaticModel, dims: int, dtype: Any, real_texts: list[str]):
    table = (50 * np.random.default_rng(dims).normal(size=(len(model.table), dims))).astype(dtype)
    fresh = StaticModel(table, model.tokenizer)
    assert fresh.encode(real_texts, fast=True).tobytes() == fresh.encode(real_texts, fast=False).tobytes()


def test_sums_of_small_integers_cannot_overflow(model: StaticModel):
    fresh = StaticModel(np.full(model.table.shape, -128, np.int8), model.tokenizer, normalize=False)
    texts = ["the cat " * n for n in (1, 100, 5_000)]
    assert (fresh.encode(texts, fast=True, max_length=None) == -128).all()


def test_the_order_of_a_table_in_memory_changes_nothing(model: StaticModel, real_texts: list[str]):
    wide = np.tile(model.table, 2)
    expected = StaticModel(model.table, model.tokenizer).encode(real_texts, fast=False)
    for table in (np.asfortranarray(model.table), wide[:, : model.table.shape[1]], model.table[::-1].copy()[::-1]):
        np.testing.assert_array_equal(StaticModel(table, model.tokenizer).encode(real_texts, fast=True), expected)


def test_values_that_are_not_finite_stay_so(model: StaticModel):
    table = model.table.astype(np.float16)
    table[::2] = np.inf
    table[1::3] = np.nan
    fresh = StaticModel(table, model.tokenizer, normalize=False)
    np.testing.assert_array_equal(fresh.encode(["the cat"], fast=True), fresh.encode(["the cat"], fast=False))


def test_threads_batches_and_earlier_calls_change_nothing(
    model: StaticModel, monkeypatch: pytest.MonkeyPatch, real_texts: list[str]
):
    expected = model.encode(real_texts, fast=False)
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    for threads, size in itertools.product(("1", "2", "3"), (1, 7, 1000)):
        monkeypatch.setenv("RAYON_NUM_THREADS", threads)
        fresh = StaticModel(model.table, model.tokenizer)  # its cache learns from several pieces at a time
        for _ in range(2):
            np.testing.assert_array_equal(fresh.encode(real_texts, batch_size=size, fast=True), expected)
    with ThreadPoolExecutor(4) as users:
        for embeddings in users.map(lambda _: model.encode(real_texts, fast=True), range(8)):
            np.testing.assert_array_equal(embeddings, expected)
    assert model.tokenize(real_texts, fast=True) == model.tokenize(real_texts, fast=False)
    for fast, plain in zip(
        model.encode_as_sequence(real_texts[:50], fast=True),
        model.encode_as_sequence(real_texts[:50], fast=False),
        strict=True,
    ):
        np.testing.assert_array_equal(fast, plain)


def test_a_full_cache_is_emptied(
    tokenizers: dict[str, Tokenizer], monkeypatch: pytest.MonkeyPatch, real_texts: list[str]
):
    monkeypatch.setattr(pretoken_cache, "MAX_BYTES", 20_000)
    monkeypatch.setattr(fast_tokenizer, "MAX_MISSING", 5)
    for name in ("bpe", "uncased"):
        assert_same_ids(tokenizers[name], real_texts[:200])


def test_compiled_loops_are_loaded_once_they_are_worth_it(model: StaticModel, real_texts: list[str]):
    fresh = StaticModel(model.table, model.tokenizer)
    fresh.encode(real_texts)
    assert fresh._fast._compiled is None
    fresh.encode(real_texts * 10)
    assert fresh._fast._compiled is not None
    assert fresh.fast_path()
    assert str(fresh.fast_path()) == "yes"


def test_the_user_is_told_when_loops_are_compiled(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.setattr(loading, "_ANNOUNCED", [])
    assert loading.compile_ahead()
    assert not caplog.records  # the tests before have compiled them
    for _ in range(2):
        with loading._announced():
            numba.njit(lambda number: number + 1)(1)
    (record,) = caplog.records
    assert "compiling the loops that embed texts, once per installation" in record.message


@pytest.mark.parametrize("name", ["xlm-r", "qwen"])
def test_models_that_share_characters_learn_them_at_the_same_time(tokenizers: dict[str, Tokenizer], name: str):
    """Threads meet characters of many blocks for the first time while others read what is known."""
    rng = random.Random(1)
    points = [point for point in range(0x100, 0x3000) if category(chr(point)) not in ("Cn", "Co", "Cs")]
    texts = [" ".join("".join(map(chr, rng.choices(points, k=5))) for _ in range(20)) for _ in range(400)]
    expected = tokenize_batch(tokenizers[name], texts, None, None).lists()
    characters.forget_characters()
    fast = [FastTokenizer(tokenizers[name], "model2vec") for _ in range(3)]
    assert fast[0]._characters is fast[1]._characters

    def tokenize(number: int) -> list[list[int]]:
        ids: dict[int, list[int]] = {}
        for row in random.Random(number).sample(range(len(texts)), len(texts)):
            (ids[row],) = fast[number].lists([texts[row]], None, None)
        return [ids[row] for row in range(len(texts))]

    with ThreadPoolExecutor(3) as users:
        for ids in users.map(tokenize, range(3)):
            assert ids == expected


def test_a_model_with_compiled_loops_can_be_pickled(model: StaticModel):
    fresh = StaticModel(model.table, model.tokenizer)
    expected = fresh.encode(["the cat"], fast=True)
    data = pickle.dumps(fresh)
    assert len(data) < 1.5 * fresh.table.nbytes
    copy = pickle.loads(data)
    np.testing.assert_array_equal(copy.encode(["the cat"], fast=True), expected)


def _changed(data: dict[str, Any], **parts: Any) -> dict[str, Any]:
    return {**data, **parts}


def test_unknown_kinds_of_tokenizers_are_refused(tokenizers: dict[str, Tokenizer]):
    uncased, bpe, unigram, llama = (
        json.loads(tokenizers[name].to_str()) for name in ("uncased", "bpe", "unigram", "llama")
    )
    added = {"content": "new york", "id": 3, "single_word": False, "lstrip": True, "rstrip": True, "special": False}
    joined = {**llama["model"], "vocab": {**llama["model"]["vocab"], "of▁the": 31999}}
    cases = {
        "normalized text": _changed(uncased, added_tokens=[{**added, "normalized": True}]),
        "step Replace": _changed(uncased, normalizer={"type": "Replace", "pattern": {"String": "-"}, "content": " "}),
        "splitting is Digits": _changed(uncased, pre_tokenizer={"type": "Digits", "individual_digits": True}),
        "at random": _changed(bpe, model={**bpe["model"], "dropout": 0.1}),
        "may hold spaces": _changed(unigram, pre_tokenizer={**unigram["pre_tokenizer"], "split": False}),
        "reach over spaces": _changed(llama, model=joined),
        "step Strip": _changed(unigram, normalizer={"type": "Strip", "strip_left": True, "strip_right": True}),
    }
    for reason, data in cases.items():
        with pytest.raises(Unproven, match=reason):
            find_boundaries(data)


def test_an_unknown_regular_expression_is_refused(tokenizers: dict[str, Tokenizer]):
    data = json.loads(tokenizers["qwen"].to_str())
    split = data["pre_tokenizer"]["pretokenizers"][0]
    find_boundaries(data)
    split["pattern"]["Regex"] = "New York|" + split["pattern"]["Regex"]
    with pytest.raises(Unproven, match="a way of its own"):
        find_boundaries(data)


def test_probes_detect_a_tokenizer_that_only_seems_known(
    tokenizers: dict[str, Tokenizer], monkeypatch: pytest.MonkeyPatch
):
    from m2v_bench.inference.fast import boundaries

    monkeypatch.setattr(boundaries, "_ALTERNATIVES", {*boundaries._ALTERNATIVES, "a 7"})
    data = json.loads(tokenizers["qwen"].to_str())
    split = data["pre_tokenizer"]["pretokenizers"][0]
    split["pattern"]["Regex"] = "a 7|" + split["pattern"]["Regex"]
    with pytest.raises(Unproven, match="tokens of the whole"):
        FastTokenizer(Tokenizer.from_str(json.dumps(data)), "model2vec")


def _word_piece(**parts: Any) -> dict[str, Any]:
    vocabulary = ["[UNK]", "c", "##at", "cat", "dog", "do", "##g", "anticipation", "xcat", "xa", "at", "C"]
    model = models.WordPiece({token: row for row, token in enumerate(vocabulary)}, unk_token="[UNK]")
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    data = json.loads(tokenizer.to_str())
    data["model"] |= {name: value for name, value in parts.items() if name in data["model"]}
    return {**data, **{name: value for name, value in parts.items() if name not in data["model"]}}


@pytest.mark.parametrize("prefix", [True, False])
def test_a_byte_level_tokenizer_without_some_bytes(prefix: bool):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    tokenizer.train_from_iterator(["a cat sits on a mat"] * 3, trainers.BpeTrainer(vocab_size=60, show_progress=False))
    assert_same_ids(tokenizer, ["é", " é", "(é a cat", "🙂🙂", "a cat é sits"])


COMPOSED = {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]}


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"max_input_chars_per_word": 3},
        {"max_input_chars_per_word": 10},
        {"max_input_chars_per_word": 10**12},
        {"continuing_subword_prefix": ""},
        {"continuing_subword_prefix": "x"},
        {"normalizer": COMPOSED},
        {"normalizer": None},
    ],
    ids=str,
)
def test_unusual_wordpiece_tokenizers(parts: dict[str, Any]):
    tokenizer = Tokenizer.from_str(json.dumps(_word_piece(**parts)))
    assert_same_ids(tokenizer, ["Cat DOG cat", "anticipation", "xcat xat catat", "do-dog,dogg", "c" * 200, "Å Å CAT"])


def test_wordpiece_without_pieces_inside_words():
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(1, 9))) for _ in range(300)]
    data = _word_piece()
    data["model"]["vocab"] = {word: row for row, word in enumerate(dict.fromkeys(["[UNK]", *words]))}
    joined = [one + other for one in words for other in words[:50]]
    assert_same_ids(Tokenizer.from_str(json.dumps(data)), [*words, *joined])


def test_longer_replacements_find_room(tokenizers: dict[str, Tokenizer], monkeypatch: pytest.MonkeyPatch):
    """Hangul becomes letters, three times as long, before WordPiece."""
    fast = FastTokenizer(tokenizers["uncased"], "model2vec")
    texts = ["안녕하세요", *(f"한국어 문장을 여러 개 나누어 본다 {number}" for number in range(300))]
    expected = tokenize_batch(tokenizers["uncased"], texts, None, None).lists()
    monkeypatch.delattr(fast_tokenizer, "tokenize_batch")
    assert fast.lists(texts, None, None) == expected


def test_a_special_token_is_found_whatever_its_case(tokenizers: dict[str, Tokenizer]):
    tokenizer = wordpiece(lowercase=True)
    tokenizer.add_special_tokens(["naïve", "<pad>"])
    assert_same_ids(tokenizer, ["A NAïVE view", "a naïve view", "<PAD> <pad> <Pad>", "NAïVE naïve"])


def test_a_tokenizer_that_fails_on_the_probes_keeps_the_plain_path(tokenizers: dict[str, Tokenizer]):
    data = _word_piece()
    data["model"]["vocab"].pop("[UNK]")
    tiny = Tokenizer.from_str(json.dumps(data))
    model = StaticModel(np.ones((tiny.get_vocab_size(), 4), np.float32), tiny)
    assert not model.fast_path()
    assert str(model.fast_path()).startswith("no: compiled loops cannot be used here: ")
    assert model.encode(["cat"] * 2).any()


def test_a_broken_numba_leaves_the_plain_path(tmp_path: Path, model: StaticModel):
    model.save_pretrained(tmp_path / "model")
    (tmp_path / "numba").mkdir()
    (tmp_path / "numba" / "__init__.py").write_text('raise ImportError("Numba needs NumPy 1.0 or less")')
    code = """
from m2v_bench import StaticModel
model = StaticModel.from_pretrained("model")
print(model.encode(["the cat " * 300_000], max_length=None).any(), model.fast_path())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "True no: compiled loops cannot be used here: ImportError: Numba needs NumPy 1.0 or less\n"


def test_mapping_and_weights_that_do_not_fit_are_refused(model: StaticModel):
    n = len(model.table)
    with pytest.raises(BenchError, match="mapping points to rows 0 to 60; there are 0 to 49"):
        StaticModel(model.table[:50], model.tokenizer, mapping=np.full(n, 60) * (np.arange(n) == 3))
    for weights in (np.ones(10), np.ones((n, 1))):
        with pytest.raises(BenchError, match="weights are of shape"):
            StaticModel(model.table, model.tokenizer, weights=weights)


def with_ids(**ids: int) -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, **ids}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


@pytest.mark.parametrize("fast", [True, False])
def test_ids_with_holes_are_refused(fast: bool):
    with pytest.raises(BenchError, match=r"ids have holes: token 'cat' has id 10000000, .* rows for ids 0 to 1"):
        StaticModel(np.ones((2, 4), np.float32), with_ids(cat=10_000_000))
    gapped = StaticModel(np.ones((3, 4), np.float32), with_ids(dog=2, cat=9))
    assert (gapped.encode(["dog"], fast=fast) == 0.5).all()
    for use in (gapped.encode, gapped.encode_as_sequence):
        with pytest.raises(BenchError, match="ids have holes: token 'cat' has id 9"):
            use(["cat"], fast=fast)
    with pytest.raises(BenchError, match="ids have holes"):
        _ = gapped.tokens


@pytest.mark.parametrize("fast", [True, False])
def test_invalid_settings_are_refused(model: StaticModel, fast: bool):
    for batch_size in (0, -1):
        with pytest.raises(BenchError, match=f"batch_size={batch_size}: must be at least 1"):
            model.encode(["cat"], batch_size=batch_size, fast=fast)
    with pytest.raises(BenchError, match="max_length=-1: must be at least 0"):
        model.encode(["cat"], max_length=-1, fast=fast)


def test_an_interrupted_cache_is_rebuilt(tokenizers: dict[str, Tokenizer], monkeypatch: pytest.MonkeyPatch):
    fast = FastTokenizer(tokenizers["uncased"], "model2vec")
    expected = fast.lists(["the thing"], None, None)

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fast._cache.table, "add", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fast._cache.clear()
    assert fast.lists(["the thing"], None, None) == expected


def test_a_loaded_model_survives_a_save_over_its_files(tmp_path: Path, model: StaticModel):
    model.save_pretrained(tmp_path / "model")
    loaded = StaticModel.from_pretrained(tmp_path / "model")
    StaticModel.from_pretrained(tmp_path / "model", dimensionality=8).save_pretrained(tmp_path / "model")
    np.testing.assert_array_equal(loaded.table, model.table)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_does_not_wait_for_a_thread_of_its_parent(model: StaticModel, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)  # "true" would let that package's own threads hang
    monkeypatch.setenv("RAYON_NUM_THREADS", "2")
    texts = ["the cat"] * 2000
    expected = model.encode(texts, fast=True)  # with two threads, which the child does not have
    tokenizer, _ = model._fast.compiled(texts, True) or (None, None)
    assert tokenizer is not None
    with model._fast._lock, tokenizer._lock:
        child = os.fork()
        if child == 0:
            signal.alarm(60)  # ends it if it deadlocks
            same_bits = (model.encode(texts, fast=True) == expected).all()
            os._exit(0 if same_bits and threading.active_count() == min(2, os.cpu_count() or 1) else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_an_error_in_a_thread_reaches_the_caller_once_all_threads_are_idle(
    tokenizers: dict[str, Tokenizer], monkeypatch: pytest.MonkeyPatch, real_texts: list[str]
):
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    monkeypatch.setenv("RAYON_NUM_THREADS", "3")
    tokenizer = FastTokenizer(tokenizers["uncased"], "model2vec")
    for _ in range(2):  # new pre-tokens are added by the caller, known ones looked up by all threads
        assert sum(map(len, tokenizer.batches(real_texts, max_length=None))) == len(real_texts)
    caller, at_work, failed = threading.get_ident(), set(), threading.Event()

    def work(number: int) -> None:
        at_work.add(number)
        if threading.get_ident() == caller:
            failed.wait(10)  # until another thread has failed
        elif not failed.is_set():
            failed.set()
            raise OSError("of a thread")
        at_work.remove(number)

    with pytest.raises(OSError, match="of a thread"):
        in_threads(work, range(100), 3)
    assert len(at_work) == 1  # the item that failed; all others were completed or never begun


def test_a_model_without_compiled_loops_says_why_and_embeds():
    tiny = tiny_static_model()
    tiny.tokenizer.pre_tokenizer = pre_tokenizers.Digits()
    model = StaticModel(tiny.table, tiny.tokenizer)
    assert "not proven on this tokenizer: its splitting is Digits" in str(model.fast_path())
    with pytest.raises(BenchError, match=r"fast=True: .*leave fast at None"):
        model.encode(["cat"], fast=True)
    assert model.encode(["cat"]).any()


def test_embeddings_without_numba_are_equal(tmp_path: Path, model: StaticModel, real_texts: list[str]):
    model.save_pretrained(tmp_path / "model")
    (tmp_path / "texts.json").write_text(json.dumps(real_texts))
    code = """
import sys
sys.modules["numba"] = None  # as if not installed
import importlib.util
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == "numba" else find_spec(name, *more)
import json, numpy as np
from m2v_bench import StaticModel
model = StaticModel.from_pretrained("model")
np.save("slow.npy", model.encode(json.load(open("texts.json")) * 10))
print(model.fast_path())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "numba is not installed (pip install numba)" in done.stdout
    np.testing.assert_array_equal(np.load(tmp_path / "slow.npy")[:1000], model.encode(real_texts, fast=True))


def test_items_that_are_no_text_are_named(model: StaticModel):
    for texts in (["a", None], ["a", float("nan")], ["a", ("b", "c")], ["a", ["b", "c"]]):
        for fast in (True, False):
            with pytest.raises(TypeError, match=r"texts\[1\] is .* every text must be a str"):
                model.encode(texts, fast=fast)  # type: ignore[arg-type]


def test_loading_and_a_first_sentence_import_no_heavy_package(tmp_path: Path, model: StaticModel):
    model.save_pretrained(tmp_path / "model")
    code = """
import sys
from m2v_bench import StaticModel
model = StaticModel.from_pretrained("model")
model.encode(["a first sentence"])
heavy = "torch scipy numba pandas transformers huggingface_hub filelock"
print([name for name in heavy.split() if name in sys.modules])
print(type(model.table.base).__name__)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "memmap"]
