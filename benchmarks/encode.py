"""Compare embedding speed with model2vec 0.10.

    python -m benchmarks.encode [--rounds N]

Both sides run alternately in one process, on the same models and real texts of `$M2V_BENCH_TEST_DATA`/speed of three
lengths: first with a fresh model, then on the same texts again. Loading is measured in separate processes. Prints a
table and writes it to results/bench/encode.md and .json. All ids are compared with those of the `tokenizers` package,
and all embeddings with those of model2vec.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from benchmarks.output import write
from m2v_bench import StaticModel, distill
from m2v_bench.assets.fetch import fetch
from m2v_bench.inference.tokenizer import tokenize_batch, unknown_id
from m2v_bench.system.environment import hardware, versions
from m2v_bench.system.threads import thread_variables
from tests.conftest import TEST_DATA

ROOT = Path(__file__).parents[1]
DIMS, MILLION = 256, 1_000_000
_COLD = """
import sys, time
started = time.perf_counter()
if sys.argv[1] == "ours":
    from m2v_bench import StaticModel
else:
    from model2vec import StaticModel
StaticModel.from_pretrained(sys.argv[2]).encode(["The first sentence that is embedded."])
print(time.perf_counter() - started)
"""
_MEMORY = """
import json, sys
from m2v_bench import StaticModel
from m2v_bench.system.memory import Peak
model = StaticModel.from_pretrained(sys.argv[1])
words = open(sys.argv[2], encoding="utf-8").read().split()
model.encode(["warm"], fast=True)
texts = [" ".join(words[i % 90_000 : i % 90_000 + 8]) for i in range(1_000_000)]
before, peak = Peak().rss_bytes(), Peak()
embeddings = model.encode(texts)
print(json.dumps({"before": before, "after": peak.rss_bytes(), "output": embeddings.nbytes, "of": peak.of}))
"""


def texts_by_length() -> dict[str, list[str]]:
    """Read real texts of about 10, 100 and 500 tokens."""
    sentences = pd.read_parquet(TEST_DATA / "speed" / "wikisplit_sentences.parquet")["text"].tolist()
    paragraphs = pd.read_parquet(TEST_DATA / "speed" / "enwiki_paragraphs.parquet")["text"].tolist()
    return {
        "short": [" ".join(sentence.split()[:8]) for sentence in sentences],
        "medium": paragraphs[:3000],
        "long": [" ".join(paragraphs[start : start + 5]) for start in range(0, len(paragraphs) - 4, 5)],
    }


def byte_level(texts: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=30_000, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def unigram(texts: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=30_000, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def tables(texts: list[str]) -> Iterator[tuple[str, Tokenizer, np.ndarray]]:
    """Yield models by kind of tokenizer: a distilled one, WordLlama, and two trained on the texts."""
    distilled = distill("all-MiniLM-L6-v2", pca_dims=DIMS, quantize_to="float32")
    yield "WordPiece", distilled.tokenizer, distilled.table
    llama = Tokenizer.from_file(str(fetch(["wordllama-256"])["wordllama-256"] / "tokenizer.json"))
    for kind, tokenizer in {
        "BPE (byte level)": byte_level(texts),
        "BPE (Llama)": llama,
        "Unigram": unigram(texts),
    }.items():
        rows = tokenizer.get_vocab_size()
        yield kind, tokenizer, np.random.default_rng(0).normal(size=(rows, DIMS)).astype(np.float32)


def seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def alternately(sides: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, work in sides.items():
            times[side].append(seconds(work))
    return times


def with_threads(threads: int, work: Callable[[], Any]) -> None:
    os.environ.update(thread_variables(threads))
    work()
    os.environ.update(thread_variables(1))


def check(model: StaticModel, theirs: Any, texts: list[str]) -> float:
    """Check the ids against the tokenizers package, and return the largest difference from model2vec's embeddings."""
    most = model.max_length * int(np.median([len(token) for token in model.tokens]))
    cut = [text[:most] for text in texts]
    expected = tokenize_batch(model.tokenizer, cut, model.max_length, unknown_id(model.tokenizer)).lists()
    if model.tokenize(texts, fast=True) != expected:
        raise SystemExit("the ids differ from those of the tokenizers package")
    difference = float(np.abs(model.encode(texts, fast=True) - theirs.encode(texts, use_multiprocessing=False)).max())
    if difference > 1e-6:
        raise SystemExit(f"an embedding differs from model2vec's by {difference}")
    return difference


def measure_kind(kind: str, tokenizer: Tokenizer, table: np.ndarray, rounds: int) -> list[dict[str, Any]]:
    import model2vec

    rows = []
    theirs = model2vec.StaticModel(table, tokenizer, normalize=True)
    for length, texts in texts_by_length().items():
        ours = StaticModel(table, tokenizer)
        assert ours.fast_path(), ours.fast_path()
        sides: dict[str, Callable[[list[str]], Any]] = {
            "ours": partial(ours.encode, fast=True),
            "theirs": partial(theirs.encode, use_multiprocessing=False),
        }
        size = max(1, len(texts) // 10)
        parts = [texts[start : start + size] for start in range(0, len(texts), size)]
        # a text is new only once, so alternate in parts
        first = dict.fromkeys(sides, 0.0)
        for part in parts:
            for side, encode in sides.items():
                first[side] += seconds(partial(encode, part))
        known = {side: partial(encode, texts) for side, encode in sides.items()}
        again = alternately(known, rounds)
        # separately and longer, as interference counts double with two threads
        many = partial(ours.encode, 8 * texts, fast=True)
        by_threads = alternately(
            {f"ours, {threads} threads": partial(with_threads, threads, many) for threads in (1, 2)}, rounds
        )
        rows.append(
            {
                "tokenizer": kind,
                "length": length,
                "texts": len(texts),
                "tokens_per_text": float(np.mean([len(ids) for ids in ours.tokenize(texts, fast=True)])),
                "megabytes": sum(len(text.encode()) for text in texts) / 1e6,
                "first": first,
                "seconds": {**again, **by_threads},
                "largest_difference": check(ours, theirs, texts),
            }
        )
        print(f"{kind}, {length}: {ratio(rows[-1]):.1f}x", file=sys.stderr, flush=True)
    return rows


def measure_dtypes(tokenizer: Tokenizer, table: np.ndarray, rounds: int) -> dict[str, Any]:
    """Time the model with rows of each dtype, alternately, on texts of medium length."""
    texts = texts_by_length()["medium"]
    by_dtype = {}
    for name in ("float32", "float16", "int8"):
        rows = np.clip(np.round(table * 127 / np.abs(table).max()), -127, 127) if name == "int8" else table
        by_dtype[name] = StaticModel(rows.astype(name), tokenizer)
        by_dtype[name].encode(texts, fast=True)
    return alternately({name: partial(model.encode, texts, fast=True) for name, model in by_dtype.items()}, rounds)


def measure_processes(model: StaticModel, folder: Path, rounds: int) -> dict[str, Any]:
    """Measure time to the first sentence and memory of a million short texts, in separate processes."""
    model.save_pretrained(folder / "model")
    words = folder / "words.txt"
    words.write_text(" ".join(texts_by_length()["short"]), encoding="utf-8")

    def run(code: str, *arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True
        ).stdout

    cold: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(max(rounds, 5)):
        for side, times in cold.items():
            times.append(float(run(_COLD, side, str(folder / "model"))))
    return {"first_sentence": cold, "million": json.loads(run(_MEMORY, str(folder / "model"), str(words)))}


def ratio(row: dict[str, Any]) -> float:
    """Return the speed relative to model2vec, median over the rounds."""
    times = row["seconds"]
    return statistics.median(b / a for a, b in zip(times["ours"], times["theirs"], strict=True))


def table(result: dict[str, Any]) -> str:
    """Format the measurements as Markdown."""
    machine, rows = result["hardware"], result["encode"]
    median = statistics.median
    lines = [
        f"`make bench-speed` on {machine['processor']}, {machine['cores']} cores, {machine['system']}; {DIMS} "
        f"dimensions, float32, one thread, {len(rows[0]['seconds']['ours'])} alternating rounds, medians:",
        "",
        "| Tokenizer | Tokens per text | model2vec 0.10 | m2v_bench | Ratio | Texts seen for the first time "
        "| Two threads |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        times, n = row["seconds"], row["texts"]
        new = row["first"]["theirs"] / row["first"]["ours"]
        both = median(times["ours, 1 threads"]) / median(times["ours, 2 threads"])
        lines.append(
            f"| {row['tokenizer']} | {row['tokens_per_text']:.0f} | {n / median(times['theirs']):,.0f} texts/s "
            f"| {n / median(times['ours']):,.0f} texts/s, {row['megabytes'] / median(times['ours']):.0f} MB/s "
            f"| {ratio(row):.1f} | {new:.1f} | {both:.2f} |"
        )
    types, cold = result["dtypes"], result["processes"]["first_sentence"]
    million = result["processes"]["million"]
    worst = max(row["largest_difference"] for row in rows)
    lines += [
        "",
        "- two threads: speedup over one thread on eight times the texts, alternating",
        "- token ids equal those of the tokenizers package on every text; embeddings differ from model2vec's by at "
        f"most {worst:.1e}",
        "- float16 and int8 rows: "
        + " and ".join(f"{median(types['float32']) / median(types[name]):.2f}" for name in ("float16", "int8"))
        + " times float32's speed",
        f"- first sentence in a new process: {median(cold['ours']):.2f} s, model2vec "
        f"{median(cold['theirs']):.2f} s, ratio {median(cold['ours']) / median(cold['theirs']):.2f}",
        f"- a million short texts: {(million['after'] - million['before'] - million['output']) / 1e6:.0f} MB in "
        f"addition to {million['output'] / 1e6:.0f} MB of embeddings",
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare embedding speed with model2vec 0.10.")
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds (default 5)")
    rounds = parser.parse_args().rounds
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    all_texts = [text for texts in texts_by_length().values() for text in texts]
    result: dict[str, Any] = {"hardware": hardware(), "versions": versions(), "encode": []}
    for kind, tokenizer, rows in tables(all_texts):
        result["encode"] += measure_kind(kind, tokenizer, rows, rounds)
        if kind == "WordPiece":
            result["dtypes"] = measure_dtypes(tokenizer, rows, rounds)
            with tempfile.TemporaryDirectory() as folder:
                small = StaticModel(rows.astype(np.float32), tokenizer)
                result["processes"] = measure_processes(small, Path(folder), rounds)
    write("encode", result, table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
