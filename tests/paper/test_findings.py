from itertools import product
from typing import Any

import numpy as np
import pytest

from m2v_bench.paper.findings import FINDINGS, Judged, judge_findings
from m2v_bench.stats.factorial import Contrast, Design, Estimate, design_of
from m2v_bench.stats.significance import Difference

LEVELS = [("256", "none"), ("zipf_log", "none"), ("output", "input")]
# Rows of the authors' table by these levels.
PUBLISHED = {
    ("256", "zipf_log", "output"): 46.79,
    ("none", "zipf_log", "output"): 44.04,
    ("256", "none", "output"): 43.61,
    ("none", "none", "output"): 40.80,
    ("256", "zipf_log", "input"): 40.74,
}


def design(*models: str) -> Design:
    settings = [
        {"base_model.name": model, "pca_dims": dims, "weighting": weighting, "embeddings": embeddings}
        for model in models
        for dims, weighting, embeddings in product(*LEVELS)
    ]
    return design_of([{"settings": each} for each in settings])


def judged(
    own: Design,
    scores: dict[tuple[str, ...], float],
    noise: float,
    worst: float = 0.05,
    p: float = 0.001,
    **more: Any,
) -> list[Judged]:
    """The verdicts where each effect has an interval of `noise` to both sides, and `p` if that leaves out zero."""
    found = p
    values = np.array([scores[tuple(each[name] for name in NAMES)] for each in own.variants])

    def on_average(each: Contrast) -> Estimate:
        value = float((each.plus - each.minus) @ values)
        difference = Difference(value, value - noise, value + noise, found if abs(value) > noise else 0.5)
        return Estimate(each, 4, difference, difference)

    def on_types(each: Contrast) -> dict[str, Estimate]:
        known = {"STS": 0.2, "Ret": worst}
        p = {value: 0.001 if abs(value) > noise else 0.5 for value in known.values()}
        made = {name: Difference(value, value - noise, value + noise, p[value]) for name, value in known.items()}
        return {name: Estimate(each, 2, own, own) for name, own in made.items()}

    return judge_findings(own, on_average, on_types, alpha=0.05, **more)


NAMES = ("base_model.name", "pca_dims", "weighting", "embeddings")
# Points, by model and the three levels: 10 for PCA, 4 for Zipf, and input is better by 1.
ADDED = {
    (model, *levels): 0.1 * (levels[0] == "256")
    + 0.04 * (levels[1] == "zipf_log")
    + 0.01 * (levels[2] == "input")
    - low
    for model, low in (("bge-base-en-v1.5", 0.0), ("bert-base-uncased", 0.2))
    for levels in product(*LEVELS)
}


def test_the_published_differences_are_those_of_the_authors_rows():
    by_setting = {each.setting: each for each in FINDINGS}
    for setting, better, worse in (
        ("pca_dims", ("256", "none", "output"), ("none", "none", "output")),
        ("weighting", ("none", "zipf_log", "output"), ("none", "none", "output")),
        ("embeddings", ("256", "zipf_log", "output"), ("256", "zipf_log", "input")),
    ):
        difference = by_setting[setting].published_difference
        assert 100 * difference == pytest.approx(PUBLISHED[better] - PUBLISHED[worse])
    assert 100 * by_setting["base_model.name"].published_difference == pytest.approx(40.80 - 35.54)


def test_findings_are_confirmed_refuted_or_undecided():
    found = judged(design("bge-base-en-v1.5", "bert-base-uncased"), ADDED, noise=0.005)
    verdicts = {
        (each.claim.split()[0], each.scope): (each.verdict, round(each.estimate.these.value, 4)) for each in found
    }
    assert verdicts == {
        ("a", "as published"): ("confirmed", 0.2),
        ("a", "all settings"): ("confirmed", 0.2),
        ("PCA", "as published"): ("confirmed", 0.1),
        ("PCA", "as published; the worst: Ret"): ("confirmed", 0.05),
        ("PCA", "all settings"): ("confirmed", 0.1),
        ("Zipf", "as published"): ("confirmed", 0.04),
        ("Zipf", "all settings"): ("confirmed", 0.04),
        ("output", "as published"): ("refuted", -0.01),
        ("output", "all settings"): ("refuted", -0.01),
    }
    # what the authors compared has one variant on each side, of the sentence transformer alone
    assert [each.n_variants for each in found] == [2, 16, 2, 2, 16, 2, 16, 2, 16]
    noisy = judged(design("bge-base-en-v1.5", "bert-base-uncased"), ADDED, noise=0.05)
    assert [each.verdict for each in noisy if each.claim.startswith(("Zipf", "output"))] == ["undecided"] * 4


@pytest.mark.parametrize(("worst", "verdict"), [(0.05, "confirmed"), (-0.05, "refuted"), (-0.001, "undecided")])
def test_on_every_type_is_as_good_as_the_worst_type(worst: float, verdict: str):
    found = judged(design("bge-base-en-v1.5", "bert-base-uncased"), ADDED, noise=0.005, worst=worst)
    assert [each.verdict for each in found if each.claim.endswith("on every task type")] == [verdict]


def test_a_finding_that_the_sweep_cannot_tell_is_undecided():
    own = design("bge-base-en-v1.5", "all-MiniLM-L6-v2")
    scores = {
        (model, *levels): 0.5 for model in ("bge-base-en-v1.5", "all-MiniLM-L6-v2") for levels in product(*LEVELS)
    }
    first = judged(own, scores, noise=0.01)[0]
    assert (first.scope, first.verdict, first.n_tasks, first.n_variants) == ("not in this sweep", "undecided", 0, 0)


@pytest.mark.parametrize("models", [("bge-base-en-v1.5",), ("bge-base-en-v1.5", "bert-base-uncased")])
def test_a_smaller_sweep_corrects_for_as_many_tests(models: tuple[str, ...]):
    """Holm over the eight tests of the findings, whether six of them or all are made: 8 x 0.007."""
    found = judged(design(*models), ADDED, noise=0.005, p=0.007)
    tested = [each for each in found if each.n_tasks and not each.claim.endswith("type")]
    assert len(tested) == (8 if "bert-base-uncased" in models else 6)
    assert min(each.p for each in tested) == pytest.approx(0.056)
    assert {each.verdict for each in tested} == {"undecided"}


@pytest.mark.parametrize("reason", ["no per-sample outputs of 1 of 6 tasks", "5 tasks, 6 are needed"])
def test_a_test_that_cannot_be_made_has_no_verdict(reason: str):
    found = judged(design("bge-base-en-v1.5", "bert-base-uncased"), ADDED, noise=0.005, p=np.nan, withheld=reason)
    told = [each.verdict for each in found if not each.claim.endswith("type")]
    assert set(told) == {f"withheld: {reason}"}


@pytest.mark.parametrize(
    ("worst", "verdict"), [(0.05, "withheld: not tested on Rank"), (-0.05, "refuted"), (-0.001, "undecided")]
)
def test_every_type_is_not_confirmed_where_one_has_no_score(worst: float, verdict: str):
    own = design("bge-base-en-v1.5", "bert-base-uncased")
    found = judged(own, ADDED, noise=0.005, worst=worst, unscored=["Rank"])
    assert [each.verdict for each in found if each.claim.endswith("on every task type")] == [verdict]


def test_settings_that_do_not_vary_count():
    """Without unweighted variants the authors' comparison of PCA cannot be made, the main effect can."""
    settings = [
        {"pca_dims": dims, "embeddings": embeddings, "weighting": "zipf_log"}
        for dims, embeddings in product(("256", "none"), ("output", "input"))
    ]
    own = design_of([{"settings": each} for each in settings])
    found = judge_findings(
        own, lambda each: Estimate(each, 1, *[Difference(0.1, 0.0, 0.2, 0.04)] * 2), lambda each: {}, alpha=0.05
    )
    assert [(each.claim.split()[0], each.scope) for each in found] == [
        ("a", "not in this sweep"),
        ("PCA", "all settings"),
        ("Zipf", "not in this sweep"),
        ("output", "as published"),
        ("output", "all settings"),
    ]
