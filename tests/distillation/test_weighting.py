import numpy as np

from m2v_bench.distillation.weighting import WEIGHTINGS, none, sif, zipf_log


def test_zipf_log_is_the_logarithm_of_the_rank_and_zero_for_the_first():
    np.testing.assert_allclose(zipf_log(4, 0.5), [0, np.log(2), np.log(3), np.log(4)])


def test_sif_on_three_tokens_by_hand():
    # 1/2, 1/3, 1/4 normalised are 6/13, 4/13, 3/13
    np.testing.assert_allclose(sif(3, 0.1), [0.1 / (0.1 + p / 13) for p in (6, 4, 3)])


def test_sif_rises_with_rank_and_with_the_coefficient():
    weights = sif(1000, 1e-4)
    assert (np.diff(weights) > 0).all()
    assert (sif(1000, 1e-3) > weights).all()


def test_every_weighting_gives_one_finite_factor_per_token():
    for weighting in WEIGHTINGS.values():
        weights = weighting(50, 1e-4)
        assert weights.shape == (50,)
        assert np.isfinite(weights).all()
    assert (none(50, 1e-4) == 1).all()
