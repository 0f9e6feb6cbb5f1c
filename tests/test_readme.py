"""What the README and docs/scale.md quote is what the files hold."""

import re

import pytest

from m2v_bench.distillation.dialects import DIALECTS
from tests.quote import BLOCK, PAGES, ROOT, render

README, SCALE = ((ROOT / page).read_text(encoding="utf-8") for page in PAGES)


@pytest.mark.parametrize(("page", "n_blocks"), [(README, 6), (SCALE, 6)], ids=PAGES)
def test_quoted_numbers_are_those_of_the_files(page: str, n_blocks: int):
    assert len(BLOCK.findall(page)) == n_blocks
    assert render(page) == page, "run `make readme`"


def test_a_changed_number_is_noticed():
    number = re.search(r"\| \d\.\d{5} \|", README)
    assert number
    assert render(README.replace(number[0], "| 0.99999 |", 1)) != README.replace(number[0], "| 0.99999 |", 1)


def test_pictures_and_commands_exist():
    for picture in re.findall(r"!\[[^]]*\]\(([^)]+)\)", README):
        assert (ROOT / picture).is_file(), picture
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"`?make ([a-z-]+)", README + SCALE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_dialects_are_those_of_the_code():
    rows = re.findall(r"^\| `(m2v-[0-9.]+)` \| ([^|]+?) \| ([^|]+?) \| .* \| `(\w+)` \|$", README, re.MULTILINE)
    sequences = {"swapped": "swapped", "the tokenizer's template": "template"}
    assert [(name, releases, sequences[around], weighting) for name, releases, around, weighting in rows] == [
        (name, dialect.releases, dialect.sequence, dialect.weighting) for name, dialect in DIALECTS.items()
    ]
