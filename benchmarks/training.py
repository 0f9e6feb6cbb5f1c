"""Compare throughput and memory of training with tokenlearn 0.2.1.

    python -m benchmarks.training CORPUS.parquet [--texts N] [--rounds N]

Both sides run alternately in separate processes for one epoch over the same texts and targets, random ones, as they
cost the same: all-MiniLM-L6-v2's vocabulary in 256 dimensions, mean squared error, a factor per token, two threads.
Imports, tokenization and distillation are not timed. Creates the environment of tokenlearn in `.golden/` if missing.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.distill import HEAD, run
from benchmarks.output import write
from m2v_bench.assets.fetch import fetch
from m2v_bench.system.environment import hardware
from scripts.golden import environment, install

TOKENLEARN, MODEL2VEC = "0.2.1", "0.10.0"
THEIRS = f"tokenlearn-{TOKENLEARN}"
DIMS = 256
_DATA = """
import numpy as np
with open(sys.argv[1]) as file:
    texts = json.load(file)
targets = np.random.default_rng(0).standard_normal((len(texts), 256)).astype(np.float32)
batch_size = int(sys.argv[3])
"""
_THEIRS = (
    _DATA
    + """
from model2vec import StaticModel
from tokenlearn.pretrain import TextDataset, train_supervised
model = StaticModel.from_pretrained(sys.argv[2])
model.embedding = model.embedding.astype(np.float32)
class OneEpoch(TextDataset):
    def to_dataloader(self, **how):
        loader = super().to_dataloader(**how)
        class Once:
            def __iter__(self):
                yield from loader
                self.seconds = time.perf_counter() - started
                raise KeyboardInterrupt  # which ends their training after the epoch
            def __len__(self):
                return len(loader) + 1  # so that they do not validate
        self.once = Once()
        return self.once
training = OneEpoch(texts, torch.from_numpy(targets), model.tokenizer)
validation = TextDataset(texts[:8], torch.from_numpy(targets[:8]), model.tokenizer)
started = time.perf_counter()
train_supervised(training, validation, model, device="cpu", batch_size=batch_size)
report(seconds=training.once.seconds, texts=len(texts))
"""
)
_OURS = (
    _DATA
    + """
from m2v_bench import StaticModel
from m2v_bench.distillation.training import fit as fit_module
from m2v_bench.distillation.training.training_config import TrainingConfig
from m2v_bench.distillation.training.training_texts import tokenize
model = StaticModel.from_pretrained(sys.argv[2])
bags = tokenize(model.tokenizer, texts)
config = TrainingConfig(loss="mse", token_weights=True, corpus="unused", batch_size=batch_size, epochs=1, held_out=1e-6)
steps = []
step = fit_module._Task.step
def timed(self, batch):
    steps.append(time.perf_counter())
    return step(self, batch)
fit_module._Task.step = timed
rows = model.table.astype(np.float32, copy=False)
fit_module.fit(rows, bags, targets, config.resolved(), seed=1, show_progress=False)
seconds = (steps[-1] - steps[0]) * len(steps) / (len(steps) - 1)
report(seconds=seconds, texts=len(steps) * batch_size)
"""
)


def measure(corpus: Path, n_texts: int, rounds: int) -> list[dict[str, Any]]:
    """Return a row per batch size: texts per second and peak memory of both sides, medians over the rounds."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        from m2v_bench import distill

        model = str(Path(folder) / "model")
        distill("all-MiniLM-L6-v2", pca_dims=DIMS, quantize_to="float32").save_pretrained(model)
        texts = Path(folder) / "texts.json"  # reading the corpus itself would take as much memory as training
        texts.write_text(json.dumps(pd.read_parquet(corpus, columns=["text"])["text"].head(n_texts).tolist()))
        for batch_size in (256, 512):
            arguments = [str(texts), model, str(batch_size)]
            both: dict[str, list[dict[str, Any]]] = {"ours": [], "theirs": []}
            for number in range(rounds):
                both["theirs"].append(run(environment(THEIRS), _THEIRS, *arguments, head=HEAD))
                both["ours"].append(run(sys.executable, _OURS, *arguments, head=HEAD))
                print(f"batches of {batch_size}, round {number + 1}: {both}", flush=True)
            row: dict[str, Any] = {"batch": batch_size}
            for side, reports in both.items():
                row[f"{side}_texts_per_second"] = statistics.median(one["texts"] / one["seconds"] for one in reports)
                row[f"{side}_peak_mb"] = statistics.median(one["peak_mb"] for one in reports)
            rows.append(row)
    return rows


def table(rows: list[dict[str, Any]], n_texts: int, corpus: Path) -> str:
    """Render the rows in Markdown."""
    lines = [
        f"| Texts per step | tokenlearn {TOKENLEARN} (texts/s) | m2v_bench (texts/s) | Ratio | tokenlearn (MB) | "
        "m2v_bench (MB) | Ratio |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        fast, slow = row["ours_texts_per_second"], row["theirs_texts_per_second"]
        small, large = row["ours_peak_mb"], row["theirs_peak_mb"]
        cells = [f"{slow:,.0f}", f"{fast:,.0f}", f"{fast / slow:.1f}", f"{large:,.0f}", f"{small:,.0f}"]
        lines.append(f"| {row['batch']} | {' | '.join(cells)} | {small / large:.2f} |")
    machine = hardware()
    lines += [
        "",
        f"{n_texts:,} texts of {corpus.name}, one epoch; memory is the peak of the whole process with texts and "
        f"targets; {machine['processor']}, 2 threads.",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure and write results/bench/training.md and .json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="a parquet file with a column text")
    parser.add_argument("--texts", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    fetch(["all-MiniLM-L6-v2"])
    install(THEIRS, [f"tokenlearn=={TOKENLEARN}", f"model2vec=={MODEL2VEC}", "pyarrow"])
    rows = measure(arguments.corpus.resolve(), arguments.texts, arguments.rounds)
    write("training", rows, table(rows, arguments.texts, arguments.corpus))


if __name__ == "__main__":
    main()
