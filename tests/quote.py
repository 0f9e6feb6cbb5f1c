"""Put into the README and docs/scale.md what runs wrote.

    python tests/quote.py

Copies the files that these pages show from where runs write them to results/readme/, which alone is kept in the
repository, so that somebody's own run changes nothing that the pages say.

A block between `<!-- FILE -->` and `<!-- end -->` is replaced by the file (Markdown), or a table made of it (JSON).
"""

import json
import re
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "results" / "readme"
SOURCES = (
    "tables/starter.md",
    "tables/wordsim.md",
    "tables/parity.md",
    "bench/run.json",
    "bench/distill.md",
    "bench/launchers.md",
    *(f"bench/scale-{name}.md" for name in ("forward", "texts", "evaluation", "check", "parts", "sweep")),
    "figures/speed_vs_score.png",
)
PAGES = ("README.md", "docs/scale.md")
BLOCK = re.compile(r"<!-- (results/\S+) -->\n.*?<!-- end -->", re.DOTALL)


def shown(path: Path) -> str:
    """What a page says of a result file."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return text.strip()
    bench = json.loads(text)
    here = bench["hardware"]
    rows = [f"| {name} | {value:.2f} s |" for name, value in bench["seconds"].items()]
    machine = f"`make bench-run` on {here['processor']}, {here['cores']} cores, {here['system']}:"
    return "\n".join([machine, "", "| What | Time |", "|---|---:|", *rows])


def render(page: str) -> str:
    """A page with every block made anew."""
    return BLOCK.sub(lambda block: f"<!-- {block[1]} -->\n{shown(ROOT / block[1])}\n<!-- end -->", page)


if __name__ == "__main__":
    KEPT.mkdir(parents=True, exist_ok=True)
    for source in SOURCES:
        if (ROOT / "results" / source).is_file():
            shutil.copyfile(ROOT / "results" / source, KEPT / Path(source).name)
    for page in PAGES:
        target = ROOT / page
        target.write_text(render(target.read_text(encoding="utf-8")), encoding="utf-8")
