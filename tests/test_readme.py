"""Test that README and docs quote current results, and that the files and commands they name exist."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import nbformat
import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep

from m2v_bench import cli
from m2v_bench.config.schema import conf_dir, is_setting
from m2v_bench.distillation.dialects import DIALECTS
from m2v_bench.inference.card import RELEASES
from m2v_bench.reports.daggers import DAGGER, NO_DAGGER
from m2v_bench.reports.figures import svg
from m2v_bench.reports.summary import daggers_of, summarise, with_daggers
from m2v_bench.results.experiment import find_experiment
from m2v_bench.results.long_table import read_table
from m2v_bench.results.score_files import TaskScores
from m2v_bench.results.scores import read_results
from scripts.figures import BLOCK, PAGES, PAPER, ROOT, SWEEPS, figures_of, published, render

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """Return the link anchors of a page's headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_pages_quote_current_files(page: Path):
    text = page.read_text(encoding="utf-8")
    assert render(text) == text, "run `make figures`"
    assert text.count("<!-- end -->") == len(BLOCK.findall(text)), "unknown block"
    assert "<!-- end -->\n<!-- end -->" not in text


def test_committed_records_have_no_absolute_paths():
    assert SWEEPS
    for file in SWEEPS:
        assert not re.search(r'": "(?:/|[A-Z]:)', json.dumps(read_table(file).experiments)), file


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda file: file.stem)
def test_committed_tables_match_the_records(sweep: Path):
    summary = summarise(find_experiment(sweep.stem, sweep).all_records())
    made = with_daggers(summary, daggers_of(summary, sweep), title="").markdown()
    kept = (PAPER / "tables" / f"{sweep.stem}.md").read_text(encoding="utf-8")
    assert rows_of(kept) == rows_of(made)
    assert [note for note in (DAGGER, NO_DAGGER) if note in kept] == [
        DAGGER if "†" in kept.partition("\n\n")[0] else NO_DAGGER
    ]


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda file: file.stem)
def test_committed_figures_match_the_records(sweep: Path):
    """Compare only text, as positions may differ by rounding."""
    for stem, figure in figures_of(sweep).items():
        committed = stem.with_name(f"{stem.name}.svg").read_text(encoding="utf-8")
        assert re.findall(r">([^<>]*)</text>", committed) == re.findall(r">([^<>]*)</text>", svg(figure))


def rows_of(markdown: str) -> list[str]:
    """Return the rows of a table without daggers, whose samples are not committed."""
    return [line for line in markdown.replace("†", "").splitlines() if line.startswith("|")]


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda file: file.stem)
def test_committed_records_match_the_scores(sweep: Path):
    stored = {
        (model.revision, task, score)
        for model in read_results(sweep).models
        for task, scores in model.tasks.items()
        for score in main_scores(scores)
    }
    rows = [score for record in find_experiment(sweep.stem, sweep).all_records() for score in record.scores]
    scored = {(row.revision, row.task, row.main_score) for row in rows if row.main_score is not None}
    assert scored
    assert scored <= stored


def main_scores(scores: TaskScores) -> list[float]:
    """Return the main score of each split of a task, averaged over subsets."""
    splits: dict[str, list[float]] = {}
    for part, score in scores.parts.items():
        splits.setdefault(part.partition("/")[0], []).append(score)
    return [float(np.mean(parts)) for parts in splits.values()]


def test_committed_tables_explain_their_daggers():
    marked = [file for file in (ROOT / "results").rglob("*.md") if "† |" in file.read_text(encoding="utf-8")]
    assert len(marked) >= 8
    for file in marked:
        assert DAGGER in file.read_text(encoding="utf-8"), file


def test_the_repository_is_light():
    """Keep only what pages quote; commands make everything else."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("no git repository")
    files = [name for name in listed.stdout.split("\0") if name]
    kept = [ROOT / name for name in files if name.startswith("results/") and (ROOT / name).is_file()]
    assert len(kept) <= 100
    assert sum(file.stat().st_size for file in kept) <= 3_000_000
    assert max(map(len, files)) < 150


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_and_images_exist(page: Path):
    for mark, link in re.findall(r"(!?)\[[^]]*\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in link:
            assert not mark, f"{link}: pages must work offline"
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.is_file() and target.is_relative_to(ROOT), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_is_linked_from_the_readme():
    reached, left = set(), {ROOT / "README.md"}
    while left:
        page = left.pop()
        reached.add(page)
        links = re.findall(r"\]\(([^)\s#]+\.md)", page.read_text(encoding="utf-8"))
        left |= {(page.parent / link).resolve() for link in links} - reached
    assert set(PAGES) - reached == {ROOT / "docs" / "index.md"}  # front page of the site


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_notebook_text_quotes_no_measurement(path: Path):
    """Only cells compute numbers, so that none can be out of date."""
    texts = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"]
    assert re.findall(r"\d+\.\d\d+|\d\s?%|\d texts/s|\d (?:s|ms|MB|points)\b", "\n".join(texts)) == []


def test_published_tables():
    assert "| M2V_base_output | 46.79 | 45.34 |" in published("ablations")
    assert "| GloVe_300d | 538.39 |" in published("speed")
    assert "| size on disk mb | 30 |" in published("announcement")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_are_valid(page: Path):
    text = page.read_text(encoding="utf-8")
    for kind, name in re.findall(r"\+(sweep|experiment)=(\w+)", text):
        assert (conf_dir() / kind / f"{name}.yaml").is_file(), name
    parser = cli._parser()
    for command in re.findall(r"(?:^|`)m2v-bench ([a-z]+ [^`\n#]*)", text, re.MULTILINE):
        argv = shlex.split(command)
        named_alone = argv in (["paper", "verify"], ["paper", "ablations"], ["paper", "reproduce"])
        if not named_alone and (argv[0] != "fidelity" or "--texts" in argv):  # may be named without required options
            cli._parse(parser, argv)
    for command in re.findall(r"(?:^|`)python -m m2v_bench ([^`\n]*)", text, re.MULTILINE):
        check_overrides([part for part in shlex.split(command, comments=True) if not part.startswith("-")], text)


def check_overrides(overrides: list[str], page: str) -> None:
    """Check that every override names a setting, or a config file that exists or that the page creates."""
    for override in OverridesParser.create().parse_overrides(overrides):
        group, key = conf_dir() / override.key_or_group, override.get_key_element().lstrip("+")
        if not group.is_dir():
            assert is_setting(key), override.input_line
            continue
        value = override.value()
        chosen = value if isinstance(value, list) else value.list if isinstance(value, ChoiceSweep) else [value]
        for name in chosen:
            file = group / f"{name}.yaml"
            assert file.is_file() or f"`conf/{group.name}/{file.name}`" in page, override.input_line


def test_changed_number_is_detected():
    page = (ROOT / "docs" / "evaluating.md").read_text(encoding="utf-8")
    number = re.search(r"\| \d\.\d{5} \|", page)
    assert number
    changed = page.replace(number[0], "| 0.99999 |", 1)
    assert render(changed) != changed


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for page in PAGES:
        for targets in re.findall(r"(?:^|`)make((?: [a-z-]+)+)", page.read_text(encoding="utf-8"), re.MULTILINE):
            for target in targets.split():
                assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{name_of(page)}: {target}"


def test_dialects_match_the_code():
    page = (ROOT / "docs" / "distilling.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(m2v-[0-9.]+)` \| ([^|]+?) \| ([^|]+?) \| .* \| `(\w+)` \|$", page, re.MULTILINE)
    sequences = {"swapped": "swapped", "the tokenizer's template": "template"}
    assert [(name, releases, sequences[around], weighting) for name, releases, around, weighting in rows] == [
        (name, RELEASES[name], dialect.sequence, dialect.weighting) for name, dialect in DIALECTS.items()
    ]


def test_changelog_has_the_versions_of_the_code():
    page = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| [^|]+ \| (\d+) \| `(\w+)`, `([\w/.]+)` \|", page, re.MULTILINE)
    stated = {(file, name): int(version) for version, name, file in rows}
    in_code = {
        (name_of(path), name): int(version)
        for path in sorted((ROOT / "m2v_bench").rglob("*.py"))
        for name, version in re.findall(r"^(\w*VERSION) = (\d+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert stated == in_code
