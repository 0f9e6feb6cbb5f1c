"""Measure models for `m2v-bench speed`, and write the record, its tables and figure."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from m2v_bench.cache import write_json
from m2v_bench.errors import BenchError
from m2v_bench.reports.figures import save
from m2v_bench.reports.grid import Grid
from m2v_bench.speed.benchmark import benchmark
from m2v_bench.speed.contenders import contenders
from m2v_bench.speed.speed_record import Plan
from m2v_bench.speed.speed_tables import speed_grids, speed_score_figure, write_markdown
from m2v_bench.speed.texts_of_lengths import bench_texts
from m2v_bench.system.threads import limit_threads

FOLDER = Path("speed", "benchmark")  # in the results folder
_FIGURE = "speed_vs_score"


def speed(
    names: Sequence[str],
    results_dir: Path,
    plan: Plan,
    *,
    texts: Sequence[str] = (),
    column: str = "text",
    seed: int = 42,
    config_dir: str | None = None,
) -> tuple[list[Grid], list[Path]]:
    """Measure models, and write the record, its tables and, if there are scores, the figure.

    Args:
        names: the models, as in `contenders.contenders`.
        results_dir: results folder for speed/benchmark/TIME.json, and speed.md, speed_vs_score.svg and .png of the
            latest benchmark.
        plan: size of the benchmark.
        texts: files of texts; if empty, texts from the asset catalog.
        column: the text column of the files.
        seed: sampling seed of the texts.
        config_dir: a folder of additional config files.

    Returns:
        The tables, and the files written.

    Raises:
        BenchError: if a model or file does not exist, or no model could be measured; the record then holds the reasons.
    """
    # around everything, as the tokenizers package keeps the first number of threads that it uses in a process
    with tempfile.TemporaryDirectory() as scratch, limit_threads(plan.threads):
        models = contenders(names, Path(scratch), config_dir=config_dir)
        record = benchmark(models, bench_texts(texts, column, seed=seed), plan, seed=seed)
    folder = results_dir / FOLDER
    name = record.started.partition("+")[0].replace("-", "").replace(":", "")
    files = [folder / f"{name}.json", folder / "speed.md"]
    write_json(files[0], record.to_json())
    if not any(model.speed for model in record.models):
        reasons = "\n".join(f"  {model.label}: {model.absent}" for model in record.models)
        raise BenchError(f"no model could be measured ({files[0]}):\n{reasons}")
    grids = speed_grids(record)
    write_markdown(grids, files[1])
    figure = speed_score_figure(record, results_dir)
    if figure is not None:
        files += save(figure, folder / _FIGURE)
    else:  # an earlier figure would show other speeds
        for ending in ("svg", "png"):
            (folder / f"{_FIGURE}.{ending}").unlink(missing_ok=True)
    return grids, files
