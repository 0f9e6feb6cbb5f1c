from itertools import product
from typing import Any

import numpy as np
import pytest

from m2v_bench.paper.findings import FINDINGS, Judged, judge_findings
from m2v_bench.results.record import RunRecord
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
    return design_of([RunRecord([], settings=values) for values in settings])


def judged(
    varied: Design,
    scores: dict[tuple[str, ...], float],
    noise: float,
    worst: float = 0.05,
    p: float = 0.001,
    **more: Any,
) -> list[Judged]:
    """Judge with intervals of +/- `noise` around each effect, and p-value `p` if they exclude zero."""
    values = np.array([scores[tuple(variant[name] for name in NAMES)] for variant in varied.variants])

    def on_average(item: Contrast) -> Estimate:
        value = float((item.plus - item.minus) @ values)
        difference = Difference(value, value - noise, value + noise, p if abs(value) > noise else 0.5)
        return Estimate(item, 4, difference, difference, difference)

    def on_types(item: Contrast) -> dict[str, Estimate]:
        known = {"STS": 0.2, "Ret": worst}
        p = {value: 0.001 if abs(value) > noise else 0.5 for value in known.values()}
        differences = {name: Difference(value, value - noise, value + noise, p[value]) for name, value in known.items()}
        return {name: Estimate(item, 2, difference, difference, difference) for name, difference in differences.items()}

    return judge_findings(varied, on_average, on_types, alpha=0.05, **more)


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


def test_published_differences_match_the_authors_rows():
    by_setting = {finding.setting: finding for finding in FINDINGS}
    for setting, better, worse in (
        ("pca_dims", ("256", "none", "output"), ("none", "none", "output")),
        ("weighting", ("none", "zipf_log", "output"), ("none", "none", "output")),
        ("embeddings", ("256", "zipf_log", "output"), ("256", "zipf_log", "input")),
    ):
        difference = by_setting[setting].published_difference
        assert 100 * difference == pytest.approx(PUBLISHED[better] - PUBLISHED[worse])
    assert 100 * by_setting["base_model.name"].published_difference == pytest.approx(40.80 - 35.54)


def test_findings_are_confirmed_refuted_or_undecided():
    findings = judged(design("bge-base-en-v1.5", "bert-base-uncased"), ADDED, noise=0.005)
    verdicts = {
        (finding.claim.split()[0], finding.scope): (finding.verdict, round(finding.estimate.these.value, 4))
        for finding in findings
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
    assert [finding.n_variants for finding in findings] == [2, 16, 2, 2, 16, 2, 16, 2, 16]
    noisy = judged(design("bge-base-en-v1.5", "bert-base-uncased"), ADDED, noise=0.05)
    assert [finding.verdict for finding in noisy if finding.claim.startswith(("Zipf", "output"))] == ["undecided"] * 4


@pytest.mark.parametrize(("worst", "verdict"), [(0.05, "confirmed"), (-0.05, "refuted"), (-0.001, "undecided")])
def test_every_type_verdict_follows_the_worst_type(worst: float, verdict: str):
    findings = judged(design("bge-base-en-v1.5", "bert-base-uncased"), ADDED, noise=0.005, worst=worst)
    assert [finding.verdict for finding in findings if finding.claim.endswith("on every task type")] == [verdict]


def test_a_finding_outside_the_sweep_is_undecided():
    varied = design("bge-base-en-v1.5", "all-MiniLM-L6-v2")
    scores = {
        (model, *levels): 0.5 for model in ("bge-base-en-v1.5", "all-MiniLM-L6-v2") for levels in product(*LEVELS)
    }
    first = judged(varied, scores, noise=0.01)[0]
    assert (first.scope, first.verdict, first.n_tasks, first.n_variants) == ("not in this sweep", "undecided", 0, 0)


@pytest.mark.parametrize("models", [("bge-base-en-v1.5",), ("bge-base-en-v1.5", "bert-base-uncased")])
def test_a_smaller_sweep_is_corrected_for_the_same_number_of_tests(models: tuple[str, ...]):
    """Holm always corrects for the eight tests of all findings, even if only six are run: 8 x 0.007."""
    findings = judged(design(*models), ADDED, noise=0.005, p=0.007)
    tested = [finding for finding in findings if finding.n_tasks and not finding.claim.endswith("type")]
    assert len(tested) == (8 if "bert-base-uncased" in models else 6)
    assert min(finding.p for finding in tested) == pytest.approx(0.056)
    assert {finding.verdict for finding in tested} == {"undecided"}


@pytest.mark.parametrize("reason", ["no per-sample outputs of 1 of 6 tasks", "5 tasks, 6 are needed"])
def test_a_verdict_without_a_test_is_withheld(reason: str):
    findings = judged(design("bge-base-en-v1.5", "bert-base-uncased"), ADDED, noise=0.005, p=np.nan, withheld=reason)
    judgements = [finding.verdict for finding in findings if not finding.claim.endswith("type")]
    assert set(judgements) == {f"withheld: {reason}"}


@pytest.mark.parametrize(
    ("worst", "verdict"), [(0.05, "withheld: not tested on Rank"), (-0.05, "refuted"), (-0.001, "undecided")]
)
def test_every_type_is_not_confirmed_if_one_has_no_score(worst: float, verdict: str):
    varied = design("bge-base-en-v1.5", "bert-base-uncased")
    findings = judged(varied, ADDED, noise=0.005, worst=worst, unscored=["Rank"])
    assert [finding.verdict for finding in findings if finding.claim.endswith("on every task type")] == [verdict]


def test_fixed_settings_are_taken_into_account():
    """Without unweighted variants only the main effect of PCA can be tested, not the authors' comparison."""
    settings = [
        {"pca_dims": dims, "embeddings": embeddings, "weighting": "zipf_log"}
        for dims, embeddings in product(("256", "none"), ("output", "input"))
    ]
    varied = design_of([RunRecord([], settings=values) for values in settings])
    findings = judge_findings(
        varied, lambda item: Estimate(item, 1, *[Difference(0.1, 0.0, 0.2, 0.04)] * 3), lambda item: {}, alpha=0.05
    )
    assert [(finding.claim.split()[0], finding.scope) for finding in findings] == [
        ("a", "not in this sweep"),
        ("PCA", "all settings"),
        ("Zipf", "not in this sweep"),
        ("output", "as published"),
        ("output", "all settings"),
    ]
