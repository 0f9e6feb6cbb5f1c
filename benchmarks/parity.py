"""Compare the teacher's scores in this framework with the published scores.

    python -m benchmarks.parity [TASK ...]

Reads dataset repositories from `$M2V_BENCH_TEST_DATA/hub` (default ../shared), computes all scores, and prints the
table of `m2v-bench paper verify`; with the default tasks, also writes it to results/tables/parity.md. Exits with 1 if a
score differs. Scores of other dataset revisions count, too: these repositories were only converted.
"""

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from m2v_bench.distillation.teacher import find_base
from m2v_bench.errors import BenchError
from m2v_bench.evaluation.evaluate import Session, evaluate
from m2v_bench.evaluation.mteb_encoder import MtebEncoder
from m2v_bench.evaluation.store import Store
from m2v_bench.models.sentence_transformer import teacher
from m2v_bench.paper.verify import verify, verify_grid
from m2v_bench.results.record import Score
from m2v_bench.tasks import load_suite

SUBSETS = {
    name: ["en"]
    for name in (
        "AmazonCounterfactualClassification",
        "MTOPDomainClassification",
        "MassiveIntentClassification",
        "MassiveScenarioClassification",
    )
}
TASKS = (
    "STSBenchmark",
    "STS12",
    "STS14",
    "STS15",
    "STS16",
    "Banking77Classification",
    "AmazonCounterfactualClassification",
    "MTOPDomainClassification",
    "MassiveIntentClassification",
    "MassiveScenarioClassification",
    "TwitterURLCorpus",
    "SciFact",
    "ArguAna",
    "SummEval",
)


def test_data() -> Path:
    """Return the folder of real test data."""
    return Path(os.environ.get("M2V_BENCH_TEST_DATA", Path(__file__).parents[2] / "shared"))


def score_teacher(tasks: Sequence[str], results_dir: Path) -> list[Score]:
    """Score the teacher and write its result files."""
    suite = load_suite(
        benchmark=None,
        tasks=[{"name": name, "subsets": SUBSETS[name]} if name in SUBSETS else name for name in tasks],
        languages=["eng"],
        splits=["test"],
        hub_dir=str(test_data() / "hub"),
        seed=42,
    )
    models = [teacher(find_base("all-MiniLM-L6-v2"))]
    encoders = {model.label: MtebEncoder(model, seed=42) for model in models}
    return evaluate(encoders, models, suite, Session(Store(results_dir), seed=42, batch_size=32, debug=True))


def main(tasks: Sequence[str]) -> int:
    """Print the table; return 1 if a score is outside its tolerance, else 0."""
    with tempfile.TemporaryDirectory() as folder:
        score_teacher(tasks, Path(folder))
        verification = verify(Path(folder), any_revision=True)
    table = verify_grid(verification).markdown()
    print(f"\n{table}", end="")
    if tuple(tasks) == TASKS:
        target = Path("results/tables/parity.md")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(table, encoding="utf-8")
    try:
        verification.judge()
    except BenchError as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(tuple(sys.argv[1:]) or TASKS))
