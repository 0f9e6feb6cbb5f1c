"""The table and the lines that `m2v-bench doctor` prints."""

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
from m2v_bench.models import Model
from m2v_bench.reports.grid import Grid
from m2v_bench.runs.prepare import model_assets, suite_of
from m2v_bench.system.formatting import duration, human_bytes
from m2v_bench.system.memory import available_memory
from m2v_bench.tasks.manifest import NAME, Manifest
from m2v_bench.tasks.suite import SuiteTask


@dataclass
class Lines:
    """What is printed under the table, and how many of the lines stand in the way of a run."""

    lines: list[str] = field(default_factory=list)
    problems: int = 0

    def add(self, topic: str, text: str, *, problem: bool = False) -> None:
        """One line, `ok` or `PROBLEM`."""
        self.lines.append(f"{'PROBLEM' if problem else 'ok':<8}{topic}: {text}")
        self.problems += problem


def doctor(settings: Config, *, count: str) -> None:
    """Print what a run with these settings needs, what is here, and how long it will take.

    Args:
        settings: of the run.
        count: which datasets are counted and compared with mteb's statistics: `all`, `none` or `small`.

    Raises:
        BenchError: after everything is printed, when the run could not be completed, or not on the right data.
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
    estimates = _time(lines, usable, models.models, settings)
    _grid(settings, needs, estimates).show()
    print("\n".join(lines.lines))
    if lines.problems:
        raise BenchError(f"{lines.problems} problem(s): this run could not be completed here as it should be.")


def _without_hub_dir(settings: Config) -> Config:
    import dataclasses

    return dataclasses.replace(settings, hub_dir=None)


def _tasks(lines: Lines, needs: Sequence[Need], settings: Config) -> None:
    if settings.hub_dir:
        manifest = Manifest.read(Path(settings.hub_dir).expanduser())
        said = f"{NAME} of {len(manifest.entries)} repositories" if manifest else f"no {NAME}: its folders are trusted"
        lines.add("hub_dir", f"{settings.hub_dir}, {said}")
    sound = [need for need in needs if not need.problems]
    lines.add("tasks", f"{len(sound)} of {len(needs)} without a problem")
    for text, names in _by_text((need.name, need.remark) for need in needs if need.remark).items():
        lines.add(names, text)
    found = [(need.name, problem) for need in needs if not need.absent for problem in need.problems]
    for text, names in _by_text(found).items():
        lines.add(names, text, problem=True)
    if absent := [need.name for need in needs if need.absent]:
        where = f"hub_dir={settings.hub_dir}" if settings.hub_dir else "the hub's cache, and downloads are switched off"
        names = f"{len(absent)} tasks have nothing in {where}: {', '.join(absent)}"
        lines.add("data", f"{names}. {BUNDLE}", problem=True)
    if fetched := sorted({need.needs.removeprefix("asset ") for need in needs if need.state == "to be fetched"}):
        lines.add("assets", f"to be fetched at the start: m2v-bench fetch {' '.join(fetched)}")


def _by_text(said: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The names of all tasks of which the same is said."""
    names: dict[str, list[str]] = {}
    for name, text in said:
        names.setdefault(text, []).append(name)
    return {text: ", ".join(group) for text, group in names.items()}


@dataclass
class Models:
    """The models of the run, none when something that they are made of is not here yet; and bytes to download."""

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
    found = Models(
        asset_bytes=sum(catalog()[name].bytes for name in absent),
        hub_bytes=sum(size or 0 for size, _ in asked.values()),
    )
    if absent:
        fetch = f"{_mb(found.asset_bytes)} MB; m2v-bench fetch {' '.join(absent)}"
        lines.add("models", f"not here yet: {', '.join(absent)} ({fetch})")
    for name, (size, why) in asked.items():
        if not why:
            lines.add(
                "models", f"to be downloaded from the hub: {name} ({human_bytes(size) if size else 'size unknown'})"
            )
    if absent or asked:
        return found
    try:
        found.models = models_of_run(settings)
    except BenchError as error:
        lines.add("models", str(error), problem=True)
        return found
    lines.add("models", ", ".join(model.label for model in found.models))
    return found


def _disk(lines: Lines, needs: Sequence[Need], tasks: Sequence[AbsTask], models: Models, settings: Config) -> None:
    import datasets
    from huggingface_hub.constants import HF_HUB_CACHE

    prepared = arrow_bytes(tasks)
    # what lies in a folder is prepared in our cache, what comes from the hub in that of `datasets`
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
            f"{human_bytes(free)} free for {where}; needed at most about {human_bytes(needed)}: downloads, and "
            "a copy of every dataset of a byte per character",
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
        why = "the models, mteb's statistics or this system do not tell enough" if tasks else "no task's data is here"
        lines.add("memory", f"not estimated: {why}")
        return
    lines.add(
        "memory",
        f"{human_bytes(available)} available; the largest task, {peak.task}, takes about "
        f"{human_bytes(peak.bytes)} beside the models: {peak.how}",
        problem=available < peak.bytes,
    )


def _time(
    lines: Lines, suite: Sequence[SuiteTask], models: Sequence[Model], settings: Config
) -> dict[str, tuple[list[Estimate | None], int]]:
    """The estimates of every task whose data can be had, and how many of its scores are made already."""
    if not models:
        lines.add("time", "not estimated: the models are not here yet")
        return {}
    records = Records.read(Path(settings.results_dir))
    estimates = {entry.name: forecast(records, entry.task, models, seed=settings.seed) for entry in suite}
    known = [one for found, _ in estimates.values() for one in found if one]
    unknown = sum(one is None for found, _ in estimates.values() for one in found)
    made = sum(made for _, made in estimates.values())
    parts = [f"{made} scores are made already"] if made else []
    for source in dict.fromkeys(one.source for one in known):
        group = [one.seconds for one in known if one.source == source]
        parts.append(f"{len(group)} take {duration(sum(group))} ({source})")
    parts += [f"{unknown} have no timing recorded in {settings.results_dir}"] if unknown else []
    lines.add("time", "; ".join(parts) or "nothing is left to score")
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
        title=f"doctor: suite {settings.suite.name} ({len(needs)} tasks)",
        notes=["Data: counted as mteb counts it, beside the statistics that mteb ships"],
        bold=frozenset(
            (row, column) for row, cells in enumerate(rows) for column, text in enumerate(cells) if text in wrong
        ),
    )


def _cell(estimate: tuple[list[Estimate | None], int] | None) -> str:
    if estimate is None:
        return "-"
    found, made = estimate
    if not found:
        return "scored" if made else "-"
    known = [one.seconds for one in found if one]
    return f"{duration(sum(known))} ({len(known)}/{len(found)})" if known else "no timing recorded"


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f}"
