"""Tune weighting coefficient and PCA size on half of a suite, and report the result on the other half.

Optuna is called directly: its Hydra sweeper requires Optuna < 3, which conflicts with the SQLAlchemy version of current
MLflow. The study is rebuilt for every trial from our list of trials, so that a killed search resumes and ends like an
uninterrupted one.
"""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from m2v_bench.cache import content_hash, write_json
from m2v_bench.config.schema import Config
from m2v_bench.distillation.distill import run_recipe
from m2v_bench.distillation.token_vectors import pick_device
from m2v_bench.distillation.weighting import WEIGHTINGS
from m2v_bench.errors import BenchError, did_you_mean
from m2v_bench.evaluation.evaluate import Session, evaluate
from m2v_bench.evaluation.mteb_encoder import for_mteb
from m2v_bench.evaluation.store import Store
from m2v_bench.models import recipe_of
from m2v_bench.models.static import distilled
from m2v_bench.reports.grid import Grid
from m2v_bench.reports.score_table import AVERAGE, score_table
from m2v_bench.results.jobs import alone
from m2v_bench.runs.prepare import Prepared, prepare
from m2v_bench.system.packages import require
from m2v_bench.tasks import SuiteTask

_STEP = 16  # between PCA sizes
_SHOWN = 5  # trials in the table
_TRIALS = "trials.json"


@dataclass(frozen=True)
class Space:
    """Search space: SIF's coefficient on a log scale, and PCA sizes in steps of 16; each (lowest, highest)."""

    coefficients: tuple[float, float]
    dims: tuple[int, int]


@dataclass(frozen=True)
class Trial:
    """One variant and its average score on the tuning half, 0 to 1."""

    coefficient: float
    dims: int
    score: float


def search(
    settings: Config, *, name: str, trials: int, tune: Sequence[str], coefficients: Sequence[float], dims: Sequence[int]
) -> Grid:
    """Search and report; trials and scores are saved, and an interrupted search resumes.

    Args:
        settings: settings of the run; its suite is split in two.
        name: name of the folder in results_dir/searches.
        trials: number of variants to score.
        tune: tasks to tune on; if empty, every second task of each type.
        coefficients: lowest and highest `sif_coefficient`.
        dims: lowest and highest `pca_dims`; the highest defaults to the base model's size.

    Raises:
        BenchError: naming the invalid option.
    """
    optuna = require(
        "optuna", extra="optuna", setting="m2v-bench search", instead="run a sweep: +sweep=sif_coefficient"
    )
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if trials < 1:
        raise BenchError(f"--trials {trials}: must be at least 1")
    prepared = prepare(dataclasses.replace(settings, baselines={}))
    space = _space(prepared, coefficients, dims)
    tuning, reporting = halves(prepared.suite, tune)
    print(f"tuned on: {', '.join(task.name for task in tuning)}\nreported on: {', '.join(t.name for t in reporting)}")
    folder = Path(settings.results_dir) / "searches" / name
    key = content_hash([prepared.key, [task.name for task in tuning], asdict(space)])
    message = f"--name {name}: a search of this name is running in {folder.parent}. Wait for it, or use another name"
    with alone(folder, message):
        done = _read(folder, key, name)
        with tqdm(total=trials, initial=min(len(done), trials), desc="searching", unit="trial") as bar:
            while len(done) < trials:
                coefficient, size = _ask(optuna, done, space, settings.seed)
                score = _score(settings, coefficient, size, tuning, folder)
                done.append(Trial(coefficient, size, score))
                write_json(folder / _TRIALS, {"key": key, "trials": [asdict(trial) for trial in done]})
                bar.update()
        pd.DataFrame([asdict(trial) for trial in done]).to_csv(folder / "trials.csv", index_label="trial")
        grid = _report(settings, done[:trials], tuning, reporting, folder)
        (folder / "report.md").write_text(grid.markdown(), encoding="utf-8")
    return grid


def halves(suite: Sequence[SuiteTask], tune: Sequence[str]) -> tuple[list[SuiteTask], list[SuiteTask]]:
    """Return the tasks to tune on and the tasks to report on, without tasks whose data is missing.

    Args:
        suite: the tasks.
        tune: names of the tasks to tune on; if empty, every second task of each type, in suite order.

    Raises:
        BenchError: if a name is not in the suite, or no task is left to report on.
    """
    available = [entry for entry in suite if not entry.missing]
    names = [entry.name for entry in available]
    for wanted in tune:
        if wanted not in names:
            raise BenchError(f"--tune {wanted}: not an available task of the suite.{did_you_mean(wanted, names)}")
    if not tune:
        types = dict.fromkeys(entry.type for entry in available)
        by_type = [[entry.name for entry in available if entry.type == type_] for type_ in types]
        tune = [name for of_type in by_type for name in of_type[::2]]
    tuning = [entry for entry in available if entry.name in tune]
    reporting = [entry for entry in available if entry.name not in tune]
    if not reporting:
        raise BenchError(
            f"--tune: tuning would use all {len(available)} available tasks of the suite and leave none to report on. "
            "Name fewer tasks with --tune TASK, or use a larger suite"
        )
    return tuning, reporting


def _space(prepared: Prepared, coefficients: Sequence[float], dims: Sequence[int]) -> Space:
    recipe = prepared.recipe
    if not WEIGHTINGS[recipe.weighting].uses_coefficient:
        allowed = ", ".join(name for name, weighting in WEIGHTINGS.items() if weighting.uses_coefficient)
        raise BenchError(f"weighting={recipe.weighting}: has no coefficient to search for; allowed: {allowed}")
    low, high = coefficients
    if not 0 < low < high < 1:
        raise BenchError(f"--coefficients {low} {high}: must be two numbers between 0 and 1, the lower one first")
    smallest, largest = (*dims, recipe.base.hidden_size)[:2]
    if not 1 <= smallest < largest <= recipe.base.hidden_size:
        raise BenchError(
            f"--dims {smallest} {largest}: must be two sizes up to the {recipe.base.hidden_size} dimensions of "
            f"{recipe.base.name}, the lower one first"
        )
    return Space((low, high), (smallest, largest - (largest - smallest) % _STEP))


def _read(folder: Path, key: str, name: str) -> list[Trial]:
    """Read the trials of an interrupted search."""
    try:
        state = json.loads((folder / _TRIALS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    if state["key"] != key:
        raise BenchError(f"--name {name}: {folder} holds a search with other settings, data or tasks; use another name")
    return [Trial(**trial) for trial in state["trials"]]


def _ask(optuna: Any, done: Sequence[Trial], space: Space, seed: int) -> tuple[float, int]:
    """Return the coefficient and size to try next, determined by the trials so far and the seed."""
    distributions = {
        "coefficient": optuna.distributions.FloatDistribution(*space.coefficients, log=True),
        "dims": optuna.distributions.IntDistribution(*space.dims, step=_STEP),
    }
    # hashed, so that searches with consecutive seeds share no draws
    sampler = optuna.samplers.TPESampler(seed=int(content_hash([seed, len(done)])[:8], 16))
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for trial in done:
        params = {"coefficient": trial.coefficient, "dims": trial.dims}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=trial.score))
    asked = study.ask(distributions)
    return asked.params["coefficient"], asked.params["dims"]


def _score(settings: Config, coefficient: float, dims: int, tasks: Sequence[SuiteTask], folder: Path) -> float:
    """Return a variant's average over the tasks, reusing result files."""
    variant = dataclasses.replace(settings, pca_dims=dims, sif_coefficient=coefficient)
    return _average(variant, tasks, folder)


def _average(settings: Config, tasks: Sequence[SuiteTask], folder: Path) -> float:
    recipe, device = recipe_of(settings), pick_device(settings.device)
    distillation = run_recipe(recipe, device=device, show_progress=False)
    distillation.model.save_pretrained(folder / "model")
    model = distilled(distillation.model, folder / "model", recipe)
    store = Store(Path(settings.results_dir))
    session = Session(store, settings.seed, settings.batch_size, samples=settings.samples, debug=settings.debug)
    encoders = {model.label: for_mteb(model, seed=settings.seed, device=device)}
    scores = evaluate(encoders, [model], tasks, session)
    if failed := [score for score in scores if score.main_score is None]:
        raise BenchError(f"{failed[0].task}: {failed[0].reason}; the search needs a score on every task")
    rows = pd.DataFrame([score.as_row() for score in scores]).assign(teacher=None)
    return score_table(rows, settings.suite.aggregation).cells[model.label, AVERAGE].value


def _report(
    settings: Config, done: Sequence[Trial], tuning: Sequence[SuiteTask], reporting: Sequence[SuiteTask], folder: Path
) -> Grid:
    """Return the table of the best trials; also score the best trial and the variant as set on the reporting half."""
    ranked = sorted(done, key=lambda trial: -trial.score)
    best = ranked[0]
    best_reported = _score(settings, best.coefficient, best.dims, reporting, folder)
    set_reported, set_tuned = _average(settings, reporting, folder), _average(settings, tuning, folder)
    # again, so that the folder keeps the best model
    _score(settings, best.coefficient, best.dims, tuning, folder)
    rows = [_row("best", best.coefficient, best.dims, best.score, best_reported)]
    rows += [
        _row(f"{place}.", trial.coefficient, trial.dims, trial.score)
        for place, trial in enumerate(ranked[1:_SHOWN], start=2)
    ]
    rows.append(_row("as set", settings.sif_coefficient, settings.pca_dims, set_tuned, set_reported))
    command = f"python -m m2v_bench pca_dims={best.dims} sif_coefficient={best.coefficient!r}"
    return Grid(
        columns=["Variant", "sif_coefficient", "pca_dims", "Tuned on", "Reported on"],
        rows=rows,
        title=f"search over {len(done)} variants",
        notes=[
            f"averages x 100 over {len(tuning)} tuning tasks and {len(reporting)} other tasks; only the last column is "
            "unbiased",
            f"gain over the variant as set: {100 * (best.score - set_tuned):+.2f} on the tuning tasks, "
            f"{100 * (best_reported - set_reported):+.2f} on the others",
            f"run the best variant: {command}, plus the other settings of this search",
            f"suite {settings.suite.name}; seed {settings.seed}; reported on {', '.join(e.name for e in reporting)}",
        ],
    )


def _row(name: str, coefficient: float, dims: object, tuned: float, reported: float | None = None) -> list[str]:
    shown = "" if reported is None else f"{100 * reported:.2f}"
    return [name, f"{coefficient:.2e}", str(dims), f"{100 * tuned:.2f}", shown]
