"""Stock mteb tasks from dataset repositories that lie in a local folder, laid out as `<org>/<name>/`."""

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
    """Point `task` at its repository below `hub_dir`; return what is not there, or not what mteb pins.

    Where `hub_dir` has a manifest, revision, names and sizes of the files are compared with it; their content when
    the data is loaded. Without one the folder is taken as it is.
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
    # the metadata object belongs to the class: changing it in place would change the task for everyone
    dataset = {**task.metadata.dataset, "path": str(folder)}
    task.metadata = task.metadata.model_copy(update={"dataset": dataset})
    return []


def find_repository(hub_dir: Path, repository: str, revision: str) -> tuple[Path | None, str]:
    """The repository's folder, or None and what is wrong with it."""
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
    """The revisions that the manifest of `hub_dir` has of a repository."""
    manifest = Manifest.read(hub_dir.absolute())
    return [] if manifest is None else manifest.revisions(repository)


@functools.cache
def newest_commit(repository: str) -> tuple[str | None, str]:
    """The newest commit of a dataset repository on the hub, or None and why it is not known."""
    from huggingface_hub import HfApi

    if is_offline("HF_HUB_OFFLINE"):
        return None, "downloads are switched off"
    if _unreachable:
        return None, _unreachable[0]
    try:
        return HfApi().dataset_info(repository, timeout=10).sha, ""
    except HfHubHTTPError as error:
        return None, type(error).__name__
    except Exception as error:  # the hub client raises many kinds of network errors; one of them is enough
        _unreachable.append(type(error).__name__)
        return None, _unreachable[0]


_unreachable: list[str] = []


def load_data(task: AbsTask) -> None:
    """Load the task's data, checked against the manifest that lies with it, and against what the task needs.

    Raises:
        BenchError: for a file that is not what the manifest says, for a subset or split that is not there, and for a
            reranking task without candidates.
    """
    check_contents(task)
    with literal_path(task):
        task.load_data()
    check_loaded(task)
    check_candidates(task)


def check_contents(task: AbsTask) -> bool:
    """Compare every byte of the task's folder with the manifest of the bundle that it lies in.

    Returns:
        Whether there is a manifest that lists the folder.

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
    """Let `datasets` read the task's local folder exactly, and keep what it prepares under the folder's content.

    It would take the path for a pattern, and its own cache is keyed by the path, under which rows of an earlier
    content would come back.
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
