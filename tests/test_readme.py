"""What the README quotes is what the files hold."""

import re

from m2v_bench.distillation.dialects import DIALECTS
from tests.quote import BLOCK, ROOT, render

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_quoted_numbers_are_those_of_the_files():
    assert len(BLOCK.findall(README)) == 7
    assert render(README) == README, "run `make readme`"


def test_a_changed_number_is_noticed():
    number = re.search(r"\| \d\.\d{5} \|", README)
    assert number
    assert render(README.replace(number[0], "| 0.99999 |", 1)) != README.replace(number[0], "| 0.99999 |", 1)


def test_pictures_and_commands_exist():
    for picture in re.findall(r"!\[[^]]*\]\(([^)]+)\)", README):
        assert (ROOT / picture).is_file(), picture
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"`?make ([a-z-]+)", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_dialects_are_those_of_the_code():
    rows = re.findall(r"^\| `(m2v-[0-9.]+)` \| ([^|]+?) \| ([^|]+?) \| .* \| `(\w+)` \|$", README, re.MULTILINE)
    sequences = {"swapped": "swapped", "the tokenizer's template": "template"}
    assert [(name, releases, sequences[around], weighting) for name, releases, around, weighting in rows] == [
        (name, dialect.releases, dialect.sequence, dialect.weighting) for name, dialect in DIALECTS.items()
    ]
