"""Test the example project: it runs as its README says, and a changed weighting is another model."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from m2v_bench.cli import main


def run(project: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(project / "run.py"), *overrides, "tracking=none", "baseline=[glove-6b-50d]"]
    return subprocess.run(command, capture_output=True, text=True, cwd=project.parent, check=False)


def revisions(project: Path) -> dict[str, str]:
    records = [json.loads(path.read_text()) for path in project.glob("results/sweeps/mine/*/record.json")]
    return {record["settings"]["weighting"]: record["revision"] for record in records}


def test_project_runs_and_a_changed_weighting_is_another_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    project = tmp_path / "my project"
    main(["init", str(project)])
    assert "README.md says what is where" in capsys.readouterr().out
    done = run(project, "+sweep=mine", "pca_dims=32", "weighting=none,linear_rank")
    assert done.returncode == 0, done.stderr
    assert re.search(r"M2V all-MiniLM-L6-v2 32d linear_rank .*2/2", done.stdout + done.stderr) or "(2/2)" in done.stdout
    assert (project / "results" / "leaderboard.html").is_file()
    before = revisions(project)
    code = project / "weightings.py"
    code.write_text(code.read_text().replace("np.linspace(0, 1", "np.linspace(0.5, 1"))
    assert run(project, "+sweep=mine", "pca_dims=32", "weighting=none,linear_rank").returncode == 0
    after = revisions(project)
    assert after["none"] == before["none"]
    assert after["linear_rank"] != before["linear_rank"]


def test_a_folder_with_files_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(SystemExit):
        main(["init", str(tmp_path)])
    assert "holds files; name a new folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
