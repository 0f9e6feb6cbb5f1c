"""Test that the notebooks run in an empty folder and are committed without outputs."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def test_there_are_notebooks():
    assert [path.stem for path in NOTEBOOKS] == ["own_dataset", "own_weighting", "quickstart", "results_and_mlflow"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_has_no_outputs(path: Path):
    cells = nbformat.read(path, as_version=4).cells
    assert [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, tmp_path: Path):
    notebook = nbformat.read(path, as_version=4)
    notebook.cells = [item for cell in notebook.cells for item in (cell, *_checked(cell))]
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert list((tmp_path / "results").rglob("record.json"))


def _checked(cell: Any) -> list[Any]:
    """Return a cell that fails if the shell command of the given cell failed, as notebooks ignore exit codes."""
    shell = cell.cell_type == "code" and any(line.startswith("!") for line in cell.source.splitlines())
    return [new_code_cell("assert _exit_code == 0, _exit_code")] if shell else []
