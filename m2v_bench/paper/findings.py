"""Test the findings of the Model2Vec authors' ablations on a factorial sweep."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from m2v_bench.paper.published import published_tables
from m2v_bench.stats.factorial import Contrast, Design, Estimate, contrast
from m2v_bench.stats.significance import holm, verdict

# Plain transformers, by the last part of their names.
_PLAIN = ("bert-base-uncased", "bert-base-cased", "distilbert-base-uncased")


@dataclass(frozen=True)
class Finding:
    """A finding of the authors.

    Attributes:
        claim: the finding in words.
        setting: the factor that it is about.
        better, worse: the levels compared; an empty side means all levels that are not in the other.
        where: the other settings of the two variants that the authors compared.
        published: those two rows of their table.
        every_type: whether they claim it for every task type, too.
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
        """Difference of the authors' two rows in their average over all tasks, 0 to 1."""
        rows = published_tables()["ablations"]["rows"]
        return float(rows[self.published[0]]["avg_all"] - rows[self.published[1]]["avg_all"]) / 100


# Scopes of a test.
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
    """The result of testing a finding.

    Attributes:
        claim: the finding in words.
        scope: the settings that the test covers.
        published: difference of the authors' two rows, 0 to 1; NaN where they gave no number.
        verdict: `confirmed`, `refuted`, `undecided`, or `withheld: ` and the reason.
        n_tasks, n_variants: number of tasks and variants tested; 0 when the sweep lacks the levels.
        estimate: the effect; None when the sweep lacks the levels.
        p: corrected p-value behind the verdict; NaN where it was not tested.
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
    """Test every finding.

    A verdict uses *tasks like these*, Holm-corrected over all tests of `FINDINGS`, also those that this sweep cannot
    make. A finding on every task type is confirmed if it is significant on each, and refuted if the opposite is
    significant on one; this uses *these tasks*, corrected over the types, as a type has few tasks. One that cannot be
    made has no verdict.

    Args:
        design: of the sweep.
        on_average: estimates a contrast on the average over tasks.
        on_types: estimates it on every task type.
        alpha: significance level.
        withheld: why the average allows no verdict on tasks like these; None when it does.
        unscored: task types of the suite without a score; each counts as a test that cannot be made.
    """
    tests: list[tuple[Finding, str, Contrast | None]] = []
    for finding in FINDINGS:
        scopes = contrasts_of(finding, design)
        tests += [(finding, scope, scopes.get(scope)) for scope in (PUBLISHED, _ALL)]
    estimates = [None if effect is None else on_average(effect) for *_, effect in tests]
    corrected = holm([np.nan if estimate is None else estimate.like.p for estimate in estimates])
    judged: list[Judged] = []
    for (finding, scope, effect), estimate, p in zip(tests, estimates, corrected, strict=True):
        published = finding.published_difference
        if effect is None or estimate is None:
            if scope == _ALL and not contrasts_of(finding, design):
                judged.append(Judged(finding.claim, "not in this sweep", published, "undecided"))
            continue
        if np.isnan(p):
            outcome = f"withheld: {withheld or 'not tested'}"
        else:
            outcome = _VERDICTS[verdict(estimate.like.value, p, alpha)]
        n_tasks, n_variants = estimate.n_tasks, effect.n_variants
        judged.append(Judged(finding.claim, scope, published, outcome, n_tasks, n_variants, estimate, p))
        if finding.every_type and scope == PUBLISHED:
            judged.append(_on_every_type(finding, effect, on_types(effect), alpha, unscored))
    return judged


def _on_every_type(
    finding: Finding, effect: Contrast, types: Mapping[str, Estimate], alpha: float, unscored: Sequence[str]
) -> Judged:
    corrected = holm([estimate.these.p for estimate in types.values()] + [np.nan] * len(unscored))[: len(types)]
    outcomes = [verdict(estimate.these.value, p, alpha) for estimate, p in zip(types.values(), corrected, strict=True)]
    untested = [name for name, outcome in zip(types, outcomes, strict=True) if outcome == "untested"] + list(unscored)
    outcome = "refuted" if "loss" in outcomes else "undecided" if "tie" in outcomes else "confirmed"
    if outcome == "confirmed" and untested:
        outcome = f"withheld: not tested on {', '.join(untested)}"
    place, (name, worst) = min(enumerate(types.items()), key=lambda item: item[1][1].these.value)
    return Judged(
        f"{finding.claim}, on every task type",
        f"{PUBLISHED}; the worst: {name}",
        np.nan,
        outcome,
        sum(estimate.n_tasks for estimate in types.values()),
        effect.n_variants,
        worst,
        corrected[place],
    )


def contrasts_of(finding: Finding, design: Design) -> dict[str, Contrast]:
    """Return the contrasts that test a finding, by scope; none where the design lacks its levels.

    `as published` compares the settings that the authors compared, over all sentence transformers of the design;
    `all settings` is the main effect.
    """
    factor = design.factor(finding.setting)
    if factor is None:
        return {}
    worse = [level for level in factor.levels if level in finding.worse]
    better = [level for level in factor.levels if level in (finding.better or set(factor.levels) - set(worse))]
    if not better or not worse:
        return {}
    where: dict[str, str | Sequence[str]] = dict(finding.where)
    models = design.factor("base_model.name")
    if models is not None and models is not factor:
        where["base_model.name"] = [level for level in models.levels if level not in _PLAIN]
    contrasts = {}
    for scope, settings in ((PUBLISHED, where), (_ALL, {})):
        sides = [{**settings, finding.setting: levels} for levels in (better, worse)]
        if all(design.having(side).any() for side in sides):
            contrasts[scope] = contrast(finding.claim, design, *sides)
    return contrasts
