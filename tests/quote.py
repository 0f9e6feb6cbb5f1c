"""Put into the README what runs wrote.

    python tests/quote.py

Copies the files that the README shows from where runs write them to results/readme/, which alone is kept in the
repository, so that somebody's own run changes nothing that the README says.

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
    "speed/benchmark/speed.md",
    "figures/starter-speed.png",
)
BLOCK = re.compile(r"<!-- (results/\S+) -->\n.*?<!-- end -->", re.DOTALL)


def shown(path: Path) -> str:
    """What the README says of a result file."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return text.strip()
    bench = json.loads(text)
    here = bench["hardware"]
    rows = [f"| {name} | {value:.2f} s |" for name, value in bench["seconds"].items()]
    machine = f"`make bench-run` on {here['processor']}, {here['cores']} cores, {here['system']}:"
    return "\n".join([machine, "", "| What | Time |", "|---|---:|", *rows])


def render(readme: str) -> str:
    """The README with every block made anew."""
    return BLOCK.sub(lambda block: f"<!-- {block[1]} -->\n{shown(ROOT / block[1])}\n<!-- end -->", readme)


if __name__ == "__main__":
    KEPT.mkdir(parents=True, exist_ok=True)
    for source in SOURCES:
        if (ROOT / "results" / source).is_file():
            shutil.copyfile(ROOT / "results" / source, KEPT / Path(source).name)
    target = ROOT / "README.md"
    target.write_text(render(target.read_text(encoding="utf-8")), encoding="utf-8")
