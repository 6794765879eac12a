import numpy as np
import pytest
from scipy import stats

from icsd.reporting.statistics import (
    bootstrap_difference,
    bootstrap_interval,
    estimate,
    holm,
    image_weights,
    miou,
    paired_p,
    resampled_miou,
)


def two_class(hits: list[int]) -> np.ndarray:
    """Images of 10 pixels per class, with so many of each class right."""
    return np.array([[[right, 10 - right], [10 - right, right]] for right in hits])


def test_estimate_uses_the_sample_standard_deviation():
    found = estimate([1.0, 2.0, 4.0])
    assert found is not None
    assert (found.mean, found.n) == (pytest.approx(7 / 3), 3)
    assert found.std == pytest.approx(np.sqrt(7 / 3))


def test_one_value_has_no_standard_deviation_and_none_has_no_estimate():
    found = estimate([1.0])
    assert found is not None
    assert found.std is None
    assert estimate([]) is None


def test_paired_p_is_the_t_test_of_the_differences():
    differences = [0.5, 1.1, 0.2, 0.9]
    assert paired_p(differences) == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)


@pytest.mark.parametrize("differences", [[], [1.0], [1.0, 1.0]])
def test_no_p_without_spread(differences: list[float]):
    assert paired_p(differences) is None


def test_holm_multiplies_stepwise_stays_monotone_and_keeps_gaps():
    assert holm([0.04, None, 0.01, 0.03]) == [
        pytest.approx(0.06),
        None,
        pytest.approx(0.03),
        pytest.approx(0.06),
    ]
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_miou_leaves_out_classes_absent_from_the_truth():
    confusion = np.array([[8, 0, 2], [0, 5, 5], [0, 0, 0]])
    assert miou(confusion) == pytest.approx((8 / 10 + 5 / 10) / 2)


def test_every_resample_draws_as_many_images_as_there_are():
    weights = image_weights(7, resamples=50, seed=0)
    assert weights.shape == (50, 7)
    assert (weights.sum(axis=1) == 7).all()


def test_resampled_miou_sums_confusions_before_dividing():
    confusion = np.random.default_rng(0).integers(0, 50, (5, 3, 3))
    weights = image_weights(5, resamples=4, seed=1)
    by_hand = [miou(np.tensordot(row.astype(int), confusion, 1)) for row in weights]
    assert resampled_miou(confusion, weights) == pytest.approx(np.array(by_hand))


def test_the_interval_of_identical_images_is_a_point():
    found = bootstrap_interval([two_class([8] * 6)], resamples=200, seed=0)
    assert found.low == found.high == pytest.approx(8 / 12)


def test_the_interval_has_the_width_of_the_mean_over_images():
    hits = np.random.default_rng(0).integers(5, 11, 400)
    found = bootstrap_interval([two_class(list(hits))], resamples=4000, seed=0)
    share = hits.mean() / 10
    # IoU = s / (2 - s) for a share s of right pixels; its standard error by the delta method.
    error = hits.std() / 10 / np.sqrt(len(hits)) * 2 / (2 - share) ** 2
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.08)


def test_seeds_widen_the_interval_and_it_says_so():
    images = [two_class([6, 7, 8] * 20), two_class([8, 9, 10] * 20)]
    one = bootstrap_interval(images[:1], resamples=500, seed=0)
    both = bootstrap_interval(images, resamples=500, seed=0)
    assert (one.over, both.over) == ("images", "images and seeds")
    assert both.high - both.low > one.high - one.low


def test_a_paired_difference_is_sharper_than_its_parts():
    hits = np.random.default_rng(0).integers(3, 9, 50)
    ours, theirs = two_class(list(hits + 1)), two_class(list(hits))
    apart = bootstrap_interval([theirs], resamples=1000, seed=0)
    paired = bootstrap_difference([ours], [theirs], resamples=1000, seed=0)
    assert paired.low > 0
    assert paired.high - paired.low < 0.3 * (apart.high - apart.low)


def test_the_same_seed_gives_the_same_interval():
    images = [two_class([5, 7, 9]), two_class([6, 6, 8])]
    assert bootstrap_interval(images, resamples=100, seed=3) == bootstrap_interval(
        images, resamples=100, seed=3
    )
