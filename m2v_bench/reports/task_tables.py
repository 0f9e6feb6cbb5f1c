"""Show which tasks tell models apart, and the fewest that rank models alike (`m2v-bench tasks`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from m2v_bench.errors import BenchError, check_seed
from m2v_bench.reports.grid import Grid
from m2v_bench.results.experiment import find_experiment
from m2v_bench.results.scores import Results, StoredModel, read_results
from m2v_bench.stats.aggregates import TYPE_LABELS
from m2v_bench.stats.paired import CONFIDENCE, Compared, load
from m2v_bench.stats.task_choice import FEWEST_MODELS, SPLITS, Choice, choose, profiles


@dataclass(frozen=True)
class TaskTables:
    """The two tables, and the tasks to keep.

    Attributes:
        profiles: one row per task.
        choice: one row per number of tasks.
        override: the suite of the fewest tasks that agree with all, as settings of a run; None where no number does.
    """

    profiles: Grid
    choice: Grid
    override: str | None

    def write(self, folder: Path, name: str) -> list[Path]:
        """Write the tables to NAME.md, .csv and NAME_choice.md, .csv in a folder, and return the paths."""
        return [*self.profiles.write(folder, name), *self.choice.write(folder, f"{name}_choice")]


def task_tables(
    sweeps: Sequence[str], path: Path, *, most: int | None = None, agreement: float = 0.8, seed: int = 42
) -> TaskTables:
    """Measure the tasks of stored models.

    Args:
        sweeps: names or folders of sweeps whose distilled models to use; all distilled models when empty.
        path: a results folder, or an exported table.
        most: the largest number of tasks to choose; None for no limit.
        agreement: Kendall's tau-b that is enough.
        seed: seed of all draws.

    Raises:
        BenchError: for an unknown sweep, fewer than three models, or models without two tasks in common.
    """
    check_seed(seed)
    if most is not None and most < 1:
        raise BenchError(f"--most {most}: must be 1 or more")
    if not 0 < agreement <= 1:
        raise BenchError(f"--agreement {agreement}: must be above 0 and at most 1, e.g. 0.8")
    results = read_results(path)
    models = _models(sweeps, results)
    compared = load(models, results, seed=seed)
    if len(compared.tasks) < 2:
        raise BenchError(f"{path}: the models have one task in common, {compared.tasks[0]}; two or more are needed")
    seconds = [_seconds(models, task) for task in compared.tasks]
    teachers = [str(model.variant.get("base_model", model.name)) for model in models]
    most = len(compared.tasks) if most is None else most
    choice = choose(compared.comparison, compared.types, teachers, seconds, average="tasks", most=most, seed=seed)
    size = choice.smallest(agreement)
    names = [compared.tasks[task] for task in choice.tasks[:size]] if size else []
    override = f"suite=custom 'suite.tasks=[{','.join(names)}]'" if names else None
    about = _about(models, teachers, compared)
    return TaskTables(
        _profiles_grid(compared, seconds, about),
        _choice_grid(compared, choice, size or most, seconds, [*_found(size, agreement, override, choice), *about]),
        override,
    )


def _models(sweeps: Sequence[str], results: Results) -> list[StoredModel]:
    if sweeps:
        records = [record for sweep in sweeps for record in find_experiment(sweep, results.path).records]
        models = list({model.id: model for model in map(results.student_of, records)}.values())
    else:
        models = [model for model in results.models if "base_model" in model.variant]
    if len(models) < 3:
        raise BenchError(
            f"{' '.join(sweeps) or results.path}: has {len(models)} distilled models with scores; three or more are "
            f"needed, {FEWEST_MODELS} to check a choice on other models"
        )
    return models


def _seconds(models: Sequence[StoredModel], task: str) -> float:
    """Return the median seconds that a model takes, NaN where none is known."""
    known = [score.seconds for model in models if (score := model.tasks.get(task)) and score.seconds is not None]
    return float(np.median(known)) if known else np.nan


def _profiles_grid(compared: Compared, seconds: Sequence[float], about: Sequence[str]) -> Grid:
    measured = profiles(compared.comparison)
    rows = []
    for number in sorted(range(len(measured)), key=lambda task: -np.nan_to_num(measured[task].agreement, nan=-2.0)):
        one, type_ = measured[number], compared.types[number]
        spread = compared.comparison.scores[number].std()
        rows.append(
            [
                compared.tasks[number],
                TYPE_LABELS.get(type_, type_),
                _two(one.agreement),
                _two(100 * spread),
                _two(100 * one.width),
                _percent(one.told_apart),
                _two(seconds[number]),
            ]
        )
    notes = [
        "agreement: Kendall's tau-b of the task's order of the models with that of the average over the other tasks; "
        "spread: standard deviation of the models' scores",
        f"interval: median width of the {CONFIDENCE:.0%} intervals of the differences of two models, samples "
        "resampled; told apart: pairs of models whose interval does not contain 0; points (scores x 100)",
        "seconds: median over the models",
    ]
    header = ["Task", "Type", "Agreement", "Spread", "Interval", "Told apart", "Seconds"]
    return Grid(header, rows, title="which tasks tell models apart", notes=[*notes, *about])


def _choice_grid(compared: Compared, choice: Choice, size: int, seconds: Sequence[float], notes: Sequence[str]) -> Grid:
    rows = []
    shares = np.cumsum([seconds[task] for task in choice.tasks]) / np.sum(seconds)
    for number, task in enumerate(choice.tasks[:size]):
        of_others = [_two(values[number]) for values in (choice.halves, choice.teachers, choice.random)]
        rows.append(
            [
                f"{number + 1}",
                f"+ {compared.tasks[task]}",
                _two(choice.seen[number]),
                *of_others,
                _percent(shares[number]),
            ]
        )
    header = ["Tasks", "The last one", "These models", "Other models", "Other teachers", "Random tasks", "Time"]
    explained = (
        f"Kendall's tau-b of the average over the chosen tasks with the average over all {len(compared.tasks)}; other "
        f"models: chosen with one half of the models, measured on the other, mean over {SPLITS} random halves; other "
        "teachers: chosen without a teacher's models, measured on them; random tasks: on the same halves; time: share "
        "of that of all tasks"
    )
    return Grid(header, rows, title="few tasks that rank models as all do", notes=[explained, *notes])


def _found(size: int | None, agreement: float, override: str | None, choice: Choice) -> list[str]:
    notes = []
    if not np.isnan(choice.itself):
        notes.append(f"all tasks with themselves, on other samples: {choice.itself:.2f}")
    if np.isnan(choice.halves).all():
        notes.append(f"not checked on other models, which takes {FEWEST_MODELS} models or more")
    elif size is None:
        notes.append(f"no number of tasks here reaches {agreement:g} on other models")
    else:
        notes.append(f"the fewest that reach {agreement:g} on other models: {size}; {override}")
    return notes


def _about(models: Sequence[StoredModel], teachers: Sequence[str], compared: Compared) -> list[str]:
    counts = f"{len(models)} distilled models of {len(set(teachers))} teachers, {len(compared.tasks)} tasks"
    return [*compared.notes, f"{counts}; {compared.signature}"]


def _two(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.2f}"


def _percent(share: float) -> str:
    return "-" if np.isnan(share) else f"{100 * share:.0f}%"
