"""Main effects and two-way interactions of a full factorial design, with confidence intervals and p-values.

Every variant is scored on the same tasks, so each effect is a contrast of variants within a task (Yates, *The Design
and Analysis of Factorial Experiments*, 1937; Box, Hunter and Hunter, *Statistics for Experimenters*, 2005, ch. 5). The
main effect of a level is the mean score of all variants with that level minus the mean of all variants with the
factor's reference level: a difference of marginal means, in which all combinations of the other factors have equal
weight (Searle, Speed and Milliken, *Population Marginal Means in the Linear Model*, 1980). A two-way interaction is a
difference of differences: the effect of a level where the other factor has a given level, minus its effect where the
other factor has its reference level. (Textbooks on two-level designs halve it.)

There are three questions. *These tasks*: samples are resampled within each task, the same ones for all variants,
because their errors on shared samples are correlated. *Tasks like these*: tasks are resampled, and samples within each.
Both bootstraps are those of `stats.Comparison`, applied to an effect as the difference of two means; base models are
fixed, and nothing is claimed about others. *Tasks and teachers like these*: both are a sample of those that could have
been chosen. Resampling two or three teachers would understate how much they differ, so an analysis of variance with
crossed random effects is used (Clark, *The Language-as-Fixed-Effect Fallacy*, 1973). Settings are always fixed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from scipy.optimize import brentq
from scipy.stats import t

from m2v_bench.config.job_names import tells_apart
from m2v_bench.errors import BenchError
from m2v_bench.results.record import RunRecord
from m2v_bench.stats.bootstrap import TaskBootstrap
from m2v_bench.stats.significance import LEAST_DF, Comparison, Difference

BASE_MODEL = "base_model.name"
_ZERO = 1e-12  # above rounding errors

Levels = Mapping[str, str | Sequence[str]]
"""Levels keyed by setting; several levels of a setting are pooled."""


@dataclass(frozen=True)
class Factor:
    """A setting that the design varies, its ordered levels, and the reference level of its effects."""

    setting: str
    levels: tuple[str, ...]
    reference: str

    @property
    def others(self) -> list[str]:
        """All levels except the reference."""
        return [level for level in self.levels if level != self.reference]


@dataclass(frozen=True)
class Design:
    """A full factorial design.

    Attributes:
        factors: the settings that vary.
        variants: for each variant, in the order of the records, its levels keyed by setting.
    """

    factors: list[Factor]
    variants: list[dict[str, str]]

    def factor(self, setting: str) -> Factor | None:
        """Return the factor for a setting, or None if the setting is not a factor."""
        return next((factor for factor in self.factors if factor.setting == setting), None)

    def having(self, levels: Levels) -> np.ndarray:
        """Return which variants have one of the given levels of each setting: bool, shape (variants,)."""
        allowed = {name: [value] if isinstance(value, str) else list(value) for name, value in levels.items()}
        return np.array(
            [all(variant.get(name) in values for name, values in allowed.items()) for variant in self.variants]
        )

    @property
    def teachers(self) -> list[np.ndarray]:
        """Indices of each base model's variants, all in the same order of the other settings.

        Empty when the base model does not vary.
        """
        factor = self.factor(BASE_MODEL)
        others = [other.setting for other in self.factors if other is not factor]

        def place(index: np.intp) -> list[str]:
            return [self.variants[index][name] for name in others]

        levels = factor.levels if factor else ()
        return [np.array(sorted(np.flatnonzero(self.having({BASE_MODEL: level})), key=place)) for level in levels]


@dataclass(frozen=True)
class Contrast:
    """A difference of two weighted means of variants.

    Attributes:
        name: description of the comparison.
        plus, minus: weights of the two means, non-negative float64 arrays of shape (variants,).
    """

    name: str
    plus: np.ndarray
    minus: np.ndarray

    @property
    def n_variants(self) -> int:
        """Number of variants compared."""
        return int(np.sum((self.plus > 0) | (self.minus > 0)))


@dataclass(frozen=True)
class Estimate:
    """A contrast estimated on a subset of tasks.

    Attributes:
        contrast: the comparison of variants.
        n_tasks: number of tasks.
        these: estimate with its interval for these tasks.
        like: the same estimate with its interval for tasks like these.
        teachers: the same for tasks and teachers like these; NaN for a contrast of teachers, or with a single one.
    """

    contrast: Contrast
    n_tasks: int
    these: Difference
    like: Difference
    teachers: Difference

    @property
    def questions(self) -> dict[str, Difference]:
        """The estimate for each of the three questions, by name."""
        return {"these": self.these, "like": self.like, "teachers": self.teachers}


def design_of(records: Sequence[RunRecord]) -> Design:
    """Infer the design from the records of a sweep.

    A setting that is determined by another one is not a separate factor. The reference of a factor is its level `none`,
    or else its last level.

    Raises:
        BenchError: if fewer than two settings vary, or a combination of their levels is missing or duplicated.
    """
    levels = {
        name: [_level(name, record) for record in records]
        for name in records[0].settings
        if tells_apart(name) and not name.startswith("baselines.")  # not how it ran, nor its baselines
    }
    varied = {name: values for name, values in levels.items() if len(set(values)) > 1}
    names = [name for name in varied if not any(_determines(varied, other, name) for other in varied)]
    if len(names) < 2:
        raise BenchError(f"the sweep varies {', '.join(names) or 'no setting'}; a factorial design varies two or more")
    factors = []
    for name in names:
        unique = tuple(dict.fromkeys(varied[name]))
        factors.append(Factor(name, unique, "none" if "none" in unique else unique[-1]))
    present = list(zip(*(varied[name] for name in names), strict=True))
    for combination in product(*(factor.levels for factor in factors)):
        if (count := present.count(combination)) != 1:
            levels_text = " ".join(f"{name}={level}" for name, level in zip(names, combination, strict=True))
            raise BenchError(f"not a full factorial design: {levels_text} occurs {count} times, must occur once")
    return Design(
        factors, [{name: values[number] for name, values in levels.items()} for number in range(len(records))]
    )


def _level(setting: str, record: RunRecord) -> str:
    """Return a setting's value as text; an unset weighting is resolved to the dialect's."""
    value = record.settings.get(setting)
    if setting == "weighting" and value is None:
        value = record.variant.get("weighting")
    return str(value).rsplit("/", 1)[-1] if setting == BASE_MODEL else str(value)


def _determines(varied: Mapping[str, Sequence[str]], one: str, other: str) -> bool:
    """Return whether `one` determines `other`; if each determines the other, only the first one counts."""
    pairs = set(zip(varied[one], varied[other], strict=True))
    follows, leads = len(pairs) == len(set(varied[one])), len(pairs) == len(set(varied[other]))
    return one != other and follows and (not leads or list(varied).index(one) < list(varied).index(other))


def effects(design: Design) -> tuple[list[Contrast], list[Contrast]]:
    """Return all main effects and all two-way interactions of a design."""
    mains = [
        contrast(
            f"{factor.setting}: {level} less {factor.reference}",
            design,
            {factor.setting: level},
            {factor.setting: factor.reference},
        )
        for factor in design.factors
        for level in factor.others
    ]
    interactions = []
    for first, second in combinations(design.factors, 2):
        for a, b in product(first.others, second.others):
            conditions = [{second.setting: level} for level in (b, second.reference)]
            at_level, at_reference = (
                contrast("", design, {first.setting: a, **condition}, {first.setting: first.reference, **condition})
                for condition in conditions
            )
            name = f"{first.setting}: {a} × {second.setting}: {b}"
            interactions.append(Contrast(name, at_level.plus + at_reference.minus, at_level.minus + at_reference.plus))
    return mains, interactions


def contrast(name: str, design: Design, plus: Levels, minus: Levels) -> Contrast:
    """Contrast the mean of the variants with levels `plus` with the mean of those with levels `minus`."""
    sides = [design.having(levels) for levels in (plus, minus)]
    return Contrast(name, *(side / side.sum() for side in sides))


def estimate(
    contrasts: Sequence[Contrast],
    comparison: Comparison,
    types: Sequence[str],
    tasks: Sequence[int],
    *,
    teachers: Sequence[np.ndarray] = (),
    average: str = "tasks",
    replicates: int,
    seed: int,
    confidence: float,
) -> list[Estimate]:
    """Estimate contrasts on a subset of the compared tasks.

    Args:
        contrasts: contrasts of the variants.
        comparison: comparison of all variants, in the order of the design.
        types: type of each task of `comparison`.
        tasks: indices of the tasks to use.
        teachers: the variants of each base model, as `Design.teachers` returns them.
        average: `tasks` or `types`, as in `Comparison`.
        replicates: number of resamples, as in `comparison`.
        seed: seed of the draws of tasks.
        confidence: confidence level of the intervals.
    """
    # two columns per contrast: treat its sides as two models
    sides = np.stack([side for item in contrasts for side in (item.plus, item.minus)], axis=1)
    bootstraps = [comparison.bootstraps[task] for task in tasks]
    paired = Comparison(
        comparison.scores[tasks] @ sides,
        [
            bootstrap and TaskBootstrap(bootstrap.scores @ sides, bootstrap.deviations @ sides, bootstrap.df)
            for bootstrap in bootstraps
        ],
        [types[task] for task in tasks],
        replicates=replicates,
        seed=seed,
        confidence=confidence,
    )
    return [
        Estimate(
            item,
            len(tasks),
            paired.these_tasks(2 * number, 2 * number + 1, average),
            paired.tasks_like_these(2 * number, 2 * number + 1, average),
            _tasks_and_teachers(item, comparison.scores[tasks], teachers, average, confidence),
        )
        for number, item in enumerate(contrasts)
    ]


def _tasks_and_teachers(
    item: Contrast, scores: np.ndarray, teachers: Sequence[np.ndarray], average: str, confidence: float
) -> Difference:
    """Estimate a contrast with tasks and teachers as crossed random effects.

    Of the contrast on task k with the variants of teacher t, analysis of variance gives the mean squares MS_K of tasks,
    MS_T of teachers and MS_KT of their interaction. The variance of the mean over K tasks and T teachers has the parts
    MS_K / (K T) and max(0, MS_T - MS_KT) / (K T), with K - 1 and T - 1 degrees of freedom. The interval's half-width is
    the root of the sum of the squared half-widths that each part has with its own quantile of t (Howe, *Approximate
    Confidence Limits on the Mean of X + Y*, 1974). Satterthwaite's single quantile is too narrow for three teachers.

    Returns:
        The estimate; interval and p are NaN for a contrast that is not the same for every teacher, a macro average, or
        fewer than two teachers or `LEAST_DF` + 1 tasks.
    """
    weights = item.plus - item.minus
    value = float(np.mean(scores @ weights))
    n_tasks, n_teachers = len(scores), len(teachers)
    if n_teachers < 2 or n_tasks <= LEAST_DF or average != "tasks":
        return Difference(value, np.nan, np.nan, np.nan)
    if not all(np.allclose(weights[own], weights[teachers[0]]) for own in teachers):
        return Difference(value, np.nan, np.nan, np.nan)
    gaps = n_teachers * np.stack([scores[:, own] @ weights[own] for own in teachers], axis=1)
    of_tasks, of_teachers = gaps.mean(axis=1) - value, gaps.mean(axis=0) - value
    residuals = gaps - value - of_tasks[:, None] - of_teachers
    interaction = np.sum(residuals**2) / ((n_tasks - 1) * (n_teachers - 1))
    tasks = n_teachers * of_tasks @ of_tasks / (n_tasks - 1)
    own = max(n_tasks * of_teachers @ of_teachers / (n_teachers - 1) - interaction, 0.0)
    parts, dfs = np.array([tasks, own]) / (n_tasks * n_teachers), np.array([n_tasks - 1, n_teachers - 1])
    if parts.sum() < _ZERO**2:
        return Difference(value, np.nan, np.nan, np.nan)

    def reach(p: float) -> float:
        return float(np.sqrt(np.sum(t.isf(p / 2, dfs) ** 2 * parts)))

    half = reach(1 - confidence)
    lowest = 1e-12
    p = lowest if reach(lowest) < abs(value) else float(brentq(lambda p: reach(p) - abs(value), lowest, 1.0))
    return Difference(value, value - half, value + half, p)
