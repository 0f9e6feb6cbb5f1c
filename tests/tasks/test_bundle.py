"""Test `m2v-bench bundle` in a subprocess against a local hub, and offline use of the bundle."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import mteb
import pytest

from m2v_bench.errors import BenchError
from m2v_bench.tasks import SuiteTask, load_suite
from m2v_bench.tasks.manifest import Manifest
from tests.conftest import run_bench
from tests.hub_server import Repositories, hub_environment, hub_server

Hub = tuple[str, Repositories]
NO_NETWORK = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}


def pin(task: str) -> tuple[str, str]:
    dataset = mteb.get_task(task).metadata.dataset
    return dataset["path"], dataset["revision"]


@pytest.fixture
def hub(hub_dir: Path) -> Iterator[Hub]:
    """Serve three of the pinned repositories; banking77 also at the revision of the task's second version."""
    with hub_server() as (address, repositories):
        for task in ("STS12", "STSBenchmark", "Banking77Classification", "Banking77Classification.v2"):
            name, revision = pin(task)
            repositories.add_dataset(hub_dir / name, name, revision)
        yield address, repositories


def command(tasks: Sequence[str], out: Path) -> list[str]:
    words = ["suite=custom", f"suite.tasks=[{','.join(tasks)}]", f"out={out}"]
    return [sys.executable, "-m", "m2v_bench.cli", "bundle", *words]


def bundle(hub: Hub, tasks: Sequence[str], out: Path) -> subprocess.CompletedProcess[str]:
    environment = hub_environment(hub[0], out.parent / "home")
    return subprocess.run(command(tasks, out), env=environment, capture_output=True, text=True, check=False)


def suite(folder: Path, *tasks: Any) -> list[SuiteTask]:
    return load_suite(benchmark=None, tasks=tasks, languages=["eng"], splits=["test"], hub_dir=str(folder), seed=42)


def manifest(out: Path) -> Manifest:
    manifest = Manifest.read(out)
    assert manifest is not None
    return manifest


def test_bundle_is_written_once_and_scored_offline(hub: Hub, tmp_path: Path):
    out, (_, repositories) = tmp_path / "bundle", hub
    first = bundle(hub, ["STS12", "STSBenchmark", "MENWordSim"], out)
    assert first.returncode == 0, first.stderr
    assert "[2/2] mteb/stsbenchmark-sts@b0fddb56ed78: 4 files, 0.5 MB" in first.stdout
    assert "not bundled, as package registries have them: word-similarity" in first.stdout
    entry = manifest(out).entries["mteb/stsbenchmark-sts"]
    assert (entry.repository, entry.revision, entry.tasks) == (*pin("STSBenchmark"), ("STSBenchmark",))
    assert json.loads((out / "manifest.json").read_text())["made_with"]["mteb"]
    there = {path.relative_to(out / entry.folder).as_posix() for path in (out / entry.folder).rglob("*.*")}
    assert there == set(entry.files) == set(repositories[f"datasets/{entry.repository}@{entry.revision}"])

    asked = len(repositories.requests)
    again = bundle(hub, ["STS12", "STSBenchmark"], out)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("already there") == 2
    assert len(repositories.requests) == asked

    words = ["suite=custom", "suite.tasks=[STS12,STSBenchmark]", f"hub_dir={out}", "baseline=[]", "tracking=none"]
    run = run_bench(*words, "pca_dims=16", cwd=tmp_path, **NO_NETWORK)
    assert run.returncode == 0, run.stderr
    assert "(2/2)" in run.stdout


def test_task_without_a_repository_is_named(hub: Hub, tmp_path: Path):
    run = bundle(hub, ["STS12", "WordSim-MEN"], tmp_path / "bundle")
    assert run.returncode == 0, run.stderr
    assert "not bundled: WordSim-MEN (it has no dataset repository; set data_dir to a folder with " in run.stdout
    assert "wordsim/men.txt" in run.stdout
    assert run.stdout.endswith("It does not hold the data of 1 tasks: WordSim-MEN (see above).\n")


def test_killed_bundle_resumes(hub: Hub, tmp_path: Path):
    out, (address, repositories) = tmp_path / "bundle", hub
    repositories.stalled.add("{}@{}/default/train.parquet".format(*pin("STSBenchmark")))
    environment = hub_environment(address, tmp_path / "home")
    process = subprocess.Popen(command(["STS12", "STSBenchmark"], out), env=environment, stdout=subprocess.DEVNULL)
    # kill it after the first repository and all but one file of the second
    noted = out / ".partial" / "mteb"
    for _ in range(600):
        arrived = {path.name for path in noted.rglob("*.metadata")}
        if arrived == {"README.md.metadata", "test.parquet.metadata", "validation.parquet.metadata"}:
            break
        time.sleep(0.1)
    process.kill()
    process.wait()
    assert len(arrived) == 3
    assert list(manifest(out).entries) == ["mteb/sts12-sts"]
    assert [entry.missing for entry in suite(out, "STS12", "STSBenchmark")] == [
        None,
        f"not in {out}: mteb/stsbenchmark-sts",
    ]
    repositories.stalled.clear()
    repositories.requests.clear()
    again = bundle(hub, ["STS12", "STSBenchmark"], out)
    assert again.returncode == 0, again.stderr
    assert [path.rpartition("/")[2] for path in repositories.requests] == ["train.parquet"]
    assert not (out / ".partial").exists()
    assert len(suite(out, "STSBenchmark")[0].load().dataset["test"]) == 1379


def test_failed_repository_does_not_stop_the_others(hub: Hub, tmp_path: Path):
    out = tmp_path / "bundle"
    run = bundle(hub, ["STS13", "STS12"], out)
    assert run.returncode == 1
    assert "1 of 2 repositories are missing" in run.stderr
    assert "mteb/sts13-sts@7e90230a92c190f1bf69ae9002b8cea547a64cca (STS13): RepositoryNotFoundError" in run.stderr
    assert "Traceback" not in run.stderr
    assert list(manifest(out).entries) == ["mteb/sts12-sts"]


def test_file_that_arrives_damaged_is_refused(hub: Hub, tmp_path: Path):
    _, repositories = hub
    name, revision = pin("STS12")
    repositories.lying = {f"{name}@{revision}/default/test.parquet"}
    run = bundle(hub, ["STS12"], tmp_path / "bundle")
    assert run.returncode == 1
    assert "default/test.parquet arrived damaged" in run.stderr
    assert not (tmp_path / "bundle" / "mteb").exists()


def test_second_revision_is_beside_the_first(hub: Hub, tmp_path: Path):
    out = tmp_path / "bundle"
    both = ["Banking77Classification", "Banking77Classification.v2"]
    (first, second) = (pin(task)[1] for task in both)
    assert first != second
    assert bundle(hub, both[:1], out).returncode == 0
    (entry,) = suite(out, both[1])
    assert entry.missing == f"not in {out}: mteb/banking77 at {second}, which mteb pins (the bundle holds {first})"
    assert bundle(hub, both, out).returncode == 0
    assert set(manifest(out).entries) == {"mteb/banking77", f"mteb/banking77@{second}"}
    for entry in suite(out, *both):
        assert entry.missing is None
        assert len(entry.load().dataset["test"]) == 3080


@pytest.fixture
def folder(hub_dir: Path, tmp_path: Path) -> Path:
    """Create a bundle of STS12 with a manifest of its files."""
    from m2v_bench.cache import file_sha256
    from m2v_bench.tasks.manifest import Entry, File

    name, revision = pin("STS12")
    shutil.copytree(hub_dir / name, tmp_path / name, copy_function=shutil.copyfile)
    root = tmp_path / name
    files = {
        path.relative_to(root).as_posix(): File(path.stat().st_size, file_sha256(path))
        for path in root.rglob("*")
        if path.is_file()
    }
    Manifest({name: Entry(name, name, revision, files, ("STS12",))}).write(tmp_path)
    return tmp_path


def test_differences_from_the_manifest_are_named(folder: Path):
    assert suite(folder, "STS12")[0].missing is None
    file = folder / "mteb" / "sts12-sts" / "default" / "test.parquet"
    content = file.read_bytes()
    file.write_bytes(content[:1000] + bytes([content[1000] ^ 1]) + content[1001:])
    (entry,) = suite(folder, "STS12")
    with pytest.raises(BenchError, match=r"mteb/sts12-sts: .*default/test\.parquet is damaged: its sha256"):
        entry.load()
    file.write_bytes(content[:-1])
    assert "mteb/sts12-sts (" in str(suite(folder, "STS12")[0].missing)
    assert "test.parquet is damaged: 155,386 bytes, 155,387 in manifest.json" in str(suite(folder, "STS12")[0].missing)
    file.unlink()
    assert "test.parquet is missing" in str(suite(folder, "STS12")[0].missing)
    file.write_bytes(content)
    file.with_name("train.parquet").write_bytes(content)
    assert "train.parquet is not part of the repository" in str(suite(folder, "STS12")[0].missing)


def test_folder_outside_the_manifest_is_not_used(folder: Path, hub_dir: Path):
    shutil.copytree(hub_dir / "mteb" / "sts15-sts", folder / "mteb" / "sts15-sts")
    assert suite(folder, "STS15")[0].missing == (
        f"not in {folder}: mteb/sts15-sts (manifest.json does not list the folder)"
    )


def test_unreadable_manifest_is_refused(folder: Path):
    (folder / "manifest.json").write_text("{")
    with pytest.raises(BenchError, match=r"manifest\.json is not a manifest of `m2v-bench bundle`, or damaged"):
        suite(folder, "STS12")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["suite=mteb_eng_v2"], "bundle needs --out FOLDER"),
        (["suite=startr", "out=x"], "suite=startr: no such choice. Did you mean starter?"),
        (["suite.tasks=[STS12", "out=x"], "cannot read `suite.tasks=[STS12`"),
        (["suite=starter", "out=x"], "nothing to bundle: none of the 9 tasks needs a dataset repository"),
        (["suite=wordsim", "out=x"], "needs a dataset repository; not bundled: WordSim-RareWord, WordSim-MEN, "),
        (["suite=custom", "suite.tasks=[STS12]", "out=/proc/nowhere"], "out=/proc/nowhere: cannot be written"),
        (["suite=custom", "suite.tasks=[STS12]", "out=x"], "the model hub cannot be reached: "),
    ],
)
def test_bad_input_and_unreachable_hub_give_one_message(words: list[str], message: str, tmp_path: Path):
    run = subprocess.run(
        [sys.executable, "-m", "m2v_bench.cli", "bundle", *words],
        cwd=tmp_path,
        env=hub_environment("http://127.0.0.1:9", tmp_path / "home"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert message in run.stderr
    assert "Traceback" not in run.stderr
