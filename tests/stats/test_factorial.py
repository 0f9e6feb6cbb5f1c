from collections.abc import Mapping
from dataclasses import astuple, replace
from itertools import product

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from m2v_bench.errors import BenchError
from m2v_bench.results.record import RunRecord
from m2v_bench.stats.bootstrap import bootstrap_task
from m2v_bench.stats.factorial import Contrast, Design, Estimate, contrast, design_of, effects, estimate
from m2v_bench.stats.significance import Comparison
from m2v_bench.tasks.samples import Samples

# Scores of six variants on two tasks, keyed by PCA and weighting.
SCORES = {
    ("256", "sif"): (0.60, 0.30),
    ("256", "zipf_log"): (0.58, 0.30),
    ("256", "none"): (0.50, 0.30),
    ("none", "sif"): (0.44, 0.30),
    ("none", "zipf_log"): (0.46, 0.30),
    ("none", "none"): (0.40, 0.24),
}
N = 100


def record(*, variant: Mapping[str, str] | None = None, **settings: object) -> RunRecord:
    return RunRecord(
        [], variant=variant or {}, settings={name.replace("__", "."): value for name, value in settings.items()}
    )


def two_by_three() -> Design:
    return design_of([record(pca_dims=dims, weighting=name) for dims, name in SCORES])


def share(score: float, seed: int) -> np.ndarray:
    """Return samples of which a fraction `score` is correct."""
    return (np.random.default_rng(seed).permutation(N) < score * N).astype(np.float32)


def compared(values: list[list[np.ndarray]], types: list[str]) -> Comparison:
    """Compare models (columns) on tasks (rows), given the values of their samples."""
    bootstraps = [
        bootstrap_task(str(task), [{"test/a": Samples("mean", samples, None, "text")} for samples in models], **DRAWS)
        for task, models in enumerate(values)
    ]
    return Comparison(np.array([bootstrap.scores for bootstrap in bootstraps]), bootstraps, types, **DRAWS)


DRAWS = {"replicates": 500, "seed": 3}


def estimates(contrasts: list[Contrast], comparison: Comparison, tasks: list[int], **options: str):
    types = ["STS", "Retrieval"] * (len(comparison.scores) // 2)
    return estimate(contrasts, comparison, types, tasks, **DRAWS, confidence=0.95, **options)


def test_effects_of_a_worked_example():
    design = two_by_three()
    assert [factor.reference for factor in design.factors] == ["none", "none"]
    mains, interactions = effects(design)
    values = [[share(scores[task], 1) for scores in SCORES.values()] for task in (0, 1)]
    comparison = compared(values, ["STS", "Retrieval"])
    first = {result.contrast.name: result.these.value for result in estimates(mains + interactions, comparison, [0])}
    assert first == pytest.approx(
        {
            # marginal means: (60 + 58 + 50) / 3 minus (44 + 46 + 40) / 3
            "pca_dims: 256 less none": 0.56 - 1.3 / 3,
            "weighting: sif less none": 0.52 - 0.45,
            "weighting: zipf_log less none": 0.52 - 0.45,
            # the effect of PCA with the weighting, minus its effect without
            "pca_dims: 256 × weighting: sif": 0.16 - 0.10,
            "pca_dims: 256 × weighting: zipf_log": 0.12 - 0.10,
        }
    )
    both = estimates(mains, comparison, [0, 1])
    assert both[0].these.value == pytest.approx(((0.56 - 1.3 / 3) + (0.30 - 0.28)) / 2)
    assert (both[0].n_tasks, mains[0].n_variants, mains[1].n_variants) == (2, 6, 4)


def test_interactions_of_additive_effects_are_zero():
    levels = list(product("ab", "cd", "efg"))
    design = design_of([record(x=x, y=y, z=z) for x, y, z in levels])
    worth = {"a": 0.3, "b": 0.1, "c": 0.05, "d": 0.0, "e": 0.02, "f": 0.2, "g": 0.1}
    scores = np.array([sum(worth[level] for level in combination) for combination in levels])
    mains, interactions = effects(design)
    assert {effect.name: float((effect.plus - effect.minus) @ scores) for effect in mains} == pytest.approx(
        {"x: a less b": 0.2, "y: c less d": 0.05, "z: e less g": -0.08, "z: f less g": 0.1}
    )
    assert len(interactions) == 1 + 2 + 2
    assert [float((effect.plus - effect.minus) @ scores) for effect in interactions] == pytest.approx([0] * 5)


def test_intervals_match_a_comparison_of_two_models():
    design = two_by_three()
    mains, interactions = effects(design)
    rng = np.random.default_rng(8)
    values = [[rng.random(N).astype(np.float32) for _ in SCORES] for _ in range(6)]
    types = ["STS", "Retrieval"] * 3
    for effect in (mains[0], interactions[1]):
        (result,) = estimates([effect], compared(values, types), list(range(6)))
        sides = [[np.tensordot(side, task, 1) for side in (effect.plus, effect.minus)] for task in values]
        pair = compared(sides, types)
        assert astuple(result.these) == pytest.approx(astuple(pair.these_tasks(0, 1)), abs=1e-6)
        assert astuple(result.like) == pytest.approx(astuple(pair.tasks_like_these(0, 1)), abs=1e-6)


def test_shared_sampling_noise_cancels():
    """Variants share resamples, so an effect that is the same on every sample has no uncertainty."""
    base = share(0.5, 2)
    values = [[base + np.float32(0.1) * (dims == "256") for dims, _ in SCORES]] * 2
    (result,) = estimates(effects(two_by_three())[0][:1], compared(values, ["STS", "Retrieval"]), [0, 1])
    assert result.these.low == pytest.approx(0.1, abs=1e-6)
    assert result.these.high == pytest.approx(0.1, abs=1e-6)
    (other,) = estimates(effects(two_by_three())[0][1:2], compared(values, ["STS", "Retrieval"]), [0, 1])
    assert other.these.value == pytest.approx(0, abs=1e-6)
    assert other.these.p > 0.05


def test_several_levels_can_be_pooled():
    either = contrast("", two_by_three(), {"weighting": ["sif", "zipf_log"]}, {"weighting": "none"})
    scores = np.array([values[0] for values in SCORES.values()])
    assert (either.plus - either.minus) @ scores == pytest.approx(np.mean([0.6, 0.58, 0.44, 0.46]) - 0.45)


def test_a_setting_determined_by_another_is_not_a_factor():
    records = [
        record(base_model__name=name, base_model__revision=name[0], pca_dims=dims, coefficient=1 if dims == 8 else 2)
        for name in ("org/one", "two")
        for dims in (8, 16, 32)
    ]
    # runtime settings are no factors either
    runtime = [{"device": "cpu" if number else "cuda", "launcher.threads": number} for number in range(len(records))]
    records = [replace(row, settings={**row.settings, **more}) for row, more in zip(records, runtime, strict=True)]
    design = design_of(records)
    assert {factor.setting: factor.levels for factor in design.factors} == {
        "base_model.name": ("one", "two"),
        "pca_dims": ("8", "16", "32"),
    }


def test_an_unset_weighting_is_the_dialects():
    records = [
        record(dialect=dialect, weighting=None, pca_dims=dims, variant={"weighting": weighting})
        for dialect, weighting in (("m2v-0.1", "zipf_log"), ("m2v-0.7", "sif"))
        for dims in (256, "none")
    ]
    design = design_of(records)
    assert [factor.setting for factor in design.factors] == ["dialect", "pca_dims"]
    assert design.having({"weighting": "sif"}).tolist() == [False, False, True, True]


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([record(a=1, b=1), record(a=2, b=1)], "the sweep varies a; a factorial design varies two or more"),
        ([record(a=1, b=1), record(a=1, b=2), record(a=2, b=1)], "not a full factorial design: a=2 b=2 occurs 0 times"),
        ([record(a=a, b=b) for a, b in ((1, 1), (1, 2), (2, 1), (2, 2), (2, 2))], "a=2 b=2 occurs 2 times"),
    ],
)
def test_an_incomplete_factorial_is_refused(records, message):
    with pytest.raises(BenchError, match=message):
        design_of(records)


def of_teachers(effect: np.ndarray) -> Estimate:
    """Estimate the effect of a setting, given as shape (tasks, teachers), whose sides are 0.5 and 0.5 + effect."""
    tasks, teachers = effect.shape
    names = [f"t{number}" for number in range(teachers)]
    levels = [(name, size) for size in ("256", "none") for name in names]
    design = design_of([record(base_model__name=name, pca_dims=size) for name, size in levels])
    scores = 0.5 + np.concatenate([effect, np.zeros_like(effect)], axis=1)
    comparison = Comparison(scores, [None] * tasks, ["STS"] * tasks, **DRAWS)
    item = next(main for main in effects(design)[0] if main.name.startswith("pca_dims"))
    options = {**DRAWS, "confidence": 0.95, "teachers": design.teachers}
    (result,) = estimate([item], comparison, ["STS"] * tasks, list(range(tasks)), **options)
    return result


def test_with_equal_teachers_only_tasks_vary():
    gaps = np.random.default_rng(0).normal(0.02, 0.05, 12)
    result = of_teachers(np.repeat(gaps[:, None], 3, axis=1)).teachers
    expected = ttest_1samp(gaps, 0)
    assert result.value == pytest.approx(gaps.mean())
    assert result.p == pytest.approx(expected.pvalue)
    assert (result.low, result.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_with_equal_tasks_only_teachers_vary():
    gaps = np.array([0.01, 0.02, 0.04])
    result = of_teachers(np.repeat(gaps[None], 12, axis=0)).teachers
    expected = ttest_1samp(gaps, 0)
    assert result.p == pytest.approx(expected.pvalue)
    assert (result.low, result.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))


@pytest.mark.parametrize(("of_tasks", "of_teacher", "rest"), [(0.05, 0.05, 0.02), (0.0, 0.0, 0.05), (0.05, 0.0, 0.05)])
def test_intervals_of_tasks_and_teachers_contain_the_effect_as_often_as_they_say(
    of_tasks: float, of_teacher: float, rest: float
):
    rng = np.random.default_rng(6)
    hits = []
    for _ in range(300):
        effect = 0.03 + of_tasks * rng.normal(size=(20, 1)) + of_teacher * rng.normal(size=3)
        result = of_teachers(effect + rest * rng.normal(size=(20, 3))).teachers
        hits.append(result.low <= 0.03 <= result.high)
        assert (result.p < 0.05) == (result.low > 0 or result.high < 0)
    assert np.mean(hits) > 0.93


def test_teachers_are_no_sample_where_they_are_compared_or_few():
    levels = [("a", "256"), ("b", "none"), ("a", "none"), ("b", "256")]
    design = design_of([record(base_model__name=name, pca_dims=size) for name, size in levels])
    assert [own.tolist() for own in design.teachers] == [[0, 2], [3, 1]]  # in the same order of the other settings
    scores = np.random.default_rng(1).random((8, 4))
    mains, interactions = effects(design)

    def teachers(item: Contrast, **options: object) -> float:
        comparison = Comparison(scores, [None] * 8, ["STS", "Retrieval"] * 4, **DRAWS)
        options = {"teachers": design.teachers, "confidence": 0.95, **DRAWS, **options}
        return estimate([item], comparison, ["STS", "Retrieval"] * 4, list(range(8)), **options)[0].teachers.p

    assert not np.isnan(teachers(mains[1]))
    assert np.isnan(teachers(mains[0]))
    assert np.isnan(teachers(interactions[0]))
    assert np.isnan(teachers(mains[1], average="types"))
    assert np.isnan(teachers(mains[1], teachers=design.teachers[:1]))
    assert np.isnan(teachers(mains[1], teachers=[]))
