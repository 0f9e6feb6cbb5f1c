"""Update the tables in README, docs/ and experiments/, and draw the figures of the paper's sweeps.

    python -m scripts.figures [RESULTS_DIR]

Copies the files that pages quote from where runs write them (RESULTS_DIR, default results) to results/readme/, so that
somebody's own run changes no page. The paper's items are quoted from results/paper/, which holds one exported table
per sweep; the sweep's figures are drawn from it.

A block between `<!-- FILE -->` and `<!-- end -->` is replaced by the file (Markdown) or by a table from it (JSON); a
block `<!-- published/TABLE -->` by that table of m2v_bench/paper/data/tables.toml.
"""

import json
import re
import shutil
import sys
import tomllib
from pathlib import Path

from matplotlib.figure import Figure

from m2v_bench.reports.figures import save, svg
from m2v_bench.reports.summary import daggers_of, summarise
from m2v_bench.reports.sweep_figures import draw
from m2v_bench.results.experiment import find_experiment

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "results" / "readme"
SOURCES = (
    "tables/starter.md",
    "tables/wordsim.md",
    "tables/parity.md",
    "bench/run.json",
    "bench/distill.md",
    "bench/launchers.md",
    "bench/encode.md",
    "bench/encode-new.md",
    "bench/languages.md",
    "bench/scoring.md",
    "bench/training.md",
    "bench/output_precision.md",
    "bench/install.md",
    "bench/leaderboard.md",
    *(f"bench/scale-{name}.md" for name in ("forward", "texts", "evaluation", "corpora", "check", "parts", "sweep")),
    "figures/starter-speed.png",
)
PAGES = tuple(
    page for folder in (".", "docs", "experiments", "notebooks") for page in sorted((ROOT / folder).glob("*.md"))
)
PAPER = ROOT / "results" / "paper"
SWEEPS = tuple(sorted(PAPER.glob("*.parquet")))
PUBLISHED = "published/"
# Titles of columns in the authors' tables, unless the name in tables.toml is just capitalized.
COLUMNS = {"avg_all": "Avg (All)", "avg_mteb": "Avg (MTEB)", "pairclass": "PairClass", "sts": "STS", "pearl": "PEARL"}
COLUMNS |= {"wordsim": "WordSim", "sst2": "SST-2", "imdb": "IMDB", "trec": "TREC", "ag_news": "AG News"}
BLOCK = re.compile(rf"<!-- ((?:results|{PUBLISHED[:-1]})/\S+) -->\n.*?<!-- end -->", re.DOTALL)


def shown(name: str) -> str:
    """Return the Markdown for a result file or a published table."""
    return published(name.removeprefix(PUBLISHED)) if name.startswith(PUBLISHED) else from_file(ROOT / name)


def published(name: str) -> str:
    """Return a table of the authors as Markdown, with a row per model and its source."""
    table = tomllib.loads((ROOT / "m2v_bench" / "paper" / "data" / "tables.toml").read_text(encoding="utf-8"))[name]
    notes = [str(table[key]) for key in ("title", "metric", "note") if key in table]
    given = table.get("rows") or {key.replace("_", " "): value for key, value in table.items() if key != "source"}
    rows = {model: row if isinstance(row, dict) else {"published": row} for model, row in given.items()}
    columns = list(next(iter(rows.values())))
    lines = [["", *(COLUMNS.get(column, column.capitalize()) for column in columns)], ["---", *["---:"] * len(columns)]]
    lines += [[model, *(_number(row[column]) for column in columns)] for model, row in rows.items()]
    return "\n".join(
        [*("| " + " | ".join(line) + " |" for line in lines), "", "; ".join([*notes, f"source: {table['source']}"])]
    )


def _number(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def from_file(path: Path) -> str:
    """Return the Markdown for a result file."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return text.strip()
    bench = json.loads(text)
    hardware = bench["hardware"]
    rows = [f"| {name} | {value:.2f} s |" for name, value in bench["seconds"].items()]
    machine = f"`make bench-run` on {hardware['processor']}, {hardware['cores']} cores, {hardware['system']}:"
    return "\n".join([machine, "", "| What | Time |", "|---|---:|", *rows])


def figures_of(sweep: Path) -> dict[Path, Figure]:
    """Draw the figures of an exported sweep, by the path of their files without suffix."""
    records = find_experiment(sweep.stem, sweep).all_records()
    summary = summarise(records)
    errors = daggers_of(summary, sweep).errors
    drawn = draw(summary, records[0].settings.get("sweep.axis"), errors)
    return {PAPER / "figures" / f"{sweep.stem}{ending}": figure for ending, figure in drawn.items()}


def write_figure(figure: Figure, stem: Path) -> None:
    """Write a figure as SVG, and as PNG where a page shows it."""
    if any(f"{stem.relative_to(ROOT).as_posix()}.png" in page.read_text(encoding="utf-8") for page in PAGES):
        save(figure, stem)
    else:
        stem.with_name(f"{stem.name}.svg").write_text(svg(figure), encoding="utf-8")


def render(page: str) -> str:
    """Return the page with every block updated."""
    return BLOCK.sub(lambda block: f"<!-- {block[1]} -->\n{shown(block[1])}\n<!-- end -->", page)


if __name__ == "__main__":
    results = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "results"
    KEPT.mkdir(parents=True, exist_ok=True)
    for source in SOURCES:
        if (results / source).is_file():
            shutil.copyfile(results / source, KEPT / Path(source).name)
    for sweep in SWEEPS:
        for stem, figure in figures_of(sweep).items():
            write_figure(figure, stem)
    for target in PAGES:
        target.write_text(render(target.read_text(encoding="utf-8")), encoding="utf-8")
