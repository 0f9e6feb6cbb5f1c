"""Write what a benchmark measured."""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "results" / "bench"


def write(name: str, record: Any, table: str) -> None:
    """Print the table, and write it and the record to results/bench/NAME.md and NAME.json."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    (FOLDER / f"{name}.md").write_text(table + "\n", encoding="utf-8")
    print(table)
