"""List what a run would download: how large it is, and whether the package registry and the hub provide it."""

import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from m2v_bench.assets.fetch import catalog, no_downloads, state
from m2v_bench.cache import cache_dir
from m2v_bench.config.schema import Config
from m2v_bench.doctor.data_needs import BUNDLE, Hub, asset_state
from m2v_bench.doctor.machine_needs import free_bytes
from m2v_bench.doctor.model_needs import hub_models
from m2v_bench.doctor.timing import ROUGH, rough
from m2v_bench.reports.grid import Grid
from m2v_bench.runs.prepare import model_assets, suite_assets, suite_of
from m2v_bench.system.formatting import duration, human_bytes
from m2v_bench.tasks.own_task import repositories
from m2v_bench.tasks.suite import SuiteTask

_REGISTRY, _HUB = "package registry", "hub"
_AT_ONCE = 8  # questions to the registry
_TRANSFORMERS = ("teacher", "sentence_transformer")
_BYTES_PER_PARAMETER = 4


@dataclass(frozen=True)
class Download:
    """Something that a run would download.

    Attributes:
        name: of an asset, a model or a dataset repository.
        needed_for: `models`, or the tasks.
        source: `package registry` or `hub`.
        bytes: its size; None if unknown.
        problem: why it cannot be downloaded; None if it can.
    """

    name: str
    needed_for: str
    source: str
    bytes: int | None
    problem: str | None


def lacks_models(settings: Config) -> bool:
    """Return whether a run needs assets or models that are not on this machine; asks no server."""
    with no_downloads():
        wanted = [*model_assets(settings), *suite_assets(suite_of(settings))]
    return bool(_absent(wanted)) or not all(model.is_cached() for model in hub_models(settings))


def downloads(runs: Sequence[Config]) -> list[Download]:
    """Return what the runs would download, each thing once: assets and models first, then datasets.

    Args:
        runs: checked settings.
    """
    assets: dict[str, list[str]] = {}
    models: dict[str, tuple[int | None, str | None]] = {}
    datasets: dict[tuple[str, str], list[str]] = {}
    for settings in runs:
        suite = suite_of(settings)
        for name in _absent(model_assets(settings)):
            assets.setdefault(name, ["models"])
        for entry in suite:
            for name in _absent([entry.asset] if entry.asset else []):
                _add(assets.setdefault(name, []), entry.name)
            for repository in _on_the_hub(entry):
                _add(datasets.setdefault(repository, []), entry.name)
        for model in hub_models(settings):
            if model.name not in models and not model.is_cached():
                models[model.name] = model.ask()
    if assets or datasets:
        print("asking the package registry and the hub ...", file=sys.stderr)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        states = dict(zip(assets, pool.map(asset_state, assets), strict=True))
    found = [
        Download(name, _joined(tasks), _REGISTRY, catalog()[name].bytes, states[name][1])
        for name, tasks in assets.items()
    ]
    found += [Download(name, "models", _HUB, *answer) for name, answer in models.items()]
    hub = Hub()
    for (name, revision), tasks in datasets.items():
        found.append(Download(name, _joined(tasks), _HUB, *hub.size(name, revision)))
    return found


def _absent(names: Iterable[str]) -> list[str]:
    """Return the assets to be fetched: those that are not here, and what they borrow from."""
    absent: list[str] = []
    for name in names:
        if state(catalog()[name]) != "ready":
            for one in (*catalog()[name].borrowed, name):
                if one not in absent and state(catalog()[one]) != "ready":
                    absent.append(one)
    return absent


def _on_the_hub(entry: SuiteTask) -> list[tuple[str, str]]:
    """Return the dataset repositories of a task that are neither in a folder nor in the hub's cache."""
    from huggingface_hub.constants import HF_HUB_CACHE

    if entry.asset or entry.missing:
        return []

    def is_here(name: str, revision: str) -> bool:
        folder = Path(HF_HUB_CACHE) / f"datasets--{name.replace('/', '--')}" / "snapshots" / revision
        return Path(name).is_absolute() or folder.is_dir()

    return [pair for pair in repositories(entry.task) if not is_here(*pair)]


def _add(tasks: list[str], name: str) -> None:
    if "models" not in tasks and name not in tasks:
        tasks.append(name)


def _joined(tasks: Sequence[str]) -> str:
    return ", ".join(tasks) if len(tasks) < 3 else f"{len(tasks)} tasks"


def show_downloads(found: Sequence[Download]) -> None:
    """Print a row per download, with the whole size and what to do about those that nobody provides."""
    rows = [
        [
            one.name,
            one.needed_for,
            one.source,
            "?" if one.bytes is None else f"{one.bytes / 1e6:,.1f}",
            "no" if one.problem else "yes",
        ]
        for one in found
    ]
    known = sum(one.bytes or 0 for one in found)
    more = " and those of unknown size" * any(one.bytes is None and not one.problem for one in found)
    notes = [f"{human_bytes(known)}{more} to download; {human_bytes(free_bytes(cache_dir()))} free in {cache_dir()}"]
    problems = dict.fromkeys(one.problem for one in found if one.problem)
    notes += list(problems)
    if any(one.problem and one.source == _HUB for one in found) and not any(BUNDLE in str(one) for one in problems):
        notes.append(BUNDLE)
    columns = ["Download", "Needed for", "From", "MB", "Provided"]
    Grid(columns, rows, title="to be downloaded at the start", notes=notes).show()


def show_rough_time(runs: Sequence[Config], found: Sequence[Download]) -> None:
    """Print roughly how long runs take whose models are not here yet, by the number of characters of their tasks."""
    sizes = {one.name: one.bytes for one in found}
    static, uncounted = 0.0, set()
    transformers: dict[str, dict[str, float]] = {}
    for settings in runs:
        tasks = {entry.name: entry.task for entry in suite_of(settings) if not entry.missing}
        seconds = {name: rough(task, "static") for name, task in tasks.items()}
        uncounted |= {name for name, each in seconds.items() if each is None}
        n_static = 1 + sum(one.kind not in _TRANSFORMERS for one in settings.baselines.values())
        static += n_static * sum(each or 0.0 for each in seconds.values())
        for one in settings.baselines.values():
            if one.kind in _TRANSFORMERS:
                name = str(settings.base_model.name if one.kind == "teacher" else one.name)
                size = sizes.get(name) or (catalog()[name].bytes if name in catalog() else None)
                n_parameters = None if size is None else size / _BYTES_PER_PARAMETER
                of_tasks = {task: rough(tasks[task], "transformer", n_parameters) or 0.0 for task in tasks}
                transformers.setdefault(name, {}).update(of_tasks)
    parts = [f"static models {duration(static)}"] if static else []
    parts += [f"{name} {duration(sum(times.values()))}" for name, times in transformers.items() if any(times.values())]
    lacking = f"; {len(uncounted)} tasks of unknown length are not in it" if uncounted else ""
    print(
        f"time, {ROUGH}, on two cores: {', '.join(parts) or 'unknown'}{lacking}\n"
        "Once the models are here, dry_run=true shows jobs, caches and recorded times; m2v-bench fetch fetches assets."
    )
