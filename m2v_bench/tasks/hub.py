"""Load stock mteb tasks from dataset repositories in a local folder, laid out as `<org>/<name>/`."""

import copy
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub.errors import HfHubHTTPError
from mteb.abstasks import AbsTask
from mteb.abstasks.aggregated_task import AbsTaskAggregate

from m2v_bench.assets.dataset_folders import readable_folder
from m2v_bench.assets.fetch import is_offline
from m2v_bench.errors import BenchError
from m2v_bench.tasks.candidates import check_candidates
from m2v_bench.tasks.manifest import NAME, Manifest
from m2v_bench.tasks.subsets import check_loaded


def localize(task: AbsTask, hub_dir: Path) -> list[str]:
    """Point `task` at its repository below `hub_dir`; return repositories that are missing or not at mteb's revision.

    With a manifest in `hub_dir`, the revision, names and sizes of the files are compared now, their content on loading.
    Without one nothing is compared.
    """
    if isinstance(task, AbsTaskAggregate):
        parts = [copy.copy(part) for part in task.metadata.tasks]
        missing = [name for part in parts for name in localize(part, hub_dir)]
        task.metadata = task.metadata.model_copy(update={"tasks": parts})
        return missing
    repository, revision = task.metadata.dataset["path"], task.metadata.dataset["revision"]
    folder, wrong = find_repository(hub_dir.absolute(), repository, revision)
    if folder is None:
        return [f"{repository}{wrong}"]
    # copied, as the metadata object is shared by all instances of the class
    dataset = {**task.metadata.dataset, "path": str(folder)}
    task.metadata = task.metadata.model_copy(update={"dataset": dataset})
    return []


def find_repository(hub_dir: Path, repository: str, revision: str) -> tuple[Path | None, str]:
    """Return the repository's folder, or None and the reason."""
    manifest = Manifest.read(hub_dir)
    if manifest is None:
        folder = hub_dir / repository
        return (folder, "") if folder.is_dir() else (None, "")
    entry = manifest.find(repository, revision)
    if entry is None:
        if others := manifest.revisions(repository):
            return None, f" at {revision}, which mteb pins (the bundle holds {', '.join(others)})"
        unlisted = f" ({NAME} does not list the folder)" if (hub_dir / repository).is_dir() else ""
        return None, unlisted
    if damage := entry.damage(hub_dir, contents=False):
        return None, f" ({damage})"
    return hub_dir / entry.folder, ""


def revisions_in(hub_dir: Path, repository: str) -> list[str]:
    """Return the revisions of a repository in the manifest of `hub_dir`."""
    manifest = Manifest.read(hub_dir.absolute())
    return [] if manifest is None else manifest.revisions(repository)


def newest_commit(repository: str) -> tuple[str | None, str]:
    """Return the newest commit of a dataset repository on the hub, or None and the reason."""
    if is_offline("HF_HUB_OFFLINE"):
        return None, "downloads are switched off"
    return _newest_commit(repository)


@functools.cache
def _newest_commit(repository: str) -> tuple[str | None, str]:
    if _unreachable:
        return None, _unreachable[0]
    return _commit(repository, timeout=10)


def _commit(repository: str, revision: str | None = None, *, timeout: float) -> tuple[str | None, str]:
    """Ask the hub for a commit of a repository, or return None and the reason; note when the hub does not answer."""
    from huggingface_hub import HfApi

    try:
        return HfApi().dataset_info(repository, revision=revision, timeout=timeout).sha, ""
    except HfHubHTTPError as error:
        return None, type(error).__name__
    except Exception as error:  # the hub client raises many types of network errors; do not try again after one
        _unreachable.append(type(error).__name__)
        return None, _unreachable[0]


_unreachable: list[str] = []


def load_data(task: AbsTask) -> None:
    """Load the task's data, and check it against the bundle's manifest and the task's needs.

    Raises:
        BenchError: for a file that differs from the manifest, a missing subset or split, and a reranking task without
            candidates; or when the hub cannot be reached.
    """
    check_contents(task)
    with literal_path(task), _without_waiting(task):
        task.load_data()
    check_loaded(task)
    check_candidates(task)


@contextmanager
def _without_waiting(task: AbsTask) -> Iterator[None]:
    """Wait for the hub once: while it cannot be reached, later tasks load what is cached and fail at once otherwise."""
    import datasets
    from huggingface_hub import constants

    repository, revision = str(task.metadata.dataset["path"]), str(task.metadata.dataset["revision"])
    if Path(repository).is_absolute() or is_offline("HF_HUB_OFFLINE"):
        yield
        return
    before = constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    is_down = bool(_unreachable) and not _answers(repository, revision)
    constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = is_down
    try:
        yield
    except ConnectionError as error:
        if not _unreachable:
            _unreachable.append(type(error).__name__)
        raise BenchError(
            f"{repository}: the model hub cannot be reached; set hub_dir=FOLDER to load it offline"
        ) from error
    finally:
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before


def _answers(repository: str, revision: str) -> bool:
    """Ask the hub for a repository once, and forget that it could not be reached if it answers."""
    _unreachable.clear()
    _commit(repository, revision, timeout=5)
    return not _unreachable


def check_contents(task: AbsTask) -> bool:
    """Compare every byte of the task's folder with the manifest of its bundle.

    Returns:
        Whether a manifest lists the folder.

    Raises:
        BenchError: naming the repository and the file.
    """
    folder = Path(str(task.metadata.dataset["path"]))
    if not folder.is_absolute():
        return False
    root = folder.parents[1]
    manifest = Manifest.read(root)
    entry = manifest.entries.get(folder.relative_to(root).as_posix()) if manifest else None
    if entry is not None and (damage := entry.damage(root, contents=True)):
        raise BenchError(f"{entry.repository}: {damage}; write the bundle again")
    return entry is not None


@contextmanager
def literal_path(task: AbsTask) -> Iterator[None]:
    """Make `datasets` take the path of the task's folder literally, with a cache keyed by content.

    By default `datasets` treats the path as a pattern, and its cache, keyed by path, returns stale rows.
    """
    import datasets

    folder = Path(str(task.metadata.dataset["path"]))
    if not folder.is_absolute():
        yield
        return
    path, cache = readable_folder(folder, f"{task.metadata.name}: {folder}")
    before, metadata = datasets.config.HF_DATASETS_CACHE, task.metadata
    datasets.config.HF_DATASETS_CACHE = cache
    task.metadata = metadata.model_copy(update={"dataset": {**metadata.dataset, "path": str(path)}})
    try:
        yield
    finally:
        datasets.config.HF_DATASETS_CACHE, task.metadata = before, metadata
