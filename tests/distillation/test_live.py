"""Compare each dialect with a live run of the model2vec release that defined it: whole tables, every text.

Skipped without the environments that `make golden` creates.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scripts.golden import environment, run_worker, tokenizer_lengths
from tests.golden.cases import MINILM, ODD_TEXTS, RELEASES, Case, Release, spelled
from tests.golden.compare import (
    ProgramRule,
    component_signs,
    cosine_distances,
    our_model,
    row_tolerance,
)

COSINE_TOLERANCE = 1e-5

CASES = [
    pytest.param(
        release,
        case,
        id=f"{release.dialect}-{case.name}",
        marks=pytest.mark.skipif(not environment(release.version).exists(), reason="make golden creates them"),
    )
    for release in RELEASES
    for case in release.cases
]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("live")


@pytest.mark.parametrize(("release", "case"), CASES)
def test_table_and_embeddings(release: Release, case: Case, scratch: Path, real_texts: list[str]):
    theirs: dict[str, Any] = run_worker(release, (case,), real_texts, scratch)[case.name]
    info = theirs["info"]
    if "error" in info:
        pytest.skip(f"model2vec refuses: {info['error']}")
    ours = our_model(release.dialect, case, scratch)
    assert list(ours.tokens) == info["tokens"]
    assert ours.table.shape == theirs["table"].shape

    if "mapping" in theirs:
        assert ours.weights is not None
        np.testing.assert_array_equal(ours.mapping, theirs["mapping"])
        np.testing.assert_allclose(ours.weights, theirs["weights"], rtol=1e-6)
    signs = np.ones(ours.dims) if case.pca_dims is None else component_signs(ours.table, theirs["table"])
    is_fed_differently = (
        case.words is not None and case.base == MINILM and release.dialect == "m2v-0.7"
    )  # see test_golden
    n = 29_524 if is_fed_differently else None  # subwords
    differences = np.linalg.norm((ours.table * signs - theirs["table"])[:n], axis=1)
    norms = np.linalg.norm(theirs["table"][:n], axis=1)
    limit = row_tolerance(release.dialect, case)
    assert np.linalg.norm(differences) <= limit * np.linalg.norm(norms)
    assert (differences <= 10 * limit * norms + 1e-7).all()

    if is_fed_differently:
        return
    rule = ProgramRule.of({**info, **tokenizer_lengths(info["tokenizer"])})
    texts = [*(spelled(text) for text in ODD_TEXTS), *real_texts]
    embeddings = rule.encode(ours, texts) * signs
    assert cosine_distances(embeddings, np.vstack([theirs["odd"], theirs["real"]])).max() < COSINE_TOLERANCE
