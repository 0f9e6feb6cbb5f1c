"""Run the code of the tutorial offline and check its results."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from m2v_bench.assets.fetch import no_downloads
from scripts.figures import ROOT


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run the blocks one after the other in an empty folder; return the names they define."""
    page = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 4
    defined: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch, no_downloads():
        patch.chdir(tmp_path_factory.mktemp("tutorial"))
        for block in blocks:
            exec(block, defined)
    return defined


def test_the_embeddings_have_the_shape_that_the_page_says(names: dict[str, Any]):
    assert names["embeddings"].shape == (5485, 256)
    assert names["embeddings"].dtype == np.float32


def test_the_search_finds_news_on_the_query(names: dict[str, Any]):
    found = names["search"]("oil prices fall", k=5)
    assert list(found["score"]) == sorted(found["score"], reverse=True)
    assert found["Text"].str.contains("oil|crude|price").all()
    assert (names["search"](names["news"]["Text"][7], k=1)["score"] > 0.999).all()


def test_repeated_news_are_dropped_and_their_first_is_kept(names: dict[str, Any]):
    news, unique = names["news"], names["unique"]
    assert 100 < len(news) - len(unique) < 500
    assert unique["Text"].is_unique
    embeddings = np.eye(4, dtype=np.float32)[[0, 1, 0, 2, 1]]
    for block in (1, 2, 5):
        assert names["is_repeated"](embeddings, block=block).tolist() == [False, False, True, False, True]


def test_the_classifier_is_accurate(names: dict[str, Any]):
    assert names["classifier"].score(names["test"]["Text"], names["test"]["Category"]) > 0.94
    assert Path(names["classifier"][0].model).name == "my-model"
