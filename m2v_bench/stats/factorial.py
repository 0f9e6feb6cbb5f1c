"""A full factorial design: main effects, two-way interactions, and what chance may explain of them.

Every variant of the design is scored on the same tasks, so each effect is a contrast of variants within a task (Yates,
*The Design and Analysis of Factorial Experiments*, 1937; Box, Hunter and Hunter, *Statistics for Experimenters*, 2005,
ch. 5). The main effect of a level is the mean score of all variants that have it less that of all that have the
factor's reference level: a difference of marginal means, every combination of the other factors counting alike (Searle,
Speed and Milliken, *Population Marginal Means in the Linear Model*, 1980). A two-way interaction is a difference of
differences: how much larger the effect of a level is where the other factor has its level than where that has its
reference. (The textbooks on two-level designs halve it.)

What is resampled is what could have come out otherwise. *These tasks*: the samples of each task, the same ones for all
variants, since these share them and their errors go together. *Tasks like these*: the tasks, and the samples within
each. The variants are never resampled: base models and settings are those of the design, and nothing is said of others.
Both bootstraps are those of `stats.Comparison`, which sees an effect as a difference of two means.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np

from m2v_bench.config.job_names import tells_apart
from m2v_bench.errors import BenchError
from m2v_bench.results.record import RunRecord
from m2v_bench.stats.bootstrap import TaskBootstrap
from m2v_bench.stats.significance import Comparison, Difference

Levels = Mapping[str, str | Sequence[str]]
"""Of some settings, the level, or those that count as one."""


@dataclass(frozen=True)
class Factor:
    """A setting that the design varies, its levels in their order, and the one that effects are measured from."""

    setting: str
    levels: tuple[str, ...]
    reference: str

    @property
    def others(self) -> list[str]:
        """The levels that have an effect."""
        return [level for level in self.levels if level != self.reference]


@dataclass(frozen=True)
class Design:
    """A full factorial design.

    Attributes:
        factors: what varies.
        variants: the value of every setting, by variant, in the order of the records.
    """

    factors: list[Factor]
    variants: list[dict[str, str]]

    def factor(self, setting: str) -> Factor | None:
        """The factor of a setting, where it is one."""
        return next((each for each in self.factors if each.setting == setting), None)

    def having(self, levels: Levels) -> np.ndarray:
        """Bool array of shape (variants,): those that have these levels, or one of several, of each setting."""
        allowed = {name: [each] if isinstance(each, str) else list(each) for name, each in levels.items()}
        return np.array([all(own.get(name) in each for name, each in allowed.items()) for own in self.variants])


@dataclass(frozen=True)
class Contrast:
    """A difference of two weighted means of variants.

    Attributes:
        name: what is compared with what.
        plus, minus: float64 arrays of shape (variants,), not negative.
    """

    name: str
    plus: np.ndarray
    minus: np.ndarray

    @property
    def n_variants(self) -> int:
        """How many variants are compared."""
        return int(np.sum((self.plus > 0) | (self.minus > 0)))


@dataclass(frozen=True)
class Estimate:
    """A contrast on some tasks: the same value twice, with the intervals of the two questions of `stats`."""

    contrast: Contrast
    n_tasks: int
    these: Difference
    like: Difference


def design_of(records: Sequence[RunRecord]) -> Design:
    """The design that a sweep's records are.

    A setting whose value follows from another's is no factor beside it. The reference of a factor is its level `none`,
    or the last one.

    Raises:
        BenchError: when fewer than two settings vary, or a combination of their levels is absent or there twice.
    """
    levels = {
        name: [_level(name, record) for record in records]
        for name in records[0].settings
        if tells_apart(name) and not name.startswith("baselines.")  # how it ran, and what it is compared with
    }
    varied = {name: values for name, values in levels.items() if len(set(values)) > 1}
    names = [name for name in varied if not any(_tells(varied, other, name) for other in varied)]
    if len(names) < 2:
        raise BenchError(f"the sweep varies {', '.join(names) or 'no setting'}; a factorial design varies two or more")
    factors = []
    for name in names:
        own = tuple(dict.fromkeys(varied[name]))
        factors.append(Factor(name, own, "none" if "none" in own else own[-1]))
    have = list(zip(*(varied[name] for name in names), strict=True))
    for wanted in product(*(factor.levels for factor in factors)):
        if (count := have.count(wanted)) != 1:
            words = " ".join(f"{name}={level}" for name, level in zip(names, wanted, strict=True))
            raise BenchError(f"no full factorial design: {words} is there {count} times, not once")
    return Design(factors, [{name: own[number] for name, own in levels.items()} for number in range(len(records))])


def _level(setting: str, record: RunRecord) -> str:
    """A setting's value in one word; the weighting that the dialect says where it is not set."""
    value = record.settings.get(setting)
    if setting == "weighting" and value is None:
        value = record.variant.get("weighting")
    return str(value).rsplit("/", 1)[-1] if setting == "base_model.name" else str(value)


def _tells(varied: Mapping[str, Sequence[str]], one: str, other: str) -> bool:
    """Whether a setting's value follows from that of `one`; of two that say the same the first tells the second."""
    pairs = set(zip(varied[one], varied[other], strict=True))
    follows, leads = len(pairs) == len(set(varied[one])), len(pairs) == len(set(varied[other]))
    return one != other and follows and (not leads or list(varied).index(one) < list(varied).index(other))


def effects(design: Design) -> tuple[list[Contrast], list[Contrast]]:
    """All main effects and all two-way interactions of a design."""
    mains = [
        contrast(
            f"{each.setting}: {level} less {each.reference}",
            design,
            {each.setting: level},
            {each.setting: each.reference},
        )
        for each in design.factors
        for level in each.others
    ]
    interactions = []
    for first, second in combinations(design.factors, 2):
        for a, b in product(first.others, second.others):
            where = [{second.setting: level} for level in (b, second.reference)]
            here, there = (
                contrast("", design, {first.setting: a, **each}, {first.setting: first.reference, **each})
                for each in where
            )
            name = f"{first.setting}: {a} × {second.setting}: {b}"
            interactions.append(Contrast(name, here.plus + there.minus, here.minus + there.plus))
    return mains, interactions


def contrast(name: str, design: Design, plus: Levels, minus: Levels) -> Contrast:
    """The mean of the variants that have the levels `plus`, less that of those that have `minus`."""
    sides = [design.having(levels) for levels in (plus, minus)]
    return Contrast(name, *(side / side.sum() for side in sides))


def estimate(
    contrasts: Sequence[Contrast],
    comparison: Comparison,
    types: Sequence[str],
    tasks: Sequence[int],
    *,
    average: str = "tasks",
    replicates: int,
    seed: int,
    confidence: float,
) -> list[Estimate]:
    """The contrasts on some of the tasks on which the variants were compared.

    Args:
        contrasts: of the variants.
        comparison: of all variants, in the order of the design.
        types: per task of `comparison`, its type.
        tasks: the numbers of those that count.
        average: over `tasks` or `types`, as in `Comparison`.
        replicates: resamples, as in `comparison`.
        seed: seed of the draws of tasks.
        confidence: of the intervals.
    """
    # two columns per contrast: its sides, as if they were two models
    sides = np.stack([side for each in contrasts for side in (each.plus, each.minus)], axis=1)
    bootstraps = [comparison.bootstraps[task] for task in tasks]
    own = Comparison(
        comparison.scores[tasks] @ sides,
        [each and TaskBootstrap(each.scores @ sides, each.deviations @ sides, each.df) for each in bootstraps],
        [types[task] for task in tasks],
        replicates=replicates,
        seed=seed,
        confidence=confidence,
    )
    return [
        Estimate(
            each,
            len(tasks),
            own.these_tasks(2 * number, 2 * number + 1, average),
            own.tasks_like_these(2 * number, 2 * number + 1, average),
        )
        for number, each in enumerate(contrasts)
    ]
