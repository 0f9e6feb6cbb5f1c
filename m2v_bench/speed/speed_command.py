"""`m2v-bench speed`: find the models, measure them, keep the record, and show it."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from m2v_bench.cache import write_json
from m2v_bench.errors import BenchError
from m2v_bench.reports.figures import save
from m2v_bench.reports.grid import Grid
from m2v_bench.speed.benchmark import Plan, benchmark
from m2v_bench.speed.contenders import contenders
from m2v_bench.speed.speed_tables import speed_grids, speed_score_figure, write_markdown
from m2v_bench.speed.texts_of_lengths import bench_texts
from m2v_bench.system.threads import limit_threads

FOLDER = Path("speed", "benchmark")  # of a results folder, beside the speed records of runs
_FIGURE = "speed_vs_score"


def speed(
    words: Sequence[str],
    results_dir: Path,
    plan: Plan,
    *,
    texts: Sequence[str] = (),
    column: str = "text",
    seed: int = 42,
    config_dir: str | None = None,
) -> tuple[list[Grid], list[Path]]:
    """Measure models, and write the record, its tables and, where scores are there, the figure.

    Args:
        words: the models, as in `contenders.contenders`.
        results_dir: gets speed/benchmark/TIME.json, and speed.md, speed_vs_score.svg and .png of the latest one.
        plan: how much is measured.
        texts: files of texts; what the asset catalog carries when there are none.
        column: the column of the texts in them.
        seed: of the draw of texts.
        config_dir: a folder of further config files.

    Returns:
        The tables, and the files written.

    Raises:
        BenchError: for a model or a file that is not there, or when no model could be measured; the record then says
            why.
    """
    # all of it, as the tokenizers package keeps the number of threads that it first used in a process
    with tempfile.TemporaryDirectory() as scratch, limit_threads(plan.threads):
        models = contenders(words, Path(scratch), config_dir=config_dir)
        record = benchmark(models, bench_texts(texts, column, seed=seed), plan, seed=seed)
    folder = results_dir / FOLDER
    name = record["started"].partition("+")[0].replace("-", "").replace(":", "")
    files = [folder / f"{name}.json", folder / "speed.md"]
    write_json(files[0], record)
    if not any(model["speed"] for model in record["models"]):
        reasons = "\n".join(f"  {model['label']}: {model['absent']}" for model in record["models"])
        raise BenchError(f"no model could be measured ({files[0]}):\n{reasons}")
    grids = speed_grids(record)
    write_markdown(grids, files[1])
    figure = speed_score_figure(record, results_dir)
    if figure is not None:
        files += save(figure, folder / _FIGURE)
    else:  # an earlier one would be of other speeds
        for ending in ("svg", "png"):
            (folder / f"{_FIGURE}.{ending}").unlink(missing_ok=True)
    return grids, files
