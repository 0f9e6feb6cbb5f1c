"""Check the ids of compiled loops on every combination of normalization, splitting and model."""

import json
import random
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from benchmarks.languages import sentencepiece_unigram
from m2v_bench.inference.fast import boundaries
from m2v_bench.inference.fast.boundaries import Unproven
from m2v_bench.inference.fast.fast_tokenizer import FastTokenizer
from m2v_bench.inference.tokenizer import tokenize_batch
from tests.inference.test_fast import MULTILINGUAL, SPLIT, random_texts

QWEN = SPLIT.replace(r"\p{N}{1,3}", r"\p{N}")
SPACES = normalizers.Replace(Regex(" {2,}"), " ")
NORMALIZERS: dict[str, list[Any]] = {
    "none": [],
    "nfc": [normalizers.NFC()],
    "nfd": [normalizers.NFD()],
    "nfkc": [normalizers.NFKC()],
    "nfkd": [normalizers.NFKD()],
    "lower": [normalizers.Lowercase()],
    "nfc, lower": [normalizers.NFC(), normalizers.Lowercase()],
    "lower, nfkc": [normalizers.Lowercase(), normalizers.NFKC()],
    "without accents": [normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()],
    "nfkd without accents": [normalizers.NFKD(), normalizers.StripAccents()],
    "accents alone": [normalizers.StripAccents()],
    "nfc without accents": [normalizers.NFC(), normalizers.StripAccents()],
    "without accents, nfc": [normalizers.NFD(), normalizers.StripAccents(), normalizers.NFC()],
    "bert": [normalizers.BertNormalizer()],
    "bert, cased": [normalizers.BertNormalizer(lowercase=False)],
    "bert with accents": [normalizers.BertNormalizer(strip_accents=False)],
    "bert, unclean": [normalizers.BertNormalizer(clean_text=False, handle_chinese_chars=False)],
    "bert, nfkc": [normalizers.NFKC(), normalizers.BertNormalizer()],
    "single spaces": [SPACES],
    "nfkc, stripped": [normalizers.NFKC(), normalizers.Strip(left=False, right=True), SPACES],
}
SPLITTERS: dict[str, list[Any]] = {
    "bert": [pre_tokenizers.BertPreTokenizer()],
    "words": [pre_tokenizers.Whitespace()],
    "white space": [pre_tokenizers.WhitespaceSplit()],
    "gpt-2": [pre_tokenizers.ByteLevel(add_prefix_space=False)],
    "gpt-2, prefix": [pre_tokenizers.ByteLevel(add_prefix_space=True)],
    "llama 3": [pre_tokenizers.Split(Regex(SPLIT), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)],
    "qwen, prefix": [pre_tokenizers.Split(Regex(QWEN), "isolated"), pre_tokenizers.ByteLevel(True, use_regex=False)],
    "metaspace": [pre_tokenizers.Metaspace()],
    "metaspace, first": [pre_tokenizers.Metaspace(prepend_scheme="first")],
    "metaspace, never": [pre_tokenizers.Metaspace(prepend_scheme="never")],
    "white space, metaspace": [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()],
}
COMPOSED = [
    "A\u0334\u0301",
    "a\u302e\u0301",
    "\u1100\u0334\u1161",
    "\uac00\u0334\u11a8",
    "\u1100\u1161",
    "\u1100\x00\u1161",
]
COMPOSED += ["a\u0301\u00ad\u0323", "a\u0301\u200b\u0323", "e\x00\u0301"]
MODELS = [
    "WordPiece",
    "BPE",
    "BPE, whole words",
    "BPE, bytes",
    "BPE, unknown",
    "Unigram",
    "Unigram, bytes",
    "WordLevel",
]


@pytest.fixture(scope="module")
def charsmap(real_texts: list[str]) -> Any:
    """Return the normalization of SentencePiece."""
    return sentencepiece_unigram(real_texts, vocab_size=500).normalizer


def trained(kind: str, splitter: str, texts: list[str]) -> Tokenizer:
    """Train a model on texts split in a way."""
    special = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256) if "bytes" in kind)]
    common = {"vocab_size": 900, "special_tokens": special, "show_progress": False}
    in_bytes = isinstance(SPLITTERS[splitter][-1], pre_tokenizers.ByteLevel)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet()) if in_bytes else []
    if kind.startswith("BPE"):
        unknown = {"unk_token": "<unk>", "fuse_unk": True} if kind == "BPE, unknown" else {}
        options: dict[str, Any] = {"ignore_merges": kind == "BPE, whole words", "byte_fallback": kind == "BPE, bytes"}
        model: Any = models.BPE(**options, **unknown)
        trainer: Any = trainers.BpeTrainer(initial_alphabet=alphabet, **common)
    elif kind.startswith("Unigram"):
        model, trainer = models.Unigram(), trainers.UnigramTrainer(unk_token="<unk>", **common)
    elif kind == "WordPiece":
        model = models.WordPiece(unk_token="<unk>")
        trainer = trainers.WordPieceTrainer(**common)
    else:
        model, trainer = models.WordLevel(unk_token="<unk>"), trainers.WordLevelTrainer(**common)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(SPLITTERS[splitter])
    tokenizer.train_from_iterator(texts, trainer)
    data = json.loads(tokenizer.to_str())
    data["added_tokens"] = data["added_tokens"][:1]  # the bytes are tokens of the model, not of the text
    if kind == "Unigram, bytes":
        data["model"]["byte_fallback"] = True
    return Tokenizer.from_str(json.dumps(data))


@pytest.mark.parametrize("splitter", SPLITTERS)
@pytest.mark.parametrize("kind", MODELS)
def test_ids_are_those_of_the_package(
    kind: str, splitter: str, real_texts: list[str], charsmap: Any, monkeypatch: pytest.MonkeyPatch
):
    """Skip combinations that are refused, as these use the plain path."""
    rng = random.Random(f"{kind}, {splitter}")
    awkward = rng.sample(boundaries.probes([b"<unk>"]), 500)
    monkeypatch.setattr("m2v_bench.inference.fast.fast_tokenizer.probes", lambda added: [])  # this test checks more
    texts = [*list(random_texts(300)), *awkward, *MULTILINGUAL, *real_texts[:30], "<unk> a<unk>b", *COMPOSED]
    tokenizer, proven = trained(kind, splitter, [*real_texts[:300], *MULTILINGUAL]), 0
    for name, steps in {
        **NORMALIZERS,
        "map": [charsmap],
        "map, nfc": [charsmap, normalizers.NFC()],
        "map, spaces": [charsmap, SPACES],
    }.items():
        tokenizer.normalizer = normalizers.Sequence(steps)  # type: ignore[assignment]
        expected = tokenize_batch(tokenizer, texts, None, None).lists()
        try:
            fast = FastTokenizer(tokenizer, "model2vec")
        except Unproven:
            continue
        proven += 1
        for _ in range(2):
            for text, ids, correct in zip(texts, fast.lists(texts, None, None), expected, strict=True):
                assert ids == correct, (name, text)
    assert proven >= 10
