"""Measure a search of generated corpora of up to a million documents, each in a process of its own.

    python -m benchmarks.scale.corpora MODEL SMALL_REPOSITORIES REPOSITORIES DOCUMENTS QUERIES

Prints a measurement as JSON.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from mteb.abstasks import AbsTaskRetrieval

from benchmarks.scale.scores import evaluation, real_texts, student
from benchmarks.scale.sizes import search_size
from m2v_bench.config.schema import BaselineConfig
from m2v_bench.models.static import static
from m2v_bench.system.memory import peak_of_process
from m2v_bench.system.threads import one_thread
from m2v_bench.tasks import SuiteTask
from m2v_bench.tasks.hub import localize
from m2v_bench.tasks.own_task import own_metadata

# documents and queries; more queries of one corpus tell the cost of a comparison from that of a document
SIZES = ((100_000, 1_000), (500_000, 1_000), (500_000, 5_000), (1_000_000, 1_000))
_SMALL = (1_000, 100)  # to warm up
_BLOCK = 100_000  # documents in memory while they are generated


class GeneratedSearch(AbsTaskRetrieval):
    """Find the document that contains a sentence; documents of two sentences are as long as those of MSMARCO."""

    metadata = own_metadata(
        "GeneratedSearch", "Retrieval", "ndcg_at_10", "", path="generated/search", revision="1" * 40
    )


def corpora() -> list[dict[str, Any]]:
    """Measure a distilled model on each size."""
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        model, small = student(Path(scratch) / "model").folder, Path(scratch) / "small"
        write(small / "generated" / "search", *_SMALL)
        for documents, queries in SIZES:
            hub = Path(scratch) / f"{documents}-{queries}"
            write(hub / "generated" / "search", documents, queries)
            arguments = [str(model), str(small), str(hub), str(documents), str(queries)]
            command = [sys.executable, "-m", "benchmarks.scale.corpora", *arguments]
            # `datasets` copies the corpus into the cache
            environment = {**os.environ, "M2V_BENCH_CACHE": str(Path(scratch) / "cache")}
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
            print(rows[-1], file=sys.stderr, flush=True)
    return rows


def write(folder: Path, documents: int, queries: int) -> None:
    """Write a dataset repository with the given numbers of documents and queries."""
    sentences = np.array(real_texts()["sentences"], dtype=object)
    rng = np.random.default_rng(0)
    for part in ("corpus", "queries", "default"):
        (folder / part).mkdir(parents=True)
    schema = pa.schema({"_id": pa.string(), "title": pa.string(), "text": pa.string()})
    step = documents // queries
    asked = []
    with pq.ParquetWriter(folder / "corpus" / "corpus.parquet", schema) as file:
        for start in range(0, documents, _BLOCK):
            numbers = np.arange(start, min(start + _BLOCK, documents))
            parts = sentences[rng.integers(0, len(sentences), (2, len(numbers)))]
            asked += parts[1][numbers % step == 0].tolist()
            rows = {"_id": [f"d{n}" for n in numbers], "title": [""] * len(numbers), "text": parts[0] + " " + parts[1]}
            file.write_table(pa.table(rows, schema))
    asked = asked[:queries]
    ids = [f"q{number}" for number in range(len(asked))]
    pd.DataFrame({"_id": ids, "text": asked}).to_parquet(folder / "queries" / "queries.parquet")
    relevant = {"query-id": ids, "corpus-id": [f"d{number * step}" for number in range(len(ids))], "score": 1}
    pd.DataFrame(relevant).to_parquet(folder / "default" / "test.parquet")
    configs = (("corpus", "corpus", "corpus"), ("queries", "queries", "queries"), ("default", "test", "test"))
    lines = ["---", "configs:"]
    for config, split, file_name in configs:
        lines += [f"- config_name: {config}", "  data_files:", f"  - split: {split}"]
        lines += [f"    path: {config}/{file_name}.parquet"]
    (folder / "README.md").write_text("\n".join([*lines, "---"]) + "\n", encoding="utf-8")


def main() -> int:
    folder, small, hub = sys.argv[1:4]
    documents, queries = map(int, sys.argv[4:])
    model = static("model", BaselineConfig(kind="static", name=folder))
    # warm up: the first evaluation in a process imports modules, which counts as its start
    for repositories, size in ((small, _SMALL), (hub, (documents, queries))):
        task = GeneratedSearch(seed=42)
        localize(task, Path(repositories))
        entry = SuiteTask(task, task.metadata.name, task.metadata.type)
        searched = search_size(texts=0, characters=0, documents=size[0], queries=size[1])
        with one_thread():
            row = evaluation(entry, model, 1.0, searched)
    row |= {"documents": documents, "peak_rss_bytes": peak_of_process()}
    print(json.dumps(row))
    return 0


if __name__ == "__main__":
    sys.exit(main())
