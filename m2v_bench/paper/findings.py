"""What the authors of Model2Vec found in their ablations, each finding put to the test on a factorial sweep of ours."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from m2v_bench.paper.published import published_tables
from m2v_bench.stats.factorial import Contrast, Design, Estimate, contrast
from m2v_bench.stats.significance import holm, verdict

# Base models that are no sentence transformers, by the last part of their names.
_PLAIN = ("bert-base-uncased", "bert-base-cased", "distilbert-base-uncased")


@dataclass(frozen=True)
class Finding:
    """A finding of the authors.

    Attributes:
        claim: what is better than what.
        setting: the factor that it is about.
        better, worse: the levels that it compares; empty: all that the other side does not have.
        where: the other settings of the two variants that the authors compared.
        published: those two rows of their table.
        every_type: whether they found it on every task type, too.
    """

    claim: str
    setting: str
    better: tuple[str, ...]
    worse: tuple[str, ...]
    where: Mapping[str, str]
    published: tuple[str, str]
    every_type: bool = False

    @property
    def published_difference(self) -> float:
        """What the authors' two rows differ by in their average over all tasks, 0 to 1."""
        rows = published_tables()["ablations"]["rows"]
        return float(rows[self.published[0]]["avg_all"] - rows[self.published[1]]["avg_all"]) / 100


# What a test is over.
PUBLISHED, _ALL = "as published", "all settings"

_UNWEIGHTED_OUTPUT = {"embeddings": "output", "weighting": "none"}
FINDINGS = (
    Finding(
        "a sentence transformer distils better than a plain transformer",
        "base_model.name",
        (),
        _PLAIN,
        {**_UNWEIGHTED_OUTPUT, "pca_dims": "none"},
        ("M2V_base_output_nozipf_nopca", "M2V_bert_output_nozipf_nopca"),
    ),
    Finding(
        "PCA improves",
        "pca_dims",
        (),
        ("none",),
        _UNWEIGHTED_OUTPUT,
        ("M2V_base_output_nozipf", "M2V_base_output_nozipf_nopca"),
        every_type=True,
    ),
    Finding(
        "Zipf weighting improves",
        "weighting",
        ("zipf_log",),
        ("none",),
        {"embeddings": "output", "pca_dims": "none"},
        ("M2V_base_output_nopca", "M2V_base_output_nozipf_nopca"),
    ),
    Finding(
        "output embeddings are better than input embeddings",
        "embeddings",
        ("output",),
        ("input",),
        {"pca_dims": "256", "weighting": "zipf_log"},
        ("M2V_base_output", "M2V_base_input"),
    ),
)


@dataclass(frozen=True)
class Judged:
    """A finding put to the test.

    Attributes:
        claim: what is said to be better.
        scope: the settings that the test is over.
        published: what the authors' two rows differ by, 0 to 1; NaN where they gave no number.
        verdict: `confirmed`, `refuted`, `undecided`, or `withheld: ` and why.
        n_tasks, n_variants: what the test is over; 0 when the sweep has not the levels.
        estimate: the effect; None likewise.
        p: of the question that the verdict is by, corrected; NaN where it was not tested.
    """

    claim: str
    scope: str
    published: float
    verdict: str
    n_tasks: int = 0
    n_variants: int = 0
    estimate: Estimate | None = None
    p: float = np.nan


_VERDICTS = {"win": "confirmed", "loss": "refuted", "tie": "undecided"}


def judge_findings(
    design: Design,
    on_average: Callable[[Contrast], Estimate],
    on_types: Callable[[Contrast], dict[str, Estimate]],
    *,
    alpha: float,
    withheld: str | None = None,
    unscored: Sequence[str] = (),
) -> list[Judged]:
    """Each finding, tested.

    A verdict is by *tasks like these*, corrected by Holm over all tests of `FINDINGS`, whether or not this sweep can
    make them. That something holds on every task type is confirmed when it is separable from 0 on each one, and refuted
    when the opposite is separable on one; this by *these tasks*, corrected over the types, as a type has few tasks or a
    single one. A test that cannot be made has no verdict.

    Args:
        design: of the sweep.
        on_average: estimates a contrast on the average over tasks.
        on_types: estimates it on each task type.
        alpha: level of the tests.
        withheld: why the average says nothing of tasks like these, where it does not.
        unscored: the task types of the suite that have no score, each a test that cannot be made.
    """
    tests: list[tuple[Finding, str, Contrast | None]] = []
    for finding in FINDINGS:
        scopes = contrasts_of(finding, design)
        tests += [(finding, scope, scopes.get(scope)) for scope in (PUBLISHED, _ALL)]
    estimates = [None if own is None else on_average(own) for *_, own in tests]
    corrected = holm([np.nan if each is None else each.like.p for each in estimates])
    found: list[Judged] = []
    for (finding, scope, own), each, p in zip(tests, estimates, corrected, strict=True):
        published = finding.published_difference
        if own is None or each is None:
            if scope == _ALL and not contrasts_of(finding, design):
                found.append(Judged(finding.claim, "not in this sweep", published, "undecided"))
            continue
        told = f"withheld: {withheld or 'not tested'}" if np.isnan(p) else _VERDICTS[verdict(each.like.value, p, alpha)]
        found.append(Judged(finding.claim, scope, published, told, each.n_tasks, own.n_variants, each, p))
        if finding.every_type and scope == PUBLISHED:
            found.append(_on_every_type(finding, own, on_types(own), alpha, unscored))
    return found


def _on_every_type(
    finding: Finding, own: Contrast, types: Mapping[str, Estimate], alpha: float, unscored: Sequence[str]
) -> Judged:
    p = holm([each.these.p for each in types.values()] + [np.nan] * len(unscored))[: len(types)]
    outcomes = [verdict(each.these.value, own_p, alpha) for each, own_p in zip(types.values(), p, strict=True)]
    untested = [name for name, outcome in zip(types, outcomes, strict=True) if outcome == "untested"] + list(unscored)
    told = "refuted" if "loss" in outcomes else "undecided" if "tie" in outcomes else "confirmed"
    if told == "confirmed" and untested:
        told = f"withheld: not tested on {', '.join(untested)}"
    place, (name, worst) = min(enumerate(types.items()), key=lambda item: item[1][1].these.value)
    n_tasks = sum(each.n_tasks for each in types.values())
    claim = f"{finding.claim}, on every task type"
    return Judged(claim, f"{PUBLISHED}; the worst: {name}", np.nan, told, n_tasks, own.n_variants, worst, p[place])


def contrasts_of(finding: Finding, design: Design) -> dict[str, Contrast]:
    """The contrasts that test a finding, by the settings they are over; none where the design has not its levels.

    `as published` compares what the authors compared, over all sentence transformers of the design; `all settings` is
    the main effect.
    """
    factor = design.factor(finding.setting)
    if factor is None:
        return {}
    better = [each for each in factor.levels if each in finding.better or not (finding.better or each in finding.worse)]
    worse = [each for each in factor.levels if each in finding.worse]
    if not better or not worse:
        return {}
    where: dict[str, str | Sequence[str]] = dict(finding.where)
    models = design.factor("base_model.name")
    if models is not None and models is not factor:
        where["base_model.name"] = [level for level in models.levels if level not in _PLAIN]
    found = {}
    for scope, own in ((PUBLISHED, where), (_ALL, {})):
        sides = [{**own, finding.setting: levels} for levels in (better, worse)]
        if all(design.having(side).any() for side in sides):
            found[scope] = contrast(finding.claim, design, *sides)
    return found
