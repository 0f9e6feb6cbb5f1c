"""Compare the time of scoring a static model with stock mteb and model2vec 0.10.

    python -m benchmarks.scoring [TASK ...] [--rounds N] [--threads N ...] [--variants N]

Both sides score the same model alternately in one process, on the dataset repositories of
`$M2V_BENCH_TEST_DATA`/hub and on a generated retrieval corpus: stock `mteb.evaluate` with mteb's wrapper of model2vec,
and the evaluation of a run. Model and data are loaded before; embedding, scoring and the result file count.

Then a sweep of 24 variants (6 PCA sizes x 4 SIF coefficients) is run, caches empty, beside the first `--variants` of
them as a script does it: model2vec's `distill` and `mteb.evaluate` for each. Prints tables and writes
results/bench/scoring.md and .json. What is not measured this time is kept from there if machine and versions are the
same.
"""

import argparse
import copy
import functools
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mteb
import numpy as np
from datasets import Dataset
from mteb.abstasks import AbsTask, AbsTaskRetrieval
from mteb.cache import ResultCache
from mteb.models.model_implementations.model2vec_models import Model2VecModel

from benchmarks.encode import alternately
from benchmarks.output import FOLDER, write
from benchmarks.parity import test_data
from benchmarks.scale.measure import run_sweep
from benchmarks.scale.scores import real_texts, student
from m2v_bench.assets.fetch import fetch
from m2v_bench.evaluation.columns import use_columns
from m2v_bench.evaluation.evaluate import Session, evaluate
from m2v_bench.evaluation.mteb_encoder import MtebEncoder
from m2v_bench.evaluation.store import Store
from m2v_bench.inference.static_model import StaticModel
from m2v_bench.models import Model
from m2v_bench.models.static import StaticEncoder
from m2v_bench.system.environment import hardware, versions
from m2v_bench.system.quiet import quiet
from m2v_bench.system.threads import limit_threads
from m2v_bench.tasks import SuiteTask, load_suite
from m2v_bench.tasks.own_task import own_metadata

BASE = "all-MiniLM-L6-v2"
DOCUMENTS, QUERIES = 200_000, 3_000
PCA_DIMS, SIF_COEFFICIENTS = (32, 64, 128, 192, 256, 384), (1e-5, 1e-4, 1e-3, 1e-2)
MOST_ROUNDS = 9  # limit for tasks that take a fraction of a second
# Every task whose data is in `$M2V_BENCH_TEST_DATA`/hub.
HUB_TASKS: tuple[Any, ...] = (
    {"name": "AmazonCounterfactualClassification", "subsets": ["en"]},
    "Banking77Classification",
    {"name": "MTOPDomainClassification", "subsets": ["en"]},
    {"name": "MassiveIntentClassification", "subsets": ["en"]},
    {"name": "MassiveScenarioClassification", "subsets": ["en"]},
    "TweetSentimentExtractionClassification",
    "TwitterURLCorpus",
    "TwentyNewsgroupsClustering",
    "StandInWikiQAReranking",
    "STS12",
    "STS14",
    "STS15",
    "STS16",
    "STSBenchmark",
    "SummEval",
    "ArguAna",
    "SciFact",
)
TASKS = (*HUB_TASKS, "GeneratedRetrieval")
# Types whose tasks are summed up together.
KINDS = (
    ("Classification",),
    ("PairClassification",),
    ("Clustering",),
    ("Reranking", "STS", "Summarization"),
    ("Retrieval",),
)


class GeneratedRetrieval(AbsTaskRetrieval):
    """Find the document that contains a sentence: documents of three real sentences each."""

    metadata = own_metadata("GeneratedRetrieval", "Retrieval", "ndcg_at_10", "generated", path="generated")

    def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:
        """Draw the documents, and of some of them a sentence as the query."""
        sentences = real_texts()["sentences"]
        rng = np.random.default_rng(0)
        parts = rng.integers(0, len(sentences), (DOCUMENTS, 3))
        chosen = rng.choice(DOCUMENTS, QUERIES, replace=False).tolist()
        corpus = {
            "id": [f"document-{number}" for number in range(DOCUMENTS)],
            "title": [" ".join(sentences[row[0]].split()[:3]) for row in parts],
            "text": [" ".join(sentences[part] for part in row) for row in parts],
        }
        queries = {
            "id": [f"query-{number}" for number in chosen],
            "text": [sentences[parts[number][1]] for number in chosen],
        }
        self.dataset = {
            "default": {
                "test": {
                    "corpus": Dataset.from_dict(corpus),
                    "queries": Dataset.from_dict(queries),
                    "relevant_docs": {f"query-{number}": {f"document-{number}": 1} for number in chosen},
                    "top_ranked": None,
                }
            }
        }
        self.data_loaded = True


class StandInWikiQAReranking(AbsTaskRetrieval):
    """Rank the sentences of an article by whether they answer a question."""

    metadata = own_metadata(
        "StandInWikiQAReranking", "Reranking", "map_at_1000", "", path="stand-in/wikiqa-reranking", revision="1" * 40
    )


def suite_of(names: Sequence[Any]) -> list[SuiteTask]:
    """Return the tasks, without data."""
    from m2v_bench.tasks.hub import localize

    hub = test_data().resolve() / "hub"
    suite = []
    for name in names:
        own = {cls.__name__: cls for cls in (GeneratedRetrieval, StandInWikiQAReranking)}.get(str(name))
        if own is None:
            suite += load_suite(
                benchmark=None, tasks=[name], languages=["eng"], splits=["test"], hub_dir=str(hub), seed=42
            )
            continue
        task = own(seed=42)
        missing = [] if own is GeneratedRetrieval else localize(task, hub)
        suite.append(SuiteTask(task, task.metadata.name, task.metadata.type, ", ".join(missing) or None))
    return suite


@dataclass(frozen=True)
class Loaded(SuiteTask):
    """A task of a suite whose data is already loaded."""

    data: AbsTask | None = None

    def load(self) -> AbsTask:
        """Return a copy that starts with the same random state."""
        assert self.data is not None
        return fresh(self.data)


def fresh(task: AbsTask) -> AbsTask:
    task = copy.copy(task)
    task.rng_state, task.np_rng = copy.deepcopy((task.rng_state, task.np_rng))
    return task


def stock(model: Model2VecModel, task: AbsTask) -> float:
    """Score a model as a script with mteb and model2vec does, and return the main score."""
    with tempfile.TemporaryDirectory() as results:
        result = mteb.evaluate(
            model,
            fresh(task),
            cache=ResultCache(results),
            co2_tracker=False,
            encode_kwargs={"batch_size": 32, "show_progress_bar": False},
            show_progress_bar=False,
        )
    return float(result.task_results[0].get_score())


def ours(model: Model, encoder: MtebEncoder, entry: Loaded) -> float:
    """Score a model as a run does, and return the main score."""
    with tempfile.TemporaryDirectory() as results:
        session = Session(Store(Path(results)), 42, 32, debug=True)
        score = evaluate({model.label: encoder}, [model], [entry], session)[0]
    assert score.main_score is not None, score.reason
    return score.main_score


def compare(names: Sequence[Any], rounds: int, threads: Sequence[int]) -> list[dict[str, Any]]:
    """Time both sides on each task, alternately."""
    rows = []
    with tempfile.TemporaryDirectory() as scratch, quiet():
        model = student(Path(scratch) / "model", BASE)
        for entry in [*suite_of(["STSBenchmark"]), *suite_of(names)]:  # the first warms both sides up
            if entry.missing:
                print(f"{entry.name}: {entry.missing}", file=sys.stderr)
                continue
            task = entry.load()
            quick = copy.copy(task)
            use_columns(quick)
            for n_threads in threads:
                with limit_threads(n_threads):
                    row = compare_task(
                        model, task, Loaded(entry.task, entry.name, entry.type, data=quick), rounds, n_threads
                    )
                rows.append({"task": entry.name, "type": entry.type, "threads": n_threads, **row})
                print(f"{entry.name}, {n_threads} threads: {ratio([rows[-1]]):.1f}x", file=sys.stderr, flush=True)
    return rows[len(threads) :]


def compare_task(model: Model, task: AbsTask, entry: Loaded, rounds: int, threads: int) -> dict[str, Any]:
    """Return the seconds of both sides, and the difference of their scores."""
    seconds: dict[str, list[float]] = {"stock": [], "ours": []}
    scores: dict[str, float] = {}
    while len(seconds["stock"]) < rounds or (sum(seconds["stock"]) < 3 and len(seconds["stock"]) < MOST_ROUNDS):
        theirs, encoder = loaded(model, threads)  # a model that has seen no text
        sides: dict[str, Callable[[], Any]] = {
            "stock": lambda theirs=theirs: scores.update(stock=stock(theirs, task)),
            "ours": lambda encoder=encoder: scores.update(ours=ours(model, encoder, entry)),
        }
        for side, work in sides.items():
            with limit_threads(threads):  # model2vec leaves TOKENIZERS_PARALLELISM=false to whoever is next
                seconds[side] += alternately({side: work}, 1)[side]
    return {"seconds": seconds, "difference": abs(scores["stock"] - scores["ours"])}


def loaded(model: Model, threads: int) -> tuple[Model2VecModel, MtebEncoder]:
    """Load a saved model for both sides."""
    assert model.folder is not None
    theirs = Model2VecModel(str(model.folder))
    if threads == 1:  # model2vec embeds many texts in as many processes as there are processors
        theirs.model.encode = functools.partial(theirs.model.encode, use_multiprocessing=False)
    static = StaticModel.from_pretrained(model.folder)
    static.fast_path()
    return theirs, MtebEncoder(replace(model, load=lambda device: StaticEncoder(static)), seed=42)


def sweep(tasks: Sequence[Any], n_stock: int) -> dict[str, Any]:
    """Time a sweep over all variants, and `n_stock` of them as a script of a user."""
    from model2vec.distill import distill_from_model
    from transformers import AutoModel, AutoTokenizer

    teacher = fetch([BASE])[BASE]
    variants = list(itertools.product(PCA_DIMS, SIF_COEFFICIENTS))
    seconds: dict[str, list[float]] = {"ours": [], "stock": []}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        seconds["ours"].append(run_sweep(_overrides(tasks))["wall"])
        for number, (pca_dims, sif_coefficient) in enumerate(variants[:n_stock]):
            started = time.perf_counter()
            model = distill_from_model(
                AutoModel.from_pretrained(teacher),
                AutoTokenizer.from_pretrained(teacher),
                pca_dims=pca_dims,
                sif_coefficient=sif_coefficient,
                device="cpu",
            )
            model.save_pretrained(str(folder / f"stock-{number}"))
            theirs = Model2VecModel(str(folder / f"stock-{number}"))
            with quiet():
                for entry in suite_of(tasks):
                    stock(theirs, entry.load())
            seconds["stock"].append(time.perf_counter() - started)
            print(f"as a script: {seconds['stock'][-1]:.1f} s", file=sys.stderr, flush=True)
    return {"tasks": [_name(task) for task in tasks], "variants": variants, "seconds": seconds}


def _overrides(tasks: Sequence[Any]) -> list[str]:
    settings = {
        "pca_dims": ",".join(map(str, PCA_DIMS)),
        "sif_coefficient": ",".join(map(str, SIF_COEFFICIENTS)),
        "suite": "custom",
        "suite.tasks": json.dumps(tasks).replace('"', ""),
        "hub_dir": test_data().resolve() / "hub",
        "baseline": "[]",
    }
    return ["-m", *(f"{name}={value}" for name, value in settings.items())]


def ratio(rows: Sequence[dict[str, Any]]) -> float:
    """Return how many times as long the stock side takes in all."""
    total = {side: sum(statistics.median(row["seconds"][side]) for row in rows) for side in ("stock", "ours")}
    return total["stock"] / total["ours"]


def table(result: dict[str, Any]) -> str:
    """Format the measurements as Markdown."""
    machine, rows = result["hardware"], result["tasks"]
    threads = sorted({row["threads"] for row in rows})
    lines = [
        f"`make bench-scoring` on {machine['processor']}, {machine['cores']} cores, {machine['system']}: seconds to "
        f"score a model of 256 dimensions after its data was loaded; stock is mteb {result['versions']['mteb']} with "
        "model2vec 0.10.",
        "",
        "| Task | Type | " + " | ".join(f"Stock, {n} thr. | m2v_bench | Ratio" for n in threads) + " |",
        "|---|---|" + "---:|---:|---:|" * len(threads),
    ]
    names = list(dict.fromkeys((row["task"], row["type"]) for row in rows))
    hub = [row for row in rows if row["task"] != "GeneratedRetrieval"]
    groups = [(name, kind, [row for row in rows if row["task"] == name]) for name, kind in names]
    groups += [
        (f"**{', '.join(kinds)}**", "", part)
        for kinds in KINDS
        if (part := [row for row in hub if row["type"] in kinds])
    ]
    groups += [("**all but GeneratedRetrieval**", "", hub)]
    for name, kind, group in groups:
        cells = []
        for n in threads:
            part = [row for row in group if row["threads"] == n]
            if not part:
                cells.append("- | - | -")
                continue
            seconds = {side: sum(statistics.median(row["seconds"][side]) for row in part) for side in ("stock", "ours")}
            cells.append(f"{seconds['stock']:.2f} | {seconds['ours']:.2f} | {ratio(part):.1f}")
        lines.append(f"| {name} | {kind} | {' | '.join(cells)} |")
    worst = max(row["difference"] for row in rows)
    rounds = [len(row["seconds"]["ours"]) for row in rows]
    lines += [
        "",
        f"Main scores of the two sides differ by at most {worst:.1e}; their embeddings differ by rounding. "
        f"GeneratedRetrieval: {DOCUMENTS:,} documents, {QUERIES:,} queries. "
        f"Medians of {min(rounds)} to {max(rounds)} alternating rounds.",
    ]
    if result.get("sweep"):
        lines += ["", *_sweep_lines(result["sweep"])]
    return "\n".join(lines)


def _sweep_lines(of_sweep: dict[str, Any]) -> list[str]:
    seconds, n = of_sweep["seconds"], len(of_sweep["variants"])
    (in_all,), per_variant = seconds["ours"], statistics.mean(seconds["stock"])
    script = per_variant * n
    return [
        f"A sweep of {n} variants ({len(PCA_DIMS)} PCA sizes x {len(SIF_COEFFICIENTS)} SIF coefficients) on "
        f"{len(of_sweep['tasks'])} tasks, {os.cpu_count()} threads, caches empty, with its report and MLflow: "
        f"{in_all:.0f} s. A script with model2vec's `distill` and `mteb.evaluate` takes {per_variant:.0f} s per "
        f"variant (mean of {len(seconds['stock'])}), so {script:.0f} s for {n}: {script / in_all:.1f} times as long."
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare scoring time with stock mteb and model2vec.")
    parser.add_argument("tasks", nargs="*", help="task names (default: all)")
    parser.add_argument("--rounds", type=int, default=1, help="alternating rounds (default 1)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="threads (default 1 2)")
    parser.add_argument("--variants", type=int, default=1, help="variants that stock scores; 0 leaves the sweep out")
    arguments = parser.parse_args()
    names = [name for name in TASKS if not arguments.tasks or _name(name) in arguments.tasks]
    result: dict[str, Any] = {"hardware": hardware(), "versions": versions()}
    kept = _kept(result)
    rows = {(row["task"], row["threads"]): row for row in kept.get("tasks", [])}
    rows |= {(row["task"], row["threads"]): row for row in compare(names, arguments.rounds, arguments.threads)}
    order = [_name(task) for task in TASKS]
    result["tasks"] = sorted(rows.values(), key=lambda row: (order.index(row["task"]), row["threads"]))
    if "sweep" in kept:
        result["sweep"] = kept["sweep"]
    if arguments.variants:
        # no task of mteb, so no task of a sweep
        tasks = [name for name in names if name in HUB_TASKS and name != "StandInWikiQAReranking"]
        result["sweep"] = sweep(tasks, arguments.variants)
    write("scoring", result, table(result))
    return 0


def _kept(result: dict[str, Any]) -> dict[str, Any]:
    """Return what was measured before on the same machine, with the same versions."""
    try:
        before: dict[str, Any] = json.loads((FOLDER / "scoring.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    same = all(before[part] == result[part] for part in ("hardware", "versions"))
    return before if same else {}


def _name(task: Any) -> str:
    return task if isinstance(task, str) else str(task["name"])


if __name__ == "__main__":
    sys.exit(main())
