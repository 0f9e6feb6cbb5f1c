"""Test that a sweep survives output that cannot be written."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SWEEP = ["-m", "pca_dims=8,16", "baseline=[]", "tracking=none", "suite=custom", "suite.tasks=[SimLex999WordSim]"]


def sweep(home: Path, *, stdout: Any = subprocess.PIPE, **environment: str) -> subprocess.CompletedProcess[str]:
    command, variables = [sys.executable, "-m", "m2v_bench", *SWEEP], {**os.environ, **environment}
    return subprocess.run(
        command,
        cwd=home,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
        env=variables,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run a sweep with an ASCII-only output; return its working folder."""
    home = tmp_path_factory.mktemp("output")
    run = sweep(home, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert run.returncode == 0, run.stderr
    assert "M2V all-MiniLM-L6-v2 16d" in run.stdout
    assert len(list(home.rglob("record.json"))) == 2
    return home


def tables(home: Path) -> dict[str, str]:
    """Return the sweep's tables, by name."""
    files = sorted((home / "results" / "tables").iterdir())
    assert [file.name for file in files] == ["sweep.csv", "sweep.md"]
    return {file.name: file.read_text(encoding="utf-8") for file in files}


def take_tables(home: Path) -> dict[str, str]:
    """Return the sweep's tables and delete them."""
    taken = tables(home)
    for name in taken:
        (home / "results" / "tables" / name).unlink()
    return taken


def test_encoding_without_box_characters(home: Path):
    expected = take_tables(home)
    run = sweep(home, PYTHONIOENCODING="latin-1:strict", PYTHONUTF8="0")
    assert run.returncode == 0, run.stderr
    assert tables(home) == expected


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_full_disk(home: Path):
    expected = take_tables(home)
    with Path("/dev/full").open("w") as full:
        run = sweep(home, stdout=full)
    assert run.returncode == 0, run.stderr
    assert tables(home) == expected


def test_closed_pipe(home: Path):
    expected = take_tables(home)
    reading, writing = os.pipe()
    os.close(reading)
    try:
        run = sweep(home, stdout=writing)
    finally:
        os.close(writing)
    assert run.returncode == 0, run.stderr
    assert "Traceback" not in run.stderr
    assert tables(home) == expected


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_lost_output_fails(home: Path):
    command = [sys.executable, "-m", "m2v_bench.cli", "published", "--format", "csv"]
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(command, cwd=home, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert run.returncode == 1
    assert "standard output cannot be written (No space left on device); the rest is lost" in run.stderr


def test_non_ascii_characters_have_plain_forms():
    code = "from m2v_bench.system.output import steady; steady(); print('† 1–2 × ü \\udcff →')"
    variables = {**os.environ, "PYTHONIOENCODING": "ascii"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=variables)
    assert run.stdout == "+ 1-2 x ? ? ->\n"
