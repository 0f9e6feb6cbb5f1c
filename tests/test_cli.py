"""Test the command line of `m2v-bench`."""

import argparse
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from m2v_bench import StaticModel, __version__, cli
from tests.conftest import tiny_static_model


def parsed(*argv: str, monkeypatch: pytest.MonkeyPatch) -> argparse.Namespace:
    """Return the arguments with which a command is called."""
    seen: list[Any] = []
    commands = {
        title: [replace(command, run=seen.append) for command in listed] for title, listed in cli.COMMANDS.items()
    }
    monkeypatch.setattr(cli, "COMMANDS", commands)
    cli.main(argv)
    (arguments,) = seen
    return arguments


def test_overrides_before_and_after_options(monkeypatch: pytest.MonkeyPatch):
    doctor = parsed("doctor", "suite=wordsim", "--quick", "baseline=[bm25]", monkeypatch=monkeypatch)
    assert (doctor.overrides, doctor.quick) == (["suite=wordsim", "baseline=[bm25]"], True)
    assert parsed("doctor", "--quick", "suite=wordsim", monkeypatch=monkeypatch).overrides == ["suite=wordsim"]
    table = parsed("table", "--models", "*MiniLM*", "suite=wordsim", "--models", "b", "seed=1", monkeypatch=monkeypatch)
    assert (table.models, table.overrides) == (["*MiniLM*", "b"], ["suite=wordsim", "seed=1"])
    one = parsed("compare", "--tasks", "WordSim-MEN", "glove", "wordllama", monkeypatch=monkeypatch)
    assert (one.tasks, one.models) == (["WordSim-MEN"], ["glove", "wordllama"])
    two = parsed("compare", "glove", "--tasks", "A", "--tasks", "B", "wordllama", monkeypatch=monkeypatch)
    fast = parsed("speed", "a", "--rounds", "1", "model2vec:b", monkeypatch=monkeypatch)
    assert (fast.rounds, fast.models) == (1, ["a", "model2vec:b"])
    assert parsed("speed", "--threads", "4", monkeypatch=monkeypatch).models == []
    assert (two.tasks, two.models) == (["A", "B"], ["glove", "wordllama"])


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["doctor", "suite=wordsim", "--quik", "baseline=[]"], "unrecognized arguments: --quik"),
        (["doctor", "suite=wordsim", "--quick", "wordsim"], "unrecognized arguments: wordsim"),
        (["compare", "a", "--task-s", "b"], "unrecognized arguments: --task-s"),
        (["assets", "suite=wordsim"], "--list takes no names: suite=wordsim"),
        (["published", "suite=wordsim"], "unrecognized arguments: suite=wordsim"),
    ],
)
def test_unknown_arguments(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="2"):
        cli.main(argv)
    assert message in capsys.readouterr().err


def test_csv_keeps_the_signature_on_stderr(capsys: pytest.CaptureFixture[str]):
    cli.main(["published", "--format", "markdown"])
    notes = capsys.readouterr().out
    cli.main(["published", "--format", "csv"])
    shown = capsys.readouterr()
    (last,) = shown.err.strip().splitlines()[-1:]
    assert last in notes and last not in shown.out


def test_config_dir_adds_suites(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite" / "mine.yaml").write_text("name: mine\ntasks: [MENWordSim]\n")
    with pytest.raises(SystemExit):
        cli.main(["table", "suite=mine", "--config-dir", str(tmp_path), "--results", str(tmp_path / "none")])
    assert "holds no result files" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["table", "--config-dir", str(tmp_path / "no"), "suite=mine"])
    assert "no such folder. It must hold suite/NAME.yaml" in capsys.readouterr().err


def test_help_lists_every_command_in_its_group(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--help"])
    shown = capsys.readouterr().out
    for title, commands in cli.COMMANDS.items():
        section = shown.partition(f"\n{title}:\n")[2].partition("\n\n")[0]
        for command in commands:
            assert re.search(rf"^  {command.name}  +{re.escape(command.about)}$", section, re.MULTILINE), command.name
    assert re.search(r"^  run  +distil, evaluate and log", shown, re.MULTILINE)


@pytest.mark.parametrize("command", [command for _, command in cli._listed()], ids=lambda command: command.name)
def test_every_command_has_a_description_and_a_valid_example(
    command: cli.Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit, match="0"):
        cli.main([*command.name.split(), "--help"])
    shown = capsys.readouterr().out
    assert f"m2v-bench {command.name} {command.example}".rstrip() in shown
    assert command.about[1:] in " ".join(shown.split())
    assert "example:" in shown
    parsed(*command.name.split(), *shlex.split(command.example, comments=True), monkeypatch=monkeypatch)


@pytest.mark.parametrize(
    ("former", "current"),
    [
        (["assets"], "m2v-bench fetch --list"),
        (["published", "--format", "csv"], "m2v-bench paper published"),
        (["verify", "nothing"], "m2v-bench paper verify"),
        (["ablations", "nothing"], "m2v-bench paper ablations"),
        (["reproduce", "main"], "m2v-bench paper reproduce"),
    ],
)
def test_former_commands_still_work(
    former: list[str], current: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    arguments = parsed(*former, monkeypatch=monkeypatch)
    assert capsys.readouterr().err == f"m2v-bench {former[0]} is now spelled {current}\n"
    now = parsed(*current.split()[1:], *former[1:], monkeypatch=monkeypatch)
    assert {**vars(arguments), "run": None} == {**vars(now), "run": None}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str, capsys: pytest.CaptureFixture[str]):
    cli.main(["completion", shell])
    assert "m2v-bench" in capsys.readouterr().out


def test_completion_of_a_command(tmp_path: Path):
    answer = tmp_path / "answer"
    environment = {
        "_ARGCOMPLETE": "1",
        "COMP_LINE": "m2v-bench dis",
        "COMP_POINT": "13",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
    }
    subprocess.run([sys.executable, "-m", "m2v_bench.cli"], env={**os.environ, **environment}, check=True)
    assert answer.read_text().split() == ["distill"]


@pytest.mark.parametrize("command", [["m2v_bench"], ["m2v_bench.cli"], ["m2v_bench.cli", "run"]])
def test_version_of_every_entry_point(command: list[str]):
    shown = subprocess.run([sys.executable, "-m", *command, "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout == f"m2v_bench {__version__}\n"


def test_run_equals_the_module(tmp_path: Path):
    entry_points = [["m2v_bench"], ["m2v_bench.cli", "run"]]
    done = [
        subprocess.run(
            [sys.executable, "-m", *names, "pca_dimz=3"], capture_output=True, text=True, check=False, cwd=tmp_path
        )
        for names in entry_points
    ]
    assert [process.returncode for process in done] == [1, 1]
    assert done[0].stderr == done[1].stderr != ""


def test_distil_and_encode(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    cli.main(["distill", "all-MiniLM-L6-v2", "model", "pca.dims=32"])
    shown = capsys.readouterr()
    assert "pca.dims=32 is now spelled pca_dims=32" in shown.err
    assert "wrote model" in shown.out
    texts = ["a cat", "", "two words"]
    Path("texts.txt").write_text("\n".join(texts) + "\n")
    cli.main(["encode", "model", "texts.txt"])
    assert "wrote texts.npy: float32, 3 texts x 32 dimensions" in capsys.readouterr().out
    expected = StaticModel.from_pretrained("model").encode(texts)
    np.testing.assert_array_equal(np.load("texts.npy"), expected)
    pd.DataFrame({"body": [*texts[:1], None, texts[2]]}).to_parquet("texts.parquet")
    cli.main(["encode", "model", "texts.parquet", "--column", "body", "--out", "here/rows.npy"])
    np.testing.assert_array_equal(np.load("here/rows.npy"), expected)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["distill", "all-MiniLM-L6-v2", "."], r"\.: holds files; name another folder, or add --force"),
        (["encode", "model", "t.txt", "--out", "t.npz"], r"--out t\.npz: must end in \.npy"),
        (["encode", "model", "t.npy", "--out", "t.npy"], r"--out t\.npy: is the input file"),
        (["encode", "nothing", "t.txt"], "nothing"),
        (["encode", "model", "t.csv"], r"t\.csv has no column text; it has body\. Name the column with --column"),
        (["encode", "model", "t.rst"], r"t\.rst: must be one of \.txt, \.csv"),
        (["push", "nothing", "me/model"], "nothing"),
    ],
)
def test_invalid_arguments(
    argv: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    tiny_static_model().save_pretrained("model")
    Path("t.txt").write_text("good\n")
    Path("t.csv").write_text("body\ngood\n")
    with pytest.raises(SystemExit, match="1"):
        cli.main(argv)
    error = capsys.readouterr().err
    assert re.search(message, error) and "Traceback" not in error
