"""Print the report of `m2v-bench doctor`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mteb.abstasks import AbsTask

from m2v_bench.assets.fetch import catalog
from m2v_bench.cache import cache_dir
from m2v_bench.config.schema import Config
from m2v_bench.doctor.data_needs import BUNDLE, NOT_HERE, Need, asset_state, examine
from m2v_bench.doctor.machine_needs import arrow_bytes, disk_of, free_bytes, peak_memory
from m2v_bench.doctor.model_needs import dims_of, hub_models, models_of_run
from m2v_bench.doctor.timing import Estimate, Records, forecast
from m2v_bench.errors import BenchError
from m2v_bench.inference.fast.loading import compile_ahead
from m2v_bench.models import Model
from m2v_bench.reports.grid import Grid
from m2v_bench.runs.prepare import model_assets, suite_of
from m2v_bench.system.formatting import duration, human_bytes, number_of
from m2v_bench.system.memory import available_memory
from m2v_bench.tasks.manifest import NAME, Manifest
from m2v_bench.tasks.suite import SuiteTask


@dataclass
class Lines:
    """Lines printed below the table, and the number of problems among them."""

    lines: list[str] = field(default_factory=list)
    problems: int = 0

    def add(self, topic: str, text: str, *, problem: bool = False) -> None:
        """Add a line, marked `ok` or `PROBLEM`."""
        self.lines.append(f"{'PROBLEM' if problem else 'ok':<8}{topic}: {text}")
        self.problems += problem


def doctor(settings: Config, *, count: str) -> None:
    """Print what a run with these settings needs, what is available, and how long it will take.

    Args:
        settings: settings of the run.
        count: which datasets to compare with mteb's statistics: `all`, `none` or `small`.

    Raises:
        BenchError: after printing, if the run cannot be completed, or not on the right data.
    """
    suite = suite_of(settings)
    pinned = suite_of(_without_hub_dir(settings))
    needs = examine(suite, pinned, count=count)
    lines = Lines()
    _tasks(lines, needs, settings)
    models = _models(lines, settings)
    usable = [entry for entry, need in zip(suite, needs, strict=True) if need.state not in NOT_HERE]
    tasks = [entry.task for entry in usable]
    _disk(lines, needs, tasks, models, settings)
    _memory(lines, tasks, dims_of(models.models, settings))
    path = compile_ahead()
    lines.add(
        "encoding", "compiled loops" if path else f"without compiled loops, at a tenth of the speed: {path.obstacle}"
    )
    estimates = _time(lines, usable, models.models, settings)
    _grid(settings, needs, estimates).show()
    print("\n".join(lines.lines))
    if lines.problems:
        raise BenchError(f"{lines.problems} problem(s): this run cannot be completed correctly here.")


def _without_hub_dir(settings: Config) -> Config:
    import dataclasses

    return dataclasses.replace(settings, hub_dir=None)


def _tasks(lines: Lines, needs: Sequence[Need], settings: Config) -> None:
    if settings.hub_dir:
        manifest = Manifest.read(Path(settings.hub_dir).expanduser())
        state = (
            f"{NAME} of {len(manifest.entries)} repositories" if manifest else f"no {NAME}: folders are not verified"
        )
        lines.add("hub_dir", f"{settings.hub_dir}, {state}")
    sound = [need for need in needs if not need.problems]
    lines.add("tasks", f"{len(sound)} of {len(needs)} without a problem")
    for text, names in _by_text((need.name, need.remark) for need in needs if need.remark).items():
        lines.add(names, text)
    problems = [(need.name, problem) for need in needs if not need.absent for problem in need.problems]
    for text, names in _by_text(problems).items():
        lines.add(names, text, problem=True)
    if absent := [need.name for need in needs if need.absent]:
        where = f"hub_dir={settings.hub_dir}" if settings.hub_dir else "the hub's cache, and downloads are disabled"
        names = f"{len(absent)} tasks have nothing in {where}: {', '.join(absent)}"
        lines.add("data", f"{names}. {BUNDLE}", problem=True)
    if fetched := sorted({need.needs.removeprefix("asset ") for need in needs if need.state == "to be fetched"}):
        lines.add("assets", f"to be fetched at the start of the run: m2v-bench fetch {' '.join(fetched)}")


def _by_text(remarks: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Group task names by remark: remark -> joined names."""
    names: dict[str, list[str]] = {}
    for name, text in remarks:
        names.setdefault(text, []).append(name)
    return {text: ", ".join(group) for text, group in names.items()}


@dataclass
class Models:
    """Models of the run (empty if any needs a download), and bytes to download."""

    models: list[Model] = field(default_factory=list)
    asset_bytes: int = 0
    hub_bytes: int = 0


def _models(lines: Lines, settings: Config) -> Models:
    states = {name: asset_state(name) for name in model_assets(settings)}
    asked = {model.name: model.ask() for model in hub_models(settings) if not model.is_cached()}
    problems = [problem for _, problem in [*states.values(), *asked.values()] if problem]
    for problem in problems:
        lines.add("models", problem, problem=True)
    absent = [name for name, (state, _) in states.items() if state != "present"]
    models = Models(
        asset_bytes=sum(catalog()[name].bytes for name in absent),
        hub_bytes=sum(size or 0 for size, _ in asked.values()),
    )
    if absent:
        fetch = f"{_mb(models.asset_bytes)} MB; m2v-bench fetch {' '.join(absent)}"
        lines.add("models", f"not available yet: {', '.join(absent)} ({fetch})")
    for name, (size, why) in asked.items():
        if not why:
            lines.add(
                "models", f"to be downloaded from the hub: {name} ({human_bytes(size) if size else 'size unknown'})"
            )
    if absent or asked:
        return models
    try:
        models.models = models_of_run(settings)
    except BenchError as error:
        lines.add("models", str(error), problem=True)
        return models
    lines.add("models", ", ".join(model.label for model in models.models))
    return models


def _disk(lines: Lines, needs: Sequence[Need], tasks: Sequence[AbsTask], models: Models, settings: Config) -> None:
    import datasets
    from huggingface_hub.constants import HF_HUB_CACHE

    prepared = arrow_bytes(tasks)
    # data from a folder is prepared in our cache, data from the hub in the cache of `datasets`
    ours, theirs = (prepared, 0) if settings.hub_dir else (0, prepared)
    wanted = [
        (cache_dir(), models.asset_bytes + _bytes(needs, "to be fetched") + ours),
        (Path(HF_HUB_CACHE), models.hub_bytes + _bytes(needs, "on the hub")),
        (Path(datasets.config.HF_DATASETS_CACHE), theirs),
    ]
    disks: dict[int, list[tuple[Path, int]]] = {}
    for folder, size in wanted:
        if size or folder == cache_dir():
            disks.setdefault(disk_of(folder), []).append((folder, size))
    for folders in disks.values():
        free, needed = free_bytes(folders[0][0]), sum(size for _, size in folders)
        where = " and ".join(f"{folder} ({human_bytes(size)})" for folder, size in folders)
        lines.add(
            "disk",
            f"{human_bytes(free)} free for {where}; at most about {human_bytes(needed)} needed: downloads, and "
            "a copy of every dataset (1 byte per character)",
            problem=free < needed,
        )
    free = free_bytes(Path(settings.results_dir))
    lines.add("disk", f"{human_bytes(free)} free for results_dir ({settings.results_dir})", problem=free < 10**8)


def _bytes(needs: Sequence[Need], state: str) -> int:
    return sum(need.bytes or 0 for need in needs if need.state == state)


def _memory(lines: Lines, tasks: Sequence[AbsTask], dims: int | None) -> None:
    available = available_memory()
    peak = peak_memory(tasks, dims) if dims else None
    if available is None or peak is None:
        unknown = "unknown model size, mteb statistics or available memory"
        why = unknown if tasks else "no task has its data here"
        lines.add("memory", f"not estimated: {why}")
        return
    lines.add(
        "memory",
        f"{human_bytes(available)} available; the largest task, {peak.task}, takes about "
        f"{human_bytes(peak.bytes)} in addition to the models: {peak.how}",
        problem=available < peak.bytes,
    )


def _time(
    lines: Lines, suite: Sequence[SuiteTask], models: Sequence[Model], settings: Config
) -> dict[str, tuple[list[Estimate | None], int]]:
    """Return the estimates for each task with data, and how many of its scores exist."""
    if not models:
        lines.add("time", "not estimated: the models are not available yet")
        return {}
    records = Records.read(Path(settings.results_dir))
    estimates = {entry.name: forecast(records, entry.task, models, seed=settings.seed) for entry in suite}
    scores = [estimate for of_task, _ in estimates.values() for estimate in of_task]
    known = [estimate for estimate in scores if estimate]
    unknown = len(scores) - len(known)
    done = sum(n_done for _, n_done in estimates.values())
    parts = [f"{number_of(done, 'score')} already there"] if done else []
    for source in dict.fromkeys(estimate.source for estimate in known):
        group = [estimate.seconds for estimate in known if estimate.source == source]
        parts.append(f"{len(group)} take {duration(sum(group))} ({source})")
    parts += [f"{unknown} have no timing recorded in {settings.results_dir}"] if unknown else []
    lines.add("time", "; ".join(parts) or "nothing left to score")
    return estimates


def _grid(settings: Config, needs: Sequence[Need], estimates: dict[str, tuple[list[Estimate | None], int]]) -> Grid:
    rows = []
    for need in needs:
        size = "-" if need.bytes is None else _mb(need.bytes)
        rows.append([need.name, need.needs, need.state, size, need.data, _cell(estimates.get(need.name))])
    wrong = {*NOT_HERE, "differs"}
    return Grid(
        columns=["Task", "Needs", "State", "MB", "Data", "Time (n/N scores)"],
        rows=rows,
        title=f"doctor: suite {settings.suite.name} ({number_of(len(needs), 'task')})",
        notes=["Data: comparison with the descriptive statistics that mteb ships"],
        bold=frozenset(
            (row, column) for row, cells in enumerate(rows) for column, text in enumerate(cells) if text in wrong
        ),
    )


def _cell(estimates: tuple[list[Estimate | None], int] | None) -> str:
    if estimates is None:
        return "-"
    scores, n_done = estimates
    if not scores:
        return "scored" if n_done else "-"
    known = [estimate.seconds for estimate in scores if estimate]
    return f"{duration(sum(known))} ({len(known)}/{len(scores)})" if known else "no timing recorded"


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f}"
