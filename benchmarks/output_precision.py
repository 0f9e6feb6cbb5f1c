"""Score embeddings at every precision of `StaticModel.encode`.

    python -m benchmarks.output_precision

Scores all-MiniLM-L6-v2 distilled to 256 dimensions on the tasks of the suite `paper` whose data is in
`$M2V_BENCH_TEST_DATA` (default ../shared) and writes results/bench/output_precision.md. Tasks get
the codes as unit vectors; for bits their cosine orders as the Hamming distance does.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.parity import test_data
from m2v_bench import StaticModel, distill
from m2v_bench.config.check import check
from m2v_bench.config.compose import compose
from m2v_bench.evaluation.evaluate import Session, evaluate
from m2v_bench.evaluation.mteb_encoder import MtebEncoder
from m2v_bench.evaluation.store import Store
from m2v_bench.inference.output_precision import Precision, dequantize
from m2v_bench.models.model import Model
from m2v_bench.reports.score_table import score_table, to_grid
from m2v_bench.runs.prepare import suite_of
from m2v_bench.system.environment import versions

OUT = Path(__file__).parents[1] / "results" / "bench" / "output_precision.md"
DIMS = 256
CHOICES: dict[str, Precision] = {"float32": "float32", "int8": "int8", "bits": "ubinary"}


class Quantized:
    """A static model whose embeddings are stored at a precision."""

    def __init__(self, model: StaticModel, precision: Precision) -> None:
        self.model, self.precision = model, precision

    def encode(self, texts: Sequence[str], *, batch_size: int, prompt: str | None = None) -> np.ndarray:
        """See `Encoder.encode`."""
        codes = self.model.encode(texts, precision=self.precision)
        return dequantize(codes, self.precision, self.model.dims)


def main() -> None:
    data = test_data()
    settings = check(compose(["suite=paper", f"hub_dir={data / 'hub'}", f"data_dir={data / 'eval'}"]))
    suite = [entry for entry in suite_of(settings) if not entry.missing]
    static = distill("all-MiniLM-L6-v2", pca_dims=DIMS)
    models = []
    for label, precision in CHOICES.items():
        sizes = {"float32": 4 * DIMS, "int8": DIMS, "ubinary": DIMS // 8}
        models.append(
            Model(
                name=f"m2v_bench/{label}",
                revision="1",
                label=f"{label}, {sizes[precision]:,} bytes",
                kind="static",
                dims=DIMS,
                n_parameters=static.n_parameters,
                bytes_on_disk=1,
                load=lambda device, precision=precision: Quantized(static, precision),
            )
        )
    with tempfile.TemporaryDirectory() as folder:
        encoders = {model.label: MtebEncoder(model, seed=42) for model in models}
        session = Session(Store(Path(folder)), 42, settings.batch_size, samples=False, debug=True)
        scores = evaluate(encoders, models, suite, session)
    rows = pd.DataFrame([score.as_row() for score in scores]).assign(teacher=models[0].label)
    packages = versions()
    grid = to_grid(
        score_table(rows),
        title="precisions x task types",
        signature=f"M2V all-MiniLM-L6-v2 {DIMS}d; main scores x 100; seed 42; m2v_bench {packages['m2v_bench']}, "
        f"mteb {packages['mteb']}",
    )
    grid = replace(grid, columns=[name.replace("% of teacher", "% of float32") for name in grid.columns])
    grid.show()
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(grid.markdown(), encoding="utf-8")
    print(f"wrote {OUT}")


if __name__ == "__main__":
    main()
