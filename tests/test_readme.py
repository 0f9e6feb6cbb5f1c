"""What the README, docs/ and the pages of experiments/ quote is what the files hold."""

import re
import shlex
from pathlib import Path

import pytest

from m2v_bench import cli
from m2v_bench.config import conf_dir
from m2v_bench.distillation.dialects import DIALECTS
from tests.quote import BLOCK, PAGES, ROOT, published, render

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_quote_what_the_files_hold(page: Path):
    text = page.read_text(encoding="utf-8")
    assert render(text) == text, "run `make readme`"
    assert text.count("<!-- end -->") == len(BLOCK.findall(text)), "a block that is not known"
    assert "<!-- end -->\n<!-- end -->" not in text
    for link in re.findall(r"\]\((\w[^):]*)\)", text):
        assert (page.parent / link.partition("#")[0]).exists(), link


def test_published_tables_are_quoted_as_published():
    assert "| M2V_base_output | 46.79 | 45.34 |" in published("ablations")
    assert "| GloVe_300d | 538.39 |" in published("speed")
    assert "| size on disk mb | 30 |" in published("announcement")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_name_what_there_is(page: Path):
    text = page.read_text(encoding="utf-8")
    for kind, name in re.findall(r"\+(sweep|experiment)=(\w+)", text):
        assert (conf_dir() / kind / f"{name}.yaml").is_file(), name
    parser = cli._parser()
    for command in re.findall(r"(?:^|`)m2v-bench ([a-z]+ [^`\n#]*)", text, re.MULTILINE):
        words = shlex.split(command)
        if words[0] != "fidelity" or "--texts" in words:  # a verb may be named without what it needs
            cli._parse(parser, words)


def test_a_changed_number_is_noticed():
    number = re.search(r"\| \d\.\d{5} \|", README)
    assert number
    assert render(README.replace(number[0], "| 0.99999 |", 1)) != README.replace(number[0], "| 0.99999 |", 1)


def test_pictures_and_commands_exist():
    for picture in re.findall(r"!\[[^]]*\]\(([^)]+)\)", README):
        assert (ROOT / picture).is_file(), picture
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"`?make ([a-z-]+)", ".".join(page.read_text(encoding="utf-8") for page in PAGES))):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_dialects_are_those_of_the_code():
    rows = re.findall(r"^\| `(m2v-[0-9.]+)` \| ([^|]+?) \| ([^|]+?) \| .* \| `(\w+)` \|$", README, re.MULTILINE)
    sequences = {"swapped": "swapped", "the tokenizer's template": "template"}
    assert [(name, releases, sequences[around], weighting) for name, releases, around, weighting in rows] == [
        (name, dialect.releases, dialect.sequence, dialect.weighting) for name, dialect in DIALECTS.items()
    ]
