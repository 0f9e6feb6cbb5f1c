"""Score models on a suite with `mteb.evaluate`; what a result file already holds is read back."""

import copy
import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import mteb
import numpy as np
from mteb.abstasks import AbsTask
from mteb.results import TaskResult
from tqdm.auto import tqdm

from m2v_bench.baselines.encoder import Model
from m2v_bench.evaluation.mteb_encoder import MtebEncoder
from m2v_bench.evaluation.quiet import quiet
from m2v_bench.tasks.suite import SuiteTask

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Score:
    """What one model got on one task.

    Attributes:
        model, revision, label, kind: which model, as in `Model`.
        task, type: which task, as in `SuiteTask`.
        main_score: the task's main score, 0 to 1; None when there is none.
        state: `scored` in this run, `read` from a result file, `failed`, or `missing` data.
        reason: why there is no score.
        seconds: wall time of the evaluation when it was made.
    """

    model: str
    revision: str
    label: str
    kind: str
    task: str
    type: str
    main_score: float | None
    state: str
    reason: str | None = None
    seconds: float | None = None

    def as_row(self) -> dict[str, object]:
        """The score as a row of a table."""
        return asdict(self)


def evaluate(
    encoders: Mapping[str, MtebEncoder],
    models: Sequence[Model],
    suite: Sequence[SuiteTask],
    *,
    results_dir: Path,
    seed: int,
    batch_size: int,
    debug: bool = False,
) -> list[Score]:
    """Score every model on every task, task by task, so that each task's data is loaded once.

    A task that raises becomes a `failed` score and the others go on.

    Args:
        encoders: the models in mteb's shape, by label.
        models: the models under test.
        suite: the tasks.
        results_dir: folder of an mteb `ResultCache`; every score is written there as soon as it is known.
        seed: seed of the draws that tasks make while scoring.
        batch_size: texts per batch of a transformer.
        debug: let the first task that raises end the run with its traceback.
    """
    cache = mteb.ResultCache(results_dir)
    known = {
        (entry.name, model.label): _cached(cache, entry.task, encoders[model.label])
        for entry in suite
        if not entry.missing
        for model in models
    }
    open_jobs = sum(result is None for result in known.values())
    scores: list[Score] = []
    with (
        quiet(),
        tqdm(total=open_jobs, desc="evaluating", unit="score", disable=None if open_jobs else True) as bar,
    ):
        for entry in suite:
            todo = [model for model in models if known.get((entry.name, model.label), 0) is None]
            loaded, failure = _load(entry, debug=debug) if todo else (None, None)
            for model in models:
                result = known.get((entry.name, model.label))
                state, reason = ("missing", entry.missing) if entry.missing else ("read", None)
                if model in todo:
                    bar.set_postfix_str(f"{entry.name}, {model.label}")
                    state, reason = "scored", failure
                    if loaded is not None and bar.disable and model.kind == "transformer":
                        # without a bar, minutes would pass in silence
                        print(f"{entry.name:<38} {model.label:<34} ...", flush=True)
                    if loaded is not None:
                        result, reason = _score(
                            loaded, encoders[model.label], cache, seed=seed, batch_size=batch_size, debug=debug
                        )
                    state = "scored" if result is not None else "failed"
                    bar.update()
                score = Score(
                    model.name,
                    model.revision,
                    model.label,
                    model.kind,
                    entry.name,
                    entry.type,
                    None if result is None else float(result.get_score()),
                    state,
                    reason,
                    None if result is None else result.evaluation_time,
                )
                scores.append(score)
                if model in todo:
                    bar.write(_line(score))
    return scores


def _line(score: Score) -> str:
    got = (
        f"{score.main_score:.4f}  {score.seconds:6.1f} s" if score.main_score is not None else f"failed: {score.reason}"
    )
    return f"{score.task:<38} {score.label:<34} {got}"


def _existing(cache: mteb.ResultCache, task: AbsTask, encoder: MtebEncoder) -> TaskResult | None:
    """What an earlier run wrote, if it can be read and is of the same dataset revision and mteb version.

    A dataset in `hub_dir` counts as the revision that mteb pins, whatever its folder holds.
    """
    name, meta = task.metadata.name, encoder.mteb_model_meta
    try:
        result = cache.load_task_result(name, meta)
    except ValueError:
        log.warning("%s cannot be read and is made anew", cache.get_task_result_path(name, meta))
        return None
    same = result is not None and result.is_mergeable(task, criteria=["dataset_revision", "mteb_version"])
    return result if same else None


def _cached(cache: mteb.ResultCache, task: AbsTask, encoder: MtebEncoder) -> TaskResult | None:
    """What an earlier run wrote of the splits and subsets that are asked for, if it is all of them."""
    result = _existing(cache, task, encoder)
    if result is None or result.get_missing_evaluations(task):
        return None
    return result.validate_and_filter_scores(task)  # a score averages what the result holds


def _load(entry: SuiteTask, *, debug: bool) -> tuple[AbsTask | None, str | None]:
    """The task with its data, or why it could not be loaded."""
    try:
        return entry.load(), None
    except Exception as error:
        if debug:
            raise
        return None, f"its data could not be loaded: {_reason(error)}"


def _score(
    task: AbsTask, encoder: MtebEncoder, cache: mteb.ResultCache, *, seed: int, batch_size: int, debug: bool
) -> tuple[TaskResult | None, str | None]:
    # The draws that a task makes advance its random state. Every model gets a copy in the state that the task
    # had after loading, so that all see the same draws, the ones of a task that was evaluated alone.
    task = copy.copy(task)
    task.rng_state, task.np_rng = copy.deepcopy((task.rng_state, task.np_rng))
    _seed_everything(seed)
    # splits and subsets that an earlier run has scored are kept; those of other data or another mteb are not
    strategy = "always" if _existing(cache, task, encoder) is None else "only-missing"
    try:
        results = mteb.evaluate(
            encoder,
            task,
            cache=cache,
            co2_tracker=False,
            overwrite_strategy=strategy,
            encode_kwargs={"batch_size": batch_size, "show_progress_bar": False},
            show_progress_bar=False,
        )
    except Exception as error:
        if debug:
            raise
        log.debug("task %s failed", task.metadata.name, exc_info=True)
        return None, _reason(error)
    # read back: a result file rounds, and a score must not depend on whether it was just made
    return _cached(cache, task, encoder) or results.task_results[0], None


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _seed_everything(seed: int) -> None:
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
