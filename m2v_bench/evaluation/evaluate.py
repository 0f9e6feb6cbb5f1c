"""Score models on a suite with `mteb.evaluate`, reusing result files."""

import copy
import logging
import math
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mteb
import numpy as np
from mteb.abstasks import AbsTask
from mteb.abstasks.aggregated_task import AbsTaskAggregate
from mteb.models.model_meta import ModelMeta
from mteb.results import TaskResult
from tqdm.auto import tqdm

from m2v_bench.cache import write_json
from m2v_bench.evaluation.columns import forget_lists
from m2v_bench.evaluation.loaded_tasks import load_task
from m2v_bench.evaluation.mteb_encoder import MtebEncoder
from m2v_bench.evaluation.quick_mteb import quick_mteb
from m2v_bench.evaluation.recorder import Recorder
from m2v_bench.evaluation.store import Store
from m2v_bench.models.model import Model
from m2v_bench.results.record import Score
from m2v_bench.system.environment import accelerator
from m2v_bench.system.memory import Peak
from m2v_bench.system.quiet import quiet
from m2v_bench.tasks.manifest import parts
from m2v_bench.tasks.suite import SuiteTask

log = logging.getLogger(__name__)


@dataclass
class Session:
    """Settings shared by all scores of a run.

    Attributes:
        store: store of the scores.
        seed: seed of the tasks' random draws.
        batch_size: texts per batch of a transformer.
        samples: whether to keep the per-sample outputs that statistics need.
        debug: raise the error of the first failing task.
    """

    store: Store
    seed: int
    batch_size: int
    samples: bool = True
    debug: bool = False


def evaluate(
    encoders: Mapping[str, MtebEncoder],
    models: Sequence[Model],
    suite: Sequence[SuiteTask],
    session: Session,
    *,
    on_load: Callable[[SuiteTask, AbsTask], None] | None = None,
) -> list[Score]:
    """Score every model on every task, task by task, so that each task's data is loaded once.

    Scores are written immediately, and scores that another run wrote meanwhile are read, so runs may share a results
    folder. A task that raises becomes a `failed` score, and the other tasks continue.

    Args:
        encoders: mteb encoders of the models, by label.
        models: the models to score.
        suite: the tasks.
        session: store and settings.
        on_load: called with every task whose data was loaded.
    """
    metas = {model.label: encoders[model.label].mteb_model_meta for model in models}
    known = {
        (entry.name, model.label): session.store.complete(entry.task, metas[model.label])
        for entry in suite
        for model in models
        if not _missing(entry, model)
    }
    open_jobs = sum(result is None for result in known.values())
    scores: list[Score] = []
    with (
        quiet(),
        tqdm(total=open_jobs, desc="evaluating", unit="score", disable=None if open_jobs else True) as bar,
    ):
        for entry in suite:
            todo = [model for model in models if known.get((entry.name, model.label), 0) is None]
            loaded, failure = _load(entry, debug=session.debug) if todo else (None, None)
            if loaded is not None and on_load is not None:
                on_load(entry, loaded)
            for model in models:
                outcome = Outcome("read", known.get((entry.name, model.label)))
                if missing := _missing(entry, model):
                    outcome = Outcome("missing", reason=missing)
                elif model in todo and loaded is None:
                    outcome = Outcome("failed", reason=failure)
                elif model in todo and loaded is not None:
                    bar.set_postfix_str(f"{entry.name}, {model.label}")
                    if bar.disable and model.kind == "transformer":
                        # without a progress bar, there would be no output for minutes
                        print(f"{entry.name:<38} {model.label:<34} ...", flush=True)
                    outcome = _score_once(loaded, encoders[model.label], session)
                scores.append(_as_score(entry, model, outcome, session.store.cost(entry.name, metas[model.label])))
                if model in todo:
                    bar.update()
                    bar.write(_line(scores[-1]))
            if loaded is not None:
                for part in parts(loaded):
                    forget_lists(part)
    return scores


@dataclass(frozen=True)
class Outcome:
    """Outcome of a task for a model: a state of `Score`, with the result or the reason for its absence."""

    state: str
    result: TaskResult | None = None
    reason: str | None = None


def _as_score(entry: SuiteTask, model: Model, outcome: Outcome, cost: Mapping[str, Any]) -> Score:
    result, state, reason = outcome.result, outcome.state, outcome.reason
    main_score = None if result is None else float(result.get_score())
    if main_score is not None and math.isnan(main_score):
        main_score, state = None, "missing"
        reason = "its main score is NaN (for example because all embeddings are equal)"
    return Score(
        model=model.name,
        revision=model.revision,
        label=model.label,
        kind=model.kind,
        task=entry.name,
        type=entry.type,
        main_score=main_score,
        state=state,
        reason=reason,
        seconds=None if result is None else result.evaluation_time,
        peak_rss_bytes=None if result is None else cost.get("peak_rss_bytes"),
    )


def _missing(entry: SuiteTask, model: Model) -> str | None:
    """Return why a model gets no score on a task, if so: missing data or an unsupported task type."""
    return entry.missing or model.cannot(entry.task.metadata.type)


def _line(score: Score) -> str:
    outcome = (
        f"{score.main_score:.4f}  {score.seconds:6.1f} s"
        if score.main_score is not None
        else f"{score.state}: {score.reason}"
    )
    return f"{score.task:<38} {score.label:<34} {outcome}"


def _load(entry: SuiteTask, *, debug: bool) -> tuple[AbsTask | None, str | None]:
    """Return the task with its data, or the reason why it could not be loaded."""
    try:
        return load_task(entry), None
    except Exception as error:
        if debug:
            raise
        return None, f"its data could not be loaded: {_reason(error)}"


def _score_once(task: AbsTask, encoder: MtebEncoder, session: Session) -> Outcome:
    """Score the task unless another run scored it meanwhile."""
    meta = encoder.mteb_model_meta
    with session.store.locked(task.metadata.name, meta):
        result = session.store.complete(task, meta)
        if result is not None:
            return Outcome("read", result)
        try:
            return Outcome("scored", _score(task, encoder, session))
        except Exception as error:
            if session.debug:
                raise
            log.debug("task %s failed", task.metadata.name, exc_info=True)
            return Outcome("failed", reason=_reason(error))
        finally:
            encoder.forget()


def _score(task: AbsTask, encoder: MtebEncoder, session: Session) -> TaskResult:
    # A task's random state advances while scoring. Every model gets a copy with the state after loading, so that all
    # models see the same draws as if evaluated alone.
    task = copy.copy(task)
    task.rng_state, task.np_rng = copy.deepcopy((task.rng_state, task.np_rng))
    _seed_everything(session.seed)
    recorder = Recorder(task) if session.samples else None
    store, meta, peak = session.store, encoder.mteb_model_meta, Peak()

    def samples_of(name: str) -> Path:
        return store.path("samples", name, meta, ".npz")

    def before_save(result: TaskResult) -> None:
        if recorder is None:
            samples_of(result.task_name).unlink(missing_ok=True)
        else:
            recorder.write(result, samples_of)
        cost = {
            "seconds": result.evaluation_time,
            "peak_rss_bytes": peak.rss_bytes(),
            "peak_rss_of": peak.of,
            "texts_asked": encoder.memo.asked,
            "texts_encoded": encoder.memo.encoded,
            "device": encoder.device,
        }
        write_json(store.path("costs", result.task_name, meta, ".json"), cost)

    with quick_mteb(), _uncompiled():
        results = mteb.evaluate(
            encoder,
            task,
            cache=Store(store.folder, before_save),
            co2_tracker=False,
            overwrite_strategy=_strategy(task, store, meta),
            encode_kwargs={"batch_size": session.batch_size, "show_progress_bar": False},
            show_progress_bar=False,
            prediction_folder=None if recorder is None else recorder.folder,
        )
    # read back, because result files are rounded and a score must not depend on whether it is new
    return store.complete(task, meta) or results.task_results[0]


def _uncompiled() -> AbstractContextManager[Any]:
    """Disable torch.compile on GPUs: on some, mteb compiles its cosine at each call, a minute instead of a second."""
    if accelerator() is None:
        return nullcontext()
    import torch

    return torch.compiler.set_stance("force_eager")


def _strategy(task: AbsTask, store: Store, meta: ModelMeta) -> Any:
    """Return mteb's overwrite strategy: keep scored splits, subsets and parts of the same data and mteb version."""
    if not isinstance(task, AbsTaskAggregate):
        return "always" if store.existing(task, meta) is None else "only-missing"
    for part in (task, *task.metadata.tasks):
        if store.existing(part, meta) is None:
            store.get_task_result_path(part.metadata.name, meta).unlink(missing_ok=True)
    return "only-missing"


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _seed_everything(seed: int) -> None:
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
