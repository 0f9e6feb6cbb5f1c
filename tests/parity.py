"""The teacher's scores through this framework beside the published ones.

    python tests/parity.py [TASK ...]

Reads dataset repositories from `$M2V_BENCH_TEST_DATA/hub` and published scores from
`$M2V_BENCH_TEST_DATA/reference` (default ../shared), computes every score anew, prints the table of differences,
keeps it in results/tables/parity.md when all tasks were asked for, and exits with 1 when a difference is larger
than the tolerance.
"""

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import mteb
import pandas as pd

from m2v_bench.baselines import load_baselines
from m2v_bench.distillation.base import find_base
from m2v_bench.evaluation.evaluate import evaluate
from m2v_bench.evaluation.mteb_encoder import MtebEncoder
from m2v_bench.tasks import load_suite

TOLERANCE = 0.0005
TEACHER = "sentence-transformers/all-MiniLM-L6-v2"
SUBSETS = {"AmazonCounterfactualClassification": ["en"]}
TASKS = (
    "STSBenchmark",
    "STS12",
    "STS15",
    "Banking77Classification",
    "AmazonCounterfactualClassification",
    "TwitterURLCorpus",
    "SciFact",
    "SummEval",
)


def test_data() -> Path:
    """The folder of real data that tests read."""
    return Path(os.environ.get("M2V_BENCH_TEST_DATA", Path(__file__).parents[2] / "shared"))


def published_scores(model: str) -> dict[str, float]:
    """A model's published main scores on the test split, by task."""
    rows = pd.read_csv(test_data() / "reference" / "published_mteb_scores.csv")
    rows = rows[(rows["model"] == model) & (rows["split"] == "test") & rows["subset"].isin(["default", "en"])]
    return dict(zip(rows["task"], rows["main_score"], strict=True))


def teacher_scores(tasks: Sequence[str], results_dir: Path) -> dict[str, float]:
    """The teacher's main scores, computed here, read from the result files that were written."""
    suite = load_suite(
        benchmark=None,
        tasks=[{"name": name, "subsets": SUBSETS[name]} if name in SUBSETS else name for name in tasks],
        languages=["eng"],
        splits=["test"],
        hub_dir=str(test_data() / "hub"),
        seed=42,
    )
    models = load_baselines(["teacher"], find_base("all-MiniLM-L6-v2"))
    encoders = {model.label: MtebEncoder(model, seed=42) for model in models}
    evaluate(encoders, models, suite, results_dir=results_dir, seed=42, batch_size=32, debug=True)
    found = mteb.ResultCache(results_dir).load_results(models=[TEACHER], tasks=list(tasks))
    return {result.task_name: float(result.get_score()) for result in found.model_results[0].task_results}


def comparison(tasks: Sequence[str]) -> pd.DataFrame:
    """Published and own score of every task, and whether the difference is within the tolerance."""
    published = published_scores(TEACHER)
    with tempfile.TemporaryDirectory() as folder:
        ours = teacher_scores(tasks, Path(folder))
    table = pd.DataFrame({"task": tasks, "published": [published[t] for t in tasks], "here": [ours[t] for t in tasks]})
    table["difference"] = table["here"] - table["published"]
    table["within"] = table["difference"].abs() <= TOLERANCE
    return table


def main(tasks: Sequence[str]) -> int:
    """Print the table; 1 when a task is outside the tolerance."""
    table = comparison(tasks)
    lines = ["| Task | Published | Here | Difference |", "|---|---:|---:|---:|"]
    for row in table.itertuples():
        mark = "" if row.within else " (outside)"
        lines.append(f"| {row.task} | {row.published:.5f} | {row.here:.5f} | {row.difference:+.5f}{mark} |")
    lines += [
        "",
        f"{table['within'].sum()} of {len(table)} within {TOLERANCE}; model {TEACHER}, mteb {mteb.__version__}",
    ]
    print("\n" + "\n".join(lines))
    if tuple(tasks) == TASKS:
        kept = Path("results/tables/parity.md")
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return int(not table["within"].all())


if __name__ == "__main__":
    sys.exit(main(tuple(sys.argv[1:]) or TASKS))
