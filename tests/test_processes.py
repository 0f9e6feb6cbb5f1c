"""A command in a fork does what it does in a new interpreter."""

import re
from pathlib import Path

import pytest

from tests import processes

RUN = ["suite=custom", "suite.tasks=[SimLex999WordSim]", "baseline=[random]", "pca_dims=16"]


def what_it_did(run: processes.Run, *command: str, cwd: Path, **environment: str) -> tuple[int, str, str, list[str]]:
    """Return exit code, output and files, without times, speeds and hashes of them."""
    cwd.mkdir()
    done = run(*command, cwd=cwd, **environment)
    texts = [re.sub(r"[\d.,]+|[+] *[\d.]+%| +|─+", "", text) for text in (done.stdout, done.stderr)]
    files = sorted(re.sub(r"[0-9a-f-]{8,}", "", str(path.relative_to(cwd))) for path in cwd.rglob("*"))
    return done.returncode, texts[0], texts[1], files


@pytest.mark.parametrize(
    "command",
    [
        ["m2v_bench", "-m", "pca_dims=16,3.5", *RUN],
        ["m2v_bench", "pca_dimz=3"],
        ["m2v_bench.cli", "fetch", "--list"],
        ["m2v_bench.cli", "fetch", "--lisp"],
        ["m2v_bench.cli", "table", "--results", "nowhere"],
    ],
    ids=" ".join,
)
def test_fork_and_new_interpreter_do_the_same(command: list[str], tmp_path: Path):
    new = what_it_did(processes.run_new, *command, cwd=tmp_path / "new")
    assert what_it_did(processes.run, *command, cwd=tmp_path / "fork") == new


def test_variables_reach_a_fork(tmp_path: Path):
    for run in (processes.run_new, processes.run):
        done = run("m2v_bench", cwd=tmp_path, HF_HUB_OFFLINE="1", M2V_BENCH_OFFLINE="1", M2V_BENCH_CACHE="cold")
        assert "m2v-bench fetch all-MiniLM-L6-v2" in done.stderr
