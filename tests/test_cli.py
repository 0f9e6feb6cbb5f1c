"""The console script reads its words wherever they stand, and says what it cannot read."""

import argparse
from pathlib import Path
from typing import Any

import pytest

from m2v_bench import cli
from m2v_bench.verbs import data, run_commands, scores


def parsed(*argv: str, monkeypatch: pytest.MonkeyPatch) -> argparse.Namespace:
    """What a verb is called with."""
    seen: list[Any] = []
    for module, verb in ((scores, "_compare"), (data, "_doctor"), (run_commands, "_speed"), (scores, "_table")):
        monkeypatch.setattr(module, verb, seen.append)
    cli.main(argv)
    (arguments,) = seen
    return arguments


def test_words_may_stand_before_and_behind_options(monkeypatch: pytest.MonkeyPatch):
    doctor = parsed("doctor", "suite=wordsim", "--quick", "baseline=[bm25]", monkeypatch=monkeypatch)
    assert (doctor.words, doctor.quick) == (["suite=wordsim", "baseline=[bm25]"], True)
    assert parsed("doctor", "--quick", "suite=wordsim", monkeypatch=monkeypatch).words == ["suite=wordsim"]
    table = parsed("table", "--models", "*MiniLM*", "suite=wordsim", "--models", "b", "seed=1", monkeypatch=monkeypatch)
    assert (table.models, table.words) == (["*MiniLM*", "b"], ["suite=wordsim", "seed=1"])
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
        (["assets", "suite=wordsim"], "unrecognized arguments: suite=wordsim"),
        (["published", "suite=wordsim"], "unrecognized arguments: suite=wordsim"),
    ],
)
def test_anything_else_is_an_error(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]):
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


def test_a_suite_of_ones_own_is_known_to_the_verbs(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite" / "mine.yaml").write_text("name: mine\ntasks: [MENWordSim]\n")
    with pytest.raises(SystemExit):
        cli.main(["table", "suite=mine", "--config-dir", str(tmp_path), "--results", str(tmp_path / "none")])
    assert "holds no result files" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["table", "--config-dir", str(tmp_path / "no"), "suite=mine"])
    assert "no such folder. It must hold suite/NAME.yaml" in capsys.readouterr().err
