"""List what a run would download: how large it is, and whether the package registry and the hub provide it."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from m2v_bench.assets.fetch import catalog, is_offline, no_downloads, state
from m2v_bench.cache import cache_dir
from m2v_bench.config.schema import Config
from m2v_bench.doctor.data_needs import BUNDLE, Hub, asset_state
from m2v_bench.doctor.machine_needs import free_bytes
from m2v_bench.doctor.model_needs import HubModel, hub_models, weight_bytes
from m2v_bench.doctor.timing import ROUGH, rough
from m2v_bench.models.bm25 import TASK_TYPES
from m2v_bench.reports.grid import Grid
from m2v_bench.runs.prepare import model_assets, suite_assets, suite_of
from m2v_bench.system.formatting import duration, human_bytes
from m2v_bench.tasks.own_task import repositories
from m2v_bench.tasks.suite import SuiteTask

_REGISTRY, _HUB = "package registry", "hub"
_AT_ONCE = 8  # questions to the registry and the hub
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
        is_dataset: whether it is a dataset repository, which a plan can do without.
    """

    name: str
    needed_for: str
    source: str
    bytes: int | None
    problem: str | None
    is_dataset: bool = False


def lacks_files(settings: Config) -> bool:
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
    models: dict[tuple[str, str | None], HubModel] = {}
    datasets: dict[tuple[str, str], list[str]] = {}
    for settings in runs:
        for name in _absent(model_assets(settings)):
            assets.setdefault(name, ["models"])
        for entry in suite_of(settings):
            for name in _absent([entry.asset] if entry.asset else []):
                _add(assets.setdefault(name, []), entry.name)
            for repository in _on_the_hub(entry):
                _add(datasets.setdefault(repository, []), entry.name)
        for model in hub_models(settings):
            if not model.is_cached():
                models.setdefault((model.name, model.revision), model)
    if (assets or models or datasets) and not is_offline("HF_HUB_OFFLINE"):
        print("asking the package registry and the hub ...", file=sys.stderr)
    hub = Hub()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        states = pool.map(asset_state, assets)
        answers = pool.map(HubModel.ask, models.values())
        needed = [
            Download(name, _joined(assets[name]), _REGISTRY, catalog()[name].bytes, why)
            for name, (_, why) in zip(assets, states, strict=True)
        ]
        needed += [Download(name, "models", _HUB, *answer) for (name, _), answer in zip(models, answers, strict=True)]
    return needed + [
        Download(pair[0], _joined(tasks), _HUB, *hub.size(*pair), is_dataset=True) for pair, tasks in datasets.items()
    ]


def _absent(names: Iterable[str]) -> list[str]:
    """Return the assets to be fetched: those that are not here, and what they borrow from."""
    wanted = dict.fromkeys(
        name for asset in names if state(catalog()[asset]) != "ready" for name in (*catalog()[asset].borrowed, asset)
    )
    return [name for name in wanted if state(catalog()[name]) != "ready"]


def _on_the_hub(entry: SuiteTask) -> list[tuple[str, str]]:
    """Return the dataset repositories of a task that are neither in a folder nor in the hub's cache."""
    from huggingface_hub.constants import HF_HUB_CACHE

    def is_here(name: str, revision: str) -> bool:
        folder = Path(HF_HUB_CACHE) / f"datasets--{name.replace('/', '--')}"
        interrupted = any(folder.glob("blobs/*.incomplete"))
        return Path(name).is_absolute() or ((folder / "snapshots" / revision).is_dir() and not interrupted)

    return [] if entry.asset or entry.missing else [pair for pair in repositories(entry.task) if not is_here(*pair)]


def _add(tasks: list[str], name: str) -> None:
    if "models" not in tasks and name not in tasks:
        tasks.append(name)


def _joined(tasks: Sequence[str]) -> str:
    return ", ".join(tasks) if len(tasks) < 3 else f"{len(tasks)} tasks"


def show_downloads(needed: Sequence[Download]) -> None:
    """Print a row per download, the size of all, and what to do about those that nobody provides."""
    from huggingface_hub.constants import HF_HUB_CACHE

    rows = [
        [
            item.name,
            item.needed_for,
            item.source,
            "?" if item.bytes is None else f"{item.bytes / 1e6:,.1f}",
            "no" if item.problem else "yes",
        ]
        for item in needed
    ]
    notes = []
    for source, folder in ((_REGISTRY, cache_dir()), (_HUB, Path(HF_HUB_CACHE))):
        items = [item for item in needed if item.source == source]
        if items:
            size = human_bytes(sum(item.bytes or 0 for item in items))
            more = " and those of unknown size" if any(item.bytes is None for item in items) else ""
            notes.append(f"{size}{more} from the {source} to {folder}, {human_bytes(free_bytes(folder))} free")
    problems = list(dict.fromkeys(item.problem for item in needed if item.problem))
    notes += problems
    if any(item.problem and item.source == _HUB for item in needed) and not any(BUNDLE in text for text in problems):
        notes.append(BUNDLE)
    columns = ["Download", "Needed for", "From", "MB", "Provided"]
    Grid(columns, rows, title="to be downloaded at the start", notes=notes).show()


def show_rough_time(runs: Sequence[Config], needed: Sequence[Download]) -> None:
    """Print roughly how long scoring takes while models are not here, by the number of characters of the tasks."""
    sizes = {item.name: item.bytes for item in needed}
    times: dict[tuple[str, str], float | None] = {}  # by model and task, each counted once
    kinds: dict[str, str] = {}
    for number, settings in enumerate(runs):
        models = {f"variant {number}": ("static", None), **_baselines(settings, sizes)}
        for entry in suite_of(settings):
            for name, (kind, n_parameters) in models.items():
                kinds[name] = kind
                if not entry.missing and (kind != "lexical" or entry.task.metadata.type in TASK_TYPES):
                    times[name, entry.name] = rough(entry.task, kind, n_parameters)
    parts: dict[str, float] = {}
    for (name, _), seconds in times.items():
        shown = name if kinds[name] == "transformer" else "other models"
        parts[shown] = parts.get(shown, 0.0) + (seconds or 0.0)
    n_unknown = len({task for (_, task), seconds in times.items() if seconds is None})
    excluded = f", excluding {n_unknown} task(s) of unknown size" if n_unknown else ""
    listed = ", ".join(f"{name} {duration(seconds)}" for name, seconds in parts.items() if seconds)
    print(
        f"scoring, {ROUGH}, on two cores and without distillation: {listed or 'unknown'}{excluded}\n"
        "Once these files are here, dry_run=true shows jobs, caches and recorded times; m2v-bench fetch fetches assets."
    )


def _baselines(settings: Config, sizes: Mapping[str, int | None]) -> dict[str, tuple[str, float | None]]:
    """Return the kind of each baseline and, for a transformer, its number of parameters by the size of its weights."""
    cached = {model.name: model.cached_bytes for model in hub_models(settings)}
    models: dict[str, tuple[str, float | None]] = {}
    for key, baseline in settings.baselines.items():
        if baseline.kind not in ("teacher", "sentence_transformer"):
            models[key] = "lexical" if baseline.kind == "bm25" else "static", None
            continue
        name = str(settings.base_model.name if baseline.kind == "teacher" else baseline.name)
        size = sizes.get(name) or (catalog()[name].bytes if name in catalog() else None)
        folder = Path(name).expanduser()
        size = size or cached.get(name) or (weight_bytes(folder) if folder.is_dir() else 0)
        models[name] = "transformer", size / _BYTES_PER_PARAMETER or None
    return models
