"""Search for a weighting coefficient and a PCA size on one half of a suite; what is found is reported on the other.

Optuna is called directly: the Hydra sweeper for it asks for an Optuna before 3, which does not go with the SQLAlchemy
of today's MLflow. Its study is made anew from our own list of trials, so that a search that was killed goes on and ends
as one that was not.
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
from m2v_bench.distillation.recipe import make_recipe
from m2v_bench.distillation.token_vectors import pick_device
from m2v_bench.distillation.weighting import WEIGHTINGS
from m2v_bench.errors import BenchError, did_you_mean
from m2v_bench.evaluation.evaluate import Session, evaluate
from m2v_bench.evaluation.mteb_encoder import for_mteb
from m2v_bench.evaluation.store import Store
from m2v_bench.models.static import distilled
from m2v_bench.reports.grid import Grid
from m2v_bench.reports.score_table import AVERAGE, score_table
from m2v_bench.results.jobs import alone
from m2v_bench.runs.prepare import Prepared, prepare
from m2v_bench.system.packages import require
from m2v_bench.tasks import SuiteTask

_STEP = 16  # of the PCA size
_SHOWN = 5  # trials in the table
_TRIALS = "trials.json"


@dataclass(frozen=True)
class Space:
    """What is searched: SIF's coefficient between two values on a log scale, and PCA sizes in steps of 16."""

    coefficients: tuple[float, float]
    dims: tuple[int, int]


@dataclass(frozen=True)
class Trial:
    """One variant and its average over the tuning half, 0 to 1."""

    coefficient: float
    dims: int
    score: float


def search(
    settings: Config, *, name: str, trials: int, tune: Sequence[str], coefficients: Sequence[float], dims: Sequence[int]
) -> Grid:
    """Search, and report what was found; every trial and every score is kept, and an interrupted search goes on.

    Args:
        settings: of the run; the suite is what is cut into halves.
        name: of the folder in results_dir/searches.
        trials: how many variants to score.
        tune: the tasks to tune on; every second one of each type when empty.
        coefficients: lowest and highest of `sif_coefficient`.
        dims: lowest and highest of `pca_dims`; one value alone is the lowest, and the base model's size the highest.

    Raises:
        BenchError: naming the option that cannot be.
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
    taken = f"--name {name}: a search of this name is running in {folder.parent}. Wait for it, or take another name"
    with alone(folder, taken):
        made = _read(folder, key, name)
        with tqdm(total=trials, initial=min(len(made), trials), desc="searching", unit="trial") as bar:
            while len(made) < trials:
                coefficient, size = _ask(optuna, made, space, settings.seed)
                score = _score(settings, coefficient, size, tuning, folder)
                made.append(Trial(coefficient, size, score))
                write_json(folder / _TRIALS, {"key": key, "trials": [asdict(trial) for trial in made]})
                bar.update()
        pd.DataFrame([asdict(trial) for trial in made]).to_csv(folder / "trials.csv", index_label="trial")
        grid = _report(settings, made[:trials], tuning, reporting, folder)
        (folder / "report.md").write_text(grid.markdown(), encoding="utf-8")
    return grid


def halves(suite: Sequence[SuiteTask], tune: Sequence[str]) -> tuple[list[SuiteTask], list[SuiteTask]]:
    """The tasks to tune on and those to report on, without those whose data is missing.

    Args:
        suite: the tasks.
        tune: names of those to tune on; every second one of each type, in the suite's order, when empty.

    Raises:
        BenchError: for a name that is not in the suite, or when nothing is left to report on.
    """
    here = [entry for entry in suite if not entry.missing]
    names = [entry.name for entry in here]
    for wanted in tune:
        if wanted not in names:
            raise BenchError(f"--tune {wanted}: no task of the suite that is here.{did_you_mean(wanted, names)}")
    if not tune:
        kinds = [[entry.name for entry in here if entry.type == kind] for kind in dict.fromkeys(e.type for e in here)]
        tune = [each for kind in kinds for each in kind[::2]]
    tuning = [entry for entry in here if entry.name in tune]
    reporting = [entry for entry in here if entry.name not in tune]
    if not reporting:
        raise BenchError(
            f"--tune: all {len(here)} tasks of the suite that are here would be tuned on, and none is left to report "
            "on. Name some of them with --tune TASK, or take a larger suite"
        )
    return tuning, reporting


def _space(prepared: Prepared, coefficients: Sequence[float], dims: Sequence[int]) -> Space:
    recipe = prepared.recipe
    if not WEIGHTINGS[recipe.weighting].uses_coefficient:
        able = ", ".join(name for name, weighting in WEIGHTINGS.items() if weighting.uses_coefficient)
        raise BenchError(f"weighting={recipe.weighting}: has no coefficient to search for; allowed: {able}")
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
    """The trials of an earlier start of the same search."""
    try:
        kept = json.loads((folder / _TRIALS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    if kept["key"] != key:
        raise BenchError(
            f"--name {name}: {folder} holds a search with other settings, data or tasks; take another name"
        )
    return [Trial(**trial) for trial in kept["trials"]]


def _ask(optuna: Any, made: Sequence[Trial], space: Space, seed: int) -> tuple[float, int]:
    """What to try next, which the trials so far and the seed alone decide."""
    distributions = {
        "coefficient": optuna.distributions.FloatDistribution(*space.coefficients, log=True),
        "dims": optuna.distributions.IntDistribution(*space.dims, step=_STEP),
    }
    # hashed, so that searches with neighbouring seeds draw nothing alike
    sampler = optuna.samplers.TPESampler(seed=int(content_hash([seed, len(made)])[:8], 16))
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for trial in made:
        params = {"coefficient": trial.coefficient, "dims": trial.dims}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=trial.score))
    asked = study.ask(distributions)
    return asked.params["coefficient"], asked.params["dims"]


def _score(settings: Config, coefficient: float, dims: int, tasks: Sequence[SuiteTask], folder: Path) -> float:
    """The average of a variant over the tasks, from result files where they have it."""
    variant = dataclasses.replace(settings, pca_dims=dims, sif_coefficient=coefficient)
    return _average(variant, tasks, folder)


def _average(settings: Config, tasks: Sequence[SuiteTask], folder: Path) -> float:
    recipe, device = (
        make_recipe(settings.base_model.name, settings.distillation, revision=settings.base_model.revision),
        pick_device(settings.device),
    )
    distillation = run_recipe(recipe, device=device, show_progress=False)
    distillation.model.save_pretrained(folder / "model")
    model = distilled(
        distillation.model,
        folder / "model",
        name=recipe.name,
        revision=recipe.revision,
        label=recipe.label,
        variant=recipe.variant,
    )
    store = Store(Path(settings.results_dir))
    session = Session(store, settings.seed, settings.batch_size, samples=settings.samples, debug=settings.debug)
    encoders = {model.label: for_mteb(model, seed=settings.seed, device=device)}
    scores = evaluate(encoders, [model], tasks, session)
    if failed := [score for score in scores if score.main_score is None]:
        raise BenchError(f"{failed[0].task}: {failed[0].reason}; the search needs a score on every task")
    rows = pd.DataFrame([score.as_row() for score in scores]).assign(teacher=None)
    return score_table(rows, settings.suite.aggregation).cells[model.label, AVERAGE].value


def _report(
    settings: Config, made: Sequence[Trial], tuning: Sequence[SuiteTask], reporting: Sequence[SuiteTask], folder: Path
) -> Grid:
    """The best trials; the best of all and the variant that the settings name also on the half that is reported."""
    ranked = sorted(made, key=lambda trial: -trial.score)
    best = ranked[0]
    reported = _score(settings, best.coefficient, best.dims, reporting, folder)
    own, own_tuning = _average(settings, reporting, folder), _average(settings, tuning, folder)
    # the model that is left in the folder is the best one
    _score(settings, best.coefficient, best.dims, tuning, folder)
    rows = [_row("best", best.coefficient, best.dims, best.score, reported)]
    rows += [_row(f"{place}.", each.coefficient, each.dims, each.score) for place, each in enumerate(ranked, 1)][
        1:_SHOWN
    ]
    rows.append(_row("as set", settings.sif_coefficient, settings.pca_dims, own_tuning, own))
    command = f"python -m m2v_bench pca_dims={best.dims} sif_coefficient={best.coefficient!r}"
    return Grid(
        columns=["Variant", "sif_coefficient", "pca_dims", "Tuned on", "Reported on"],
        rows=rows,
        title=f"search over {len(made)} variants",
        notes=[
            f"averages x 100 over {len(tuning)} tasks that were tuned on and {len(reporting)} that were not; only the "
            "last column tells how good a variant is",
            f"against the variant as set: {100 * (best.score - own_tuning):+.2f} where it was tuned, "
            f"{100 * (reported - own):+.2f} where it was not",
            f"the best again: {command}, beside the other settings of this search",
            f"suite {settings.suite.name}; seed {settings.seed}; reported on {', '.join(e.name for e in reporting)}",
        ],
    )


def _row(name: str, coefficient: float, dims: object, tuned: float, reported: float | None = None) -> list[str]:
    shown = "" if reported is None else f"{100 * reported:.2f}"
    return [name, f"{coefficient:.2e}", str(dims), f"{100 * tuned:.2f}", shown]
