"""Compare time and memory of distillation with `model2vec.distill` 0.10.

    python -m benchmarks.distill [--rounds N] [--glove]

Both sides run alternately in separate processes, on all-MiniLM-L6-v2 with the model's vocabulary and two threads;
imports are not timed. Prints a table and writes it to results/bench/distill.md and .json. Creates the environment of
model2vec 0.10 if missing. `--glove` adds the 400,000 words of GloVe.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.output import write
from m2v_bench.assets.fetch import fetch
from m2v_bench.errors import BenchError
from m2v_bench.system.environment import hardware
from scripts.golden import environment, make_environment
from tests.golden.cases import RELEASES

ROOT = Path(__file__).parents[1]
BASE = "all-MiniLM-L6-v2"
THEIRS = "0.10.0"
HEAD = """
import json, sys, time
import torch
from m2v_bench.system.memory import peak_of_process
torch.set_num_threads(2)
def report(**values):
    print(json.dumps({**values, "peak_mb": peak_of_process() / 2**20}))
"""
_DISTIL = HEAD + "from transformers import AutoModel, AutoTokenizer, BertModel, BertTokenizerFast\n"
_THEIRS = """
from model2vec.distill import distill
started = time.perf_counter()
distill(sys.argv[1])
report(seconds=time.perf_counter() - started)
"""
_OURS = """
from m2v_bench.distillation.distill import run_recipe
from m2v_bench.distillation.distill_config import DistillConfig
from m2v_bench.distillation.recipe import make_recipe
started = time.perf_counter()
recipe = make_recipe("all-MiniLM-L6-v2", DistillConfig(precision=sys.argv[1]))
done = run_recipe(recipe, device="cpu", show_progress=False)
report(seconds=time.perf_counter() - started, forward=done.seconds["forward"], tokens=len(done.model.table))
"""
_VARIANTS = """
from m2v_bench import distill
distill("all-MiniLM-L6-v2", pca_dims="auto", device="cpu", show_progress=False)
seconds = []
for dims in (16, 32, 64, 128, 256, 384):
    for weighting, a in (("none", 1e-4), ("zipf_log", 1e-4), ("sif", 1e-4), ("sif", 1e-3)):
        started = time.perf_counter()
        distill("all-MiniLM-L6-v2", pca_dims=dims, weighting=weighting, sif_coefficient=a, show_progress=False)
        seconds.append(time.perf_counter() - started)
report(seconds=seconds)
"""
_GLOVE = """
from m2v_bench.distillation.distill import run_recipe
from m2v_bench.distillation.distill_config import DistillConfig
from m2v_bench.distillation.recipe import make_recipe
started = time.perf_counter()
done = run_recipe(make_recipe("all-MiniLM-L6-v2", DistillConfig(vocabulary="glove")), device="cpu")
report(seconds=time.perf_counter() - started, words=str(done.words))
"""
_PEAK = """
from torch.utils.flop_counter import FlopCounterMode
from m2v_bench.distillation.teacher import find_base
from m2v_bench.distillation.forward import product_rate
with FlopCounterMode(display=False) as counter, torch.inference_mode():
    find_base("all-MiniLM-L6-v2").transformer()(input_ids=torch.full((512, 3), 2003))
rates = {name: product_rate(dtype, size=2048) for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16))}
report(**rates, gflop_per_token=counter.get_total_flops() / 512 / 1e9)
"""
_COSINE = """
import numpy as np
from m2v_bench import distill
one, other = (distill("all-MiniLM-L6-v2", pca_dims=None, weighting="none", quantize_to="float32", precision=precision,
                      device="cpu", show_progress=False).table for precision in ("fp32", "bf16"))
cosines = (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
report(smallest=float(cosines.min()))
"""


def run(
    python: Path | str, code: str, *arguments: str, cache: Path | None = None, head: str = _DISTIL
) -> dict[str, Any]:
    """Run code in a subprocess, after the imports of `head`, and return its report."""
    settings = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "2", "PYTHONPATH": str(ROOT)}
    if cache is not None:
        settings["M2V_BENCH_CACHE"] = str(cache)
    done = subprocess.run(
        [python, "-c", head + code, *arguments],
        env={**os.environ, **settings},
        check=False,
        stdout=subprocess.PIPE,
        text=True,
        stderr=None if code is _GLOVE else subprocess.PIPE,
    )
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def fresh_cache(folder: Path) -> Path:
    """Make a cache that holds only the assets."""
    cache = Path(tempfile.mkdtemp(dir=folder))
    (cache / "assets").symlink_to(fetch([BASE, "glove-6b-50d"])[BASE].parent)
    return cache


def starter_scores(precision: str, folder: Path) -> dict[str, float]:
    """Score a distilled model on the starter suite, by task."""
    out = folder / precision
    command = [sys.executable, "-m", "m2v_bench", "baseline=[]", "tracking=none", "device=cpu"]
    command.append(f"precision={precision}")
    subprocess.run([*command, f"results_dir={out}"], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    record = json.loads(next(out.glob("runs/*/record.json")).read_text(encoding="utf-8"))
    return {row["task"]: row["main_score"] for row in record["scores"]}


def offered(precision: str) -> bool:
    """Return whether this machine supports a precision."""
    from m2v_bench.distillation.forward import check_precision

    try:
        check_precision(precision, "cpu")
    except BenchError:
        return False
    return True


def measure(rounds: int, glove: bool, scratch: Path) -> dict[str, Any]:
    """Run all measurements."""
    model = str(fetch([BASE])[BASE])
    sides: dict[str, Callable[[], dict[str, Any]]] = {
        "model2vec 0.10": lambda: run(environment(THEIRS), _THEIRS, model),
        "fp32": lambda: run(sys.executable, _OURS, "fp32", cache=fresh_cache(scratch)),
    }
    if offered("bf16"):
        sides["bf16"] = lambda: run(sys.executable, _OURS, "bf16", cache=fresh_cache(scratch))
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    for number in range(rounds):
        for side, once in sides.items():
            runs[side].append(once())
            print(f"round {number + 1}, {side}: {runs[side][-1]['seconds']:.2f} s", file=sys.stderr, flush=True)
    result: dict[str, Any] = {"hardware": hardware(), "rounds": runs, "peak": run(sys.executable, _PEAK)}
    result["variants"] = run(sys.executable, _VARIANTS, cache=fresh_cache(scratch))
    if "bf16" in sides:
        result["smallest_cosine"] = run(sys.executable, _COSINE, cache=fresh_cache(scratch))["smallest"]
        scores = {precision: starter_scores(precision, scratch) for precision in ("fp32", "bf16")}
        result["scores"] = scores
    if glove:
        result["glove"] = run(sys.executable, _GLOVE, cache=fresh_cache(scratch))
    return result


def table(result: dict[str, Any]) -> str:
    """Format the measurements as Markdown."""
    rounds, peak, machine = result["rounds"], result["peak"], result["hardware"]
    theirs = rounds["model2vec 0.10"]

    def median(side: str, quantity: str) -> float:
        return statistics.median(values[quantity] for values in rounds[side])

    lines = [
        f"`make bench-distill` on {machine['processor']}, {machine['cores']} cores, {machine['system']}; {BASE}, own "
        f"vocabulary, 256 dimensions, median of {len(theirs)} alternating rounds:",
        "",
        "| | Total | of model2vec | Peak memory | of model2vec |",
        "|---|---:|---:|---:|---:|",
    ]
    for side in rounds:
        seconds, memory = median(side, "seconds"), median(side, "peak_mb")
        name = side if side == "model2vec 0.10" else f"m2v_bench, {side}"
        lines.append(
            f"| {name} | {seconds:.2f} s | {seconds / median('model2vec 0.10', 'seconds'):.2f} "
            f"| {memory:.0f} MB | {memory / median('model2vec 0.10', 'peak_mb'):.2f} |"
        )
    total = median("model2vec 0.10", "seconds")
    variants = result["variants"]["seconds"]
    lines += [
        "",
        f"- {len(variants)} further variants (6 PCA sizes x 4 weightings): {statistics.median(variants):.3f} s each, "
        f"the slowest {max(variants):.3f} s: {statistics.median(variants) / total:.1%} and {max(variants) / total:.1%} "
        "of a model2vec distillation",
    ]
    for side in rounds:
        if side != "model2vec 0.10":
            tokens = rounds[side][0]["tokens"]
            rate = peak["gflop_per_token"] * tokens / median(side, "forward")
            lines.append(
                f"- {side}: {tokens / median(side, 'forward'):,.0f} tokens per second, {rate:.0f} of the "
                f"{peak[side]:.0f} GFLOP/s that this machine's matrix product reaches ({rate / peak[side]:.0%})"
            )
    if "smallest_cosine" in result:
        both = result["scores"]
        largest = max(abs(both["fp32"][task] - both["bf16"][task]) for task in both["fp32"])
        lines.append(
            f"- bf16 against fp32: smallest cosine of a token {result['smallest_cosine']:.5f}; largest difference of a "
            f"starter score {largest:.5f}"
        )
    else:
        lines.append("- bf16: not offered, this processor has no instructions for it")
    if "glove" in result:
        glove = result["glove"]
        lines.append(f"- GloVe, {glove['words']}: {glove['seconds']:.0f} s, peak memory {glove['peak_mb']:.0f} MB")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare time and memory of distillation with model2vec 0.10.")
    parser.add_argument("--rounds", type=int, default=3, help="alternating rounds (default 3)")
    parser.add_argument("--glove", action="store_true", help="also the 400,000 words of GloVe")
    arguments = parser.parse_args()
    make_environment(next(release for release in RELEASES if release.version == THEIRS))
    with tempfile.TemporaryDirectory() as folder:
        result = measure(arguments.rounds, arguments.glove, Path(folder))
    write("distill", result, table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
