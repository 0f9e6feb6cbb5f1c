"""Run one experiment: prepare, distil, score, measure speed, record, report, log."""

import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from m2v_bench.cache import content_hash, write_json
from m2v_bench.config.check import check, flat_settings
from m2v_bench.config.schema import Config, TrackingConfig
from m2v_bench.distillation.distill import Distillation, describe, run_recipe
from m2v_bench.distillation.token_vectors import pick_device
from m2v_bench.distillation.training.training_texts import read_sample
from m2v_bench.errors import BenchError
from m2v_bench.evaluation.evaluate import Session, evaluate
from m2v_bench.evaluation.mteb_encoder import MtebEncoder, for_mteb
from m2v_bench.evaluation.overlap import TrainingIndex, overlaps
from m2v_bench.evaluation.store import Store
from m2v_bench.models import Model, distinct
from m2v_bench.models.static import distilled
from m2v_bench.reports.run_report import report_run, show_end, show_run
from m2v_bench.reports.signature import published_splits, signature
from m2v_bench.results.record import RECORD, ModelSize, RunRecord, Score, Speed, write_record
from m2v_bench.runs.prepare import Prepared, prepare
from m2v_bench.speed.suite_speed import SpeedTexts, measure
from m2v_bench.system.environment import command_line, environment, git_commit, versions
from m2v_bench.tasks import SuiteTask


@dataclass
class Timer:
    """Wall time per stage, in seconds."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, stage: str) -> Any:
        """Add the duration of the block to `stage`."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0) + time.perf_counter() - started


def run(
    config: DictConfig,
    output_dir: Path,
    *,
    sweep_dir: Path | None = None,
    alone: bool = True,
    prepared: Prepared | None = None,
) -> None:
    """Distil one variant, score it and the baselines, and write table, figure and record to `output_dir`.

    Args:
        config: the composed settings.
        output_dir: folder for this run's files.
        sweep_dir: folder of the sweep, if any; the sweep then shows one table and figure for all jobs.
        alone: whether no other job of the sweep runs on this machine, so that speed can be measured.
        prepared: result of `prepare` for these settings, if the caller has it.

    Raises:
        BenchError: for invalid settings or, after everything else is done, for failed tasks.
    """
    settings = check(config)
    started, timer = time.time(), Timer()
    _start(config, output_dir)
    with timer("prepare"):
        job = prepared or prepare(settings)  # before distilling, so that bad settings fail early
    with timer("distil"):
        student, distillation = distil(job, output_dir / "model")
    models = distinct([student, *job.baselines])
    device = pick_device(settings.device)
    encoders = {model.label: for_mteb(model, seed=settings.seed, device=device) for model in models}
    texts = SpeedTexts(settings.seed)
    with timer("evaluate"):
        scores = score(job, models, encoders, texts)
    with timer("speed"):
        speeds = measure(
            models,
            encoders,
            job.suite,
            texts,
            suite_name=settings.suite.name,
            results_dir=Path(settings.results_dir),
            seed=settings.seed,
            alone=alone,
            together=sweep_dir is None,  # models of a sweep are timed together at the end
            debug=settings.debug,
        )
    record = replace(
        make_record(job, student, distillation, scores, speeds),
        settings=flat_settings(config),
        seconds={**timer.seconds, **distillation.seconds},
        command=command_line() if sweep_dir is None else None,  # the plan of a sweep holds its command
        started=started,
        ended=time.time(),
    )
    _finish(settings, record, output_dir, sweep_dir)
    if failures := _failures(scores):
        raise BenchError(f"{failures}\nThe other results are kept. Run the same command again to retry.")


def _start(config: DictConfig, output_dir: Path) -> None:
    output_dir.mkdir(parents=True, exist_ok=True)
    (output_dir / RECORD).unlink(missing_ok=True)  # an old record must not survive if this run fails
    (output_dir / "config.yaml").write_text(OmegaConf.to_yaml(config, resolve=True), encoding="utf-8")


def distil(job: Prepared, folder: Path) -> tuple[Model, Distillation]:
    """Distil the job's static model and save it to `folder`."""
    recipe = job.recipe
    distillation = run_recipe(recipe, device=pick_device(job.settings.device))
    distillation.model.save_pretrained(folder)
    print(f"distilled {describe(recipe, distillation)}", flush=True)
    return distilled(distillation.model, folder, recipe), distillation


def score(
    job: Prepared, models: Sequence[Model], encoders: Mapping[str, MtebEncoder], texts: SpeedTexts
) -> list[Score]:
    """Score the models on the job's suite; `texts` collects the texts for the speed measurement.

    Raises:
        BenchError: if no task could be scored.
    """
    settings = job.settings
    session = Session(
        Store(Path(settings.results_dir)),
        settings.seed,
        settings.batch_size,
        samples=settings.samples,
        debug=settings.debug,
    )
    scores = evaluate(encoders, models, job.suite, session, on_load=texts.add)
    if not any(score.main_score is not None for score in scores):
        raise BenchError(
            f"suite={settings.suite.name}: no task could be scored.\n{_missing(job.suite)}{_failures(scores)}"
        )
    print(_missing(job.suite) + _refused(job.suite, scores), end="")
    return scores


def make_record(
    job: Prepared,
    student: Model,
    distillation: Distillation,
    scores: Sequence[Score],
    speeds: Sequence[Speed],
) -> RunRecord:
    """Return the run's record without settings, command and times."""
    recipe = job.recipe
    return RunRecord(
        scores,
        key=job.key,
        name=recipe.name,
        revision=recipe.revision,
        label=recipe.label,
        variant=recipe.variant,
        size=ModelSize(student.dims, student.n_parameters, student.bytes_on_disk),
        speed=speeds,
        forward_cached=distillation.forward_cached,
        vocabulary_report=asdict(distillation.words),
        training=training_record(job, distillation),
        versions=versions(),
        git_commit=git_commit(),
        teacher=next((model.label for model in job.baselines if model.name == recipe.base.name), None),
        signature=_signature(job.settings, job.suite),
        datasets={entry.name: entry.dataset for entry in job.suite if not entry.missing},
    )


def training_record(job: Prepared, distillation: Distillation) -> dict[str, Any]:
    """Return the losses of the training, and how many texts of the tasks are in its corpus; empty without training."""
    if distillation.training is None:
        return {}
    recipe = job.recipe
    n_texts = recipe.config.training.n_texts

    def read() -> TrainingIndex:
        return TrainingIndex(read_sample(recipe.training_corpora, n_texts, show_progress=False).texts)

    revision = content_hash([recipe.variant["training.corpus_revision"], n_texts])
    counts = [asdict(overlap) for overlap in overlaps(job.suite, revision, read)]
    shared = [row for row in counts if row["exact"] or row["near"]]
    for row in shared:
        print(
            f"{row['task']}: of {row['texts']:,} texts, {row['exact']:,} are in the training corpus, and "
            f"{row['near']:,} more nearly"
        )
    return {**distillation.training.summary(), "overlap": counts}


def _finish(settings: Config, record: RunRecord, output_dir: Path, sweep_dir: Path | None) -> None:
    """Write table, figure and record, show them unless the run is part of a sweep, and log the run."""
    results_dir = Path(settings.results_dir)
    write_json(output_dir / "environment.json", environment())
    grid = report_run(record, output_dir, results_dir)
    write_record(output_dir, record)  # last: a record marks a complete run
    if sweep_dir is None:
        show_run(record, grid, output_dir, results_dir)
    if settings.tracking.name != "none":
        _log(settings, output_dir, sweep_dir)
    if sweep_dir is None:
        store = settings.tracking.uri if settings.tracking.name == "mlflow" else None
        show_end(output_dir, results_dir, model=output_dir / "model", store=store)


def _signature(settings: Config, suite: Sequence[SuiteTask]) -> str:
    packages = versions()
    return signature(
        suite=settings.suite.name,
        n_tasks=len(suite),
        aggregation=settings.suite.aggregation,
        dialect=settings.dialect,
        seed=settings.seed,
        versions={name: packages[name] for name in ("m2v_bench", "mteb", "torch")},
        splits=published_splits(suite),
    )


def _missing(suite: Sequence[SuiteTask]) -> str:
    return "".join(f"{entry.name} is missing: {entry.missing}\n" for entry in suite if entry.missing)


def _refused(suite: Sequence[SuiteTask], scores: Sequence[Score]) -> str:
    """List the models that do not support all tasks, with reasons."""
    absent = {entry.name for entry in suite if entry.missing}
    refused = [(score.label, score.reason) for score in scores if score.state == "missing" and score.task not in absent]
    return "".join(
        f"{label} has no score on {refused.count((label, reason))} of {len(suite)} tasks: {reason}\n"
        for label, reason in dict.fromkeys(refused)
    )


def _failures(scores: Sequence[Score]) -> str:
    failed = [score for score in scores if score.state == "failed"]
    if not failed:
        return ""
    lines = [f"  {score.task}, {score.label}: {score.reason}" for score in failed]
    return f"{len(failed)} of {len(scores)} scores failed (debug=true shows where):\n" + "\n".join(lines)


def _log(settings: Config, output_dir: Path, sweep_dir: Path | None) -> None:
    with not_fatal(settings.tracking, settings.results_dir, debug=settings.debug):
        from m2v_bench import tracking

        tracking.log_run(settings.tracking, output_dir, sweep_dir=sweep_dir)


@contextmanager
def not_fatal(tracking: TrackingConfig, results_dir: str, *, debug: bool) -> Iterator[None]:
    """Report a store that cannot be written and continue: the result files hold everything."""
    try:
        yield
    except Exception as error:
        if debug:
            raise
        reason = str(error) if isinstance(error, BenchError) else f"{type(error).__name__}: {error}".splitlines()[0]
        rebuild = ["m2v-bench", "track", "rebuild", "--results", results_dir, "--uri", tracking.uri]
        if tracking.experiment != TrackingConfig().experiment:
            rebuild += ["--experiment", tracking.experiment]
        print(
            f"not logged: tracking.uri={tracking.uri} gave {reason}\n"
            f"The results are kept; `{shlex.join(rebuild)}` catches up."
        )
