"""Compare the data that a suite needs with the data on this machine."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from m2v_bench.assets.fetch import catalog, is_offline, state
from m2v_bench.cache import folder_bytes
from m2v_bench.doctor.task_statistics import differences, n_texts
from m2v_bench.errors import BenchError
from m2v_bench.system.quiet import quiet
from m2v_bench.tasks.hub import check_contents
from m2v_bench.tasks.manifest import parts
from m2v_bench.tasks.own_task import OwnTask, repositories
from m2v_bench.tasks.suite import SuiteTask

# largest dataset to compare by default; mteb counts about 10,000 texts per second
CHECKED_TEXTS = 100_000
# states in which a task cannot be scored
NOT_HERE = ("missing", "damaged", "not readable")
BUNDLE = (
    "On a machine with hub access, run m2v-bench bundle suite=... --out FOLDER; then copy FOLDER here and set "
    "hub_dir=FOLDER"
)


@dataclass
class Need:
    """Data needed by a task, and its state.

    Attributes:
        name: the task's name.
        needs: its repository and revision, its asset, or its files.
        state: `present`, `to be fetched`, `on the hub`, `missing`, `damaged`, `not readable`.
        bytes: size on disk or of the download; None if unknown.
        data: comparison with mteb's statistics: `as mteb's`, `differs`, `no statistics`, `not counted`.
        absent: whether its repositories are simply not here.
        problems: reasons why the task cannot be scored, or not on the right data.
        verified: whether all files match a manifest of the pinned revision.
        remark: a note that is not a problem.
    """

    name: str
    needs: str
    state: str
    bytes: int | None
    data: str = "-"
    absent: bool = False
    problems: tuple[str, ...] = ()
    verified: bool = False
    remark: str | None = None


def examine(suite: Sequence[SuiteTask], pinned: Sequence[SuiteTask], *, count: str) -> list[Need]:
    """Examine the data of every task of a suite.

    Args:
        suite: the tasks, as the run would load them.
        pinned: the same tasks, not localized, with the names of their repositories.
        count: which datasets to compare with mteb's statistics: `all`, `none`, or `small` (`CHECKED_TEXTS`).
    """
    hub = Hub()
    needs = []
    for entry, plain in zip(suite, pinned, strict=True):
        need = _local_need(entry) or _repository_need(entry, plain, hub)
        if need.state == "present":
            _count_data(need, entry, count)
        needs.append(need)
    return needs


def asset_state(name: str) -> tuple[str, str | None]:
    """Return the state of an asset, and the reason if it is unavailable."""
    status = state(catalog()[name])
    if status == "ready":
        return "present", None
    if is_offline():
        return "missing", f"asset {name} is {status}, and M2V_BENCH_OFFLINE forbids downloads"
    if why := _not_in_registry(name):
        return "missing", f"asset {name} is {status} and not in the package registry: {why}"
    return "to be fetched", None


def _not_in_registry(name: str) -> str | None:
    """Return why pip would not find an asset's package; None if it would."""
    asset = catalog()[name]
    command = [sys.executable, "-m", "pip", "index", "versions", "--disable-pip-version-check", asset.package]
    run = subprocess.run([*command, "--retries", "0", "--timeout", "10"], check=False, capture_output=True, text=True)
    if run.returncode == 0 and asset.version in run.stdout:
        return None
    errors = [line for line in run.stderr.splitlines() if line.startswith("ERROR")]
    return errors[-1].removeprefix("ERROR: ") if errors else f"no version {asset.version}"


class Hub:
    """Client for dataset repositories; makes no more requests after a connection failed."""

    def __init__(self) -> None:
        self.unreachable: str | None = "HF_HUB_OFFLINE is set" if is_offline("HF_HUB_OFFLINE") else None

    def size(self, repository: str, revision: str) -> tuple[int | None, str | None]:
        """Return the size of a repository in bytes, and the reason if it is unavailable."""
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError

        if self.unreachable:
            return None, f"the hub cannot be reached: {self.unreachable}. {BUNDLE}"
        try:
            info = HfApi().dataset_info(repository, revision=revision, files_metadata=True, timeout=10)
        except HfHubHTTPError as error:
            return None, f"the hub does not provide {repository}@{revision}: {type(error).__name__}"
        except Exception as error:
            self.unreachable = f"{type(error).__name__}: {error}".splitlines()[0]
            return None, f"the hub cannot be reached: {self.unreachable}. {BUNDLE}"
        return sum(file.size or 0 for file in info.siblings or []), None


def _local_need(entry: SuiteTask) -> Need | None:
    """Return the need of a task with data from an asset or from single files; None for other tasks."""
    if entry.asset is None:
        files = entry.task.local_files() if isinstance(entry.task, OwnTask) else []
        if files:
            size = sum(file.stat().st_size for file in files)
            return Need(entry.name, ", ".join(file.name for file in files), "present", size)
        if entry.missing and not repositories(entry.task):
            return Need(entry.name, "data_dir", "missing", None, problems=(entry.missing,))
        return None
    asset = catalog()[entry.asset]
    status, problem = asset_state(entry.asset)
    size = folder_bytes(asset.folder) if status == "present" else asset.bytes
    return Need(entry.name, f"asset {asset.name}", status, size, problems=(problem,) if problem else ())


def _repository_need(entry: SuiteTask, plain: SuiteTask, hub: Hub) -> Need:
    wanted = repositories(plain.task)
    names = ", ".join(f"{name}@{revision[:8]}" for name, revision in wanted)
    need = Need(entry.name, names if len(wanted) < 3 else f"{len(wanted)} repositories", "present", None)
    if entry.missing:
        need.state, need.problems = "missing", (entry.missing,)
        need.absent = entry.missing.endswith(": " + ", ".join(name for name, _ in wanted))
        return need
    folders = [Path(str(part.metadata.dataset["path"])) for part in parts(entry.task)]
    if all(folder.is_absolute() for folder in folders):
        need.bytes = sum(folder_bytes(folder) for folder in set(folders) if folder.is_dir())
        try:
            listed = [check_contents(part) for part in parts(entry.task)]
            need.verified = all(listed)
        except BenchError as error:
            need.state, need.problems = "damaged", (str(error),)
    elif hub.unreachable and is_offline("HF_HUB_OFFLINE"):
        _load(need, entry)  # an earlier download may suffice
    else:
        sizes = [hub.size(name, revision) for name, revision in wanted]
        need.bytes = sum(size for size, _ in sizes if size) or None
        need.problems = tuple(dict.fromkeys(why for _, why in sizes if why))
        need.state = "missing" if need.problems else "on the hub"
    return need


def _load(need: Need, entry: SuiteTask) -> SuiteTask | None:
    """Load the task; if that fails, add a problem to `need` and return None."""
    try:
        with quiet():
            return SuiteTask(entry.load(), entry.name, entry.type)
    except Exception as error:
        reason = str(error).strip().splitlines() or [""]
        need.absent = isinstance(error, ConnectionError)
        need.state = "missing" if need.absent else "not readable"
        need.problems = (f"its data cannot be loaded: {type(error).__name__}: {reason[0]}",)
        return None


def _count_data(need: Need, entry: SuiteTask, count: str) -> None:
    """Load the task's data and compare it with mteb's statistics, as far as `count` allows."""
    texts = n_texts(entry.task)
    if texts is None:
        need.data = "no statistics"
    if count == "none" or (count == "small" and (texts or 0) > CHECKED_TEXTS):
        need.data = "not counted"
        return
    loaded = _load(need, entry)
    if loaded is None or texts is None:
        return
    with quiet():
        differing = differences(loaded.task)
    need.data = "differs" if differing else "as mteb's"
    if differing:
        more = f"; and {len(differing) - 4} more" if len(differing) > 4 else ""
        text = f"differs from the data that mteb counted: {'; '.join(differing[:4])}{more}"
        if need.verified:
            need.remark = f"{text} (its files match the pinned revision, so mteb counted another revision)"
        else:
            need.problems = (text,)
