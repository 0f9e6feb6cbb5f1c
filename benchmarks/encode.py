"""Compare embedding speed with model2vec 0.10.

    python -m benchmarks.encode [--rounds N]

Both sides run alternately in one process, on the same models and real texts of three lengths: the documents of ArguAna
and SciFact in `$M2V_BENCH_TEST_DATA`/hub, on which no tokenizer was trained. First with a model that has seen no text,
then with one that has seen as many others, then on the same texts again. Loading is measured in separate processes.
Prints a table and writes it to results/bench/encode.md and .json. All ids are compared with those of the `tokenizers`
package, and all embeddings with those of model2vec.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from benchmarks.output import FOLDER, write
from m2v_bench import StaticModel, distill
from m2v_bench.assets.fetch import fetch
from m2v_bench.inference.tokenizer import Batch, flatten, tokenize_batch, unknown_id
from m2v_bench.system.environment import hardware, versions
from m2v_bench.system.threads import thread_variables
from tests.conftest import TEST_DATA

ROOT = Path(__file__).parents[1]
DIMS = 256
SHORTEST = 30  # characters of a sentence
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


def training_texts() -> list[str]:
    """Read the texts on which tokenizers are trained."""
    names = ("wikisplit_sentences", "enwiki_paragraphs")
    return [text for name in names for text in pd.read_parquet(TEST_DATA / "speed" / f"{name}.parquet")["text"]]


def texts_by_length() -> dict[str, list[str]]:
    """Read real texts of about 10, 200 and 500 tokens."""
    arguments, abstracts = (_corpus(name) for name in ("ArguAna", "SciFact"))
    sentences = [one for text in [*arguments, *abstracts] for one in text.split(". ") if len(one) > SHORTEST]
    random.Random(0).shuffle(sentences)
    return {
        "short": [" ".join(sentence.split()[:8]) for sentence in sentences[:40_000]],
        "medium": arguments,
        "long": [" ".join(abstracts[start : start + 2]) for start in range(0, len(abstracts) - 1, 2)],
    }


def _corpus(name: str) -> list[str]:
    from benchmarks.scoring import suite_of  # imports this module

    (entry,) = suite_of([name])
    task: Any = entry.load()
    (by_split,) = task.dataset.values()
    return list(by_split["test"]["corpus"]["text"])


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


@contextmanager
def phases() -> Iterator[dict[str, float]]:
    """Time the compiled loops: seconds by phase."""
    from m2v_bench.inference.fast import fast_embeddings, fast_tokenizer

    spent = {"splitting": 0.0, "looking up": 0.0, "summing": 0.0}

    def timed(phase: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            started = time.perf_counter()
            try:
                return work(*arguments)
            finally:
                spent[phase] += time.perf_counter() - started

        return run

    def proxy(module: Any, name: str, phase: str) -> SimpleNamespace:
        return SimpleNamespace(**{**vars(module), name: timed(phase, getattr(module, name))})

    tokenizer, embeddings = vars(fast_tokenizer), vars(fast_embeddings)
    stock = tokenizer["split_kernels"], tokenizer["kernels"], embeddings["mean_kernel"]
    tokenizer["split_kernels"] = proxy(stock[0], "split", "splitting")
    tokenizer["kernels"] = proxy(stock[1], "look_up", "looking up")
    embeddings["mean_kernel"] = proxy(stock[2], "mean", "summing")
    try:
        yield spent
    finally:
        tokenizer["split_kernels"], tokenizer["kernels"], embeddings["mean_kernel"] = stock


def gather(table: np.ndarray, ids: Sequence[Sequence[int]]) -> Callable[[], None]:
    """Return the lower bound of an embedding: a loop that averages and normalizes the rows of known ids."""
    from m2v_bench.inference.fast.fast_embeddings import FastEmbeddings

    flat, offsets = flatten(ids)
    batch, embeddings = Batch(slice(0, len(ids)), flat, offsets[:-1], offsets[1:]), FastEmbeddings(table, None, None)
    return lambda: embeddings.mean(batch, out=np.empty((len(ids), table.shape[1]), np.float32), normalize=True)


def measure_kind(kind: str, tokenizer: Tokenizer, table: np.ndarray, rounds: int) -> list[dict[str, Any]]:
    import model2vec

    rows = []
    theirs = model2vec.StaticModel(table, tokenizer, normalize=True)
    for length, both in texts_by_length().items():
        half = len(both) // 2
        seen, texts = both[:half], both[half:]
        embed_theirs = partial(theirs.encode, texts, use_multiprocessing=False)
        times: dict[str, list[float]] = {"theirs": [], "fresh": [], "warm": [], "again": []}
        for _ in range(rounds):
            for side, before in (("fresh", ["a"]), ("warm", seen)):
                ours = StaticModel(table, tokenizer)
                assert ours.fast_path(), ours.fast_path()
                ours.encode(before, fast=True)
                times[side].append(seconds(partial(ours.encode, texts, fast=True)))
            times["theirs"].append(seconds(embed_theirs))
            times["again"].append(seconds(partial(ours.encode, texts, fast=True)))
        shares: dict[str, dict[str, float]] = {}
        for side, model in (("fresh", StaticModel(table, tokenizer)), ("again", ours)):
            model.fast_path()
            with phases() as spent:
                in_all = seconds(partial(model.encode, texts, fast=True))
            shares[side] = {phase: value / in_all for phase, value in spent.items()}
        floor = alternately({"floor": gather(table, ours.tokenize(texts, fast=True))}, rounds)
        # separately, longer and more often, as interference counts double with two threads
        many = partial(ours.encode, 8 * texts, fast=True)
        by_threads = alternately(
            {f"ours, {threads} threads": partial(with_threads, threads, many) for threads in (1, 2)}, 2 * rounds + 1
        )
        rows.append(
            {
                "tokenizer": kind,
                "length": length,
                "texts": len(texts),
                "tokens_per_text": float(np.mean([len(ids) for ids in ours.tokenize(texts, fast=True)])),
                "megabytes": sum(len(text.encode()) for text in texts) / 1e6,
                "seconds": {**times, **floor, **by_threads},
                "shares": shares,
                "largest_difference": check(ours, theirs, texts),
            }
        )
        print(f"{kind}, {length}: {ratio(rows[-1]['seconds'], 'fresh'):.1f}x", file=sys.stderr, flush=True)
    return rows


def measure_dtypes(tokenizer: Tokenizer, table: np.ndarray, rounds: int) -> dict[str, Any]:
    """Time the model with rows of each dtype, alternately, on long texts that it has seen."""
    texts = texts_by_length()["long"]
    by_dtype = {}
    for name in ("float32", "float16", "int8"):
        rows = np.clip(np.round(table * 127 / np.abs(table).max()), -127, 127) if name == "int8" else table
        by_dtype[name] = StaticModel(rows.astype(name), tokenizer)
        by_dtype[name].encode(texts, fast=True)
    sides = {name: partial(model.encode, texts, fast=True) for name, model in by_dtype.items()}
    return alternately(sides, 4 * rounds + 1)  # as differences are small


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


def ratio(times: dict[str, list[float]], side: str, to: str = "theirs") -> float:
    """Return how many times as fast a side is as another, median over the rounds."""
    return statistics.median(b / a for a, b in zip(times[side], times[to], strict=True))


def table(result: dict[str, Any]) -> str:
    """Format the measurements as Markdown."""
    machine, rows = result["hardware"], result["encode"]
    median = statistics.median
    lines = [
        f"`make bench-speed` on {machine['processor']}, {machine['cores']} cores, {machine['system']}; {DIMS} "
        f"dimensions, float32, one thread, {len(rows[0]['seconds']['again'])} alternating rounds, medians; speed as a "
        "multiple of model2vec 0.10's:",
        "",
        "| Tokenizer | Tokens per text | model2vec 0.10 | New texts, fresh model | New texts, warm model "
        "| The same texts again | Rows alone | Two threads |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        times, n = row["seconds"], row["texts"]
        both = ratio(times, "ours, 2 threads", "ours, 1 threads")
        lines.append(
            f"| {row['tokenizer']} | {row['tokens_per_text']:.0f} | {n / median(times['theirs']):,.0f} texts/s "
            f"| {ratio(times, 'fresh'):.1f}: {n / median(times['fresh']):,.0f} texts/s "
            f"| {ratio(times, 'warm'):.1f} | {ratio(times, 'again'):.1f} | {ratio(times, 'floor'):.1f} | {both:.2f} |"
        )
    lines += [
        "",
        "| Share of the time, new texts (the same again) | Tokens per text | Splitting | Looking up | Summing | Rest |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        cells = []
        for phase in ("splitting", "looking up", "summing"):
            cells.append(" ".join((f"{row['shares']['fresh'][phase]:.0%}", f"({row['shares']['again'][phase]:.0%})")))
        rest = [1 - sum(row["shares"][side].values()) for side in ("fresh", "again")]
        cells.append(f"{rest[0]:.0%} ({rest[1]:.0%})")
        lines.append(f"| {row['tokenizer']} | {row['tokens_per_text']:.0f} | {' | '.join(cells)} |")
    types, cold = result["dtypes"], result["processes"]["first_sentence"]
    million = result["processes"]["million"]
    worst = max(row["largest_difference"] for row in rows)
    lines += [
        "",
        "- texts of ArguAna and SciFact, on which no tokenizer was trained; a warm model has seen as many other texts",
        "- rows alone: a loop that averages and normalizes the rows of ids that are known",
        "- two threads: speedup over one thread on eight times the texts, seen before, alternating",
        "- token ids equal those of the tokenizers package on every text; embeddings differ from model2vec's by at "
        f"most {worst:.1e}",
        "- float16 and int8 rows: "
        + " and ".join(f"{ratio(types, name, 'float32'):.2f}" for name in ("float16", "int8"))
        + " times float32's speed on long texts seen before",
        f"- first sentence in a new process: {median(cold['ours']):.2f} s, model2vec "
        f"{median(cold['theirs']):.2f} s, ratio {median(cold['ours']) / median(cold['theirs']):.2f}",
        f"- a million short texts: {(million['after'] - million['before'] - million['output']) / 1e6:.0f} MB in "
        f"addition to {million['output'] / 1e6:.0f} MB of embeddings",
    ]
    return "\n".join(lines)


def parsed_rounds(description: str) -> int:
    """Parse the command line, limit the tokenizers package to one thread, and return the number of rounds."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds (default 5)")
    rounds: int = parser.parse_args().rounds
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    return rounds


def main() -> int:
    rounds = parsed_rounds("Compare embedding speed with model2vec 0.10.")
    result: dict[str, Any] = {"hardware": hardware(), "versions": versions(), "encode": []}
    for kind, tokenizer, rows in tables(training_texts()):
        result["encode"] += measure_kind(kind, tokenizer, rows, rounds)
        if kind == "WordPiece":
            result["dtypes"] = measure_dtypes(tokenizer, rows, rounds)
            with tempfile.TemporaryDirectory() as folder:
                small = StaticModel(rows.astype(np.float32), tokenizer)
                result["processes"] = measure_processes(small, Path(folder), rounds)
    write("encode", result, table(result))
    ratios = [ratio(row["seconds"], "fresh") for row in result["encode"]]
    (FOLDER / "encode-new.md").write_text(
        f"On one thread, texts that a model has not seen are embedded {min(ratios):.0f} to {max(ratios):.0f} times as "
        "fast as by model2vec 0.10 (`make bench-speed`).\n",
        encoding="utf-8",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
