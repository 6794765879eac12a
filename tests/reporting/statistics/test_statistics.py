import math
import re

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from tests.imports import ROOT

from icsd.core.metrics import mean_iou
from icsd.reporting.statistics.estimates import LEVEL, estimate, holm
from icsd.reporting.statistics.intervals import Interval, interval
from icsd.reporting.statistics.resampling import image_weights, resampled_miou


def two_class(hits: list[int]) -> np.ndarray:
    """Confusion matrices of images with 10 pixels per class, of which the given numbers are right."""
    return np.array([[[right, 10 - right], [10 - right, right]] for right in hits])


def miou(confusion: np.ndarray) -> float:
    return float(resampled_miou(confusion[None], np.ones((1, 1)))[0])


def bootstrap(confusions: list[np.ndarray], *, resamples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Every seed's mIoU, [seeds], and that of its resamples, [seeds, resamples]."""
    weights = image_weights(len(confusions[0]), resamples=resamples, seed=seed)
    values = [miou(confusion.sum(axis=0)) for confusion in confusions]
    return np.array(values), np.stack([resampled_miou(each, weights) for each in confusions])


def bootstrap_interval(confusions: list[np.ndarray], *, resamples: int, seed: int) -> Interval:
    values, resampled = bootstrap(confusions, resamples=resamples, seed=seed)
    return interval(list(values), resampled, num_images=len(confusions[0]))


def bootstrap_difference(
    confusions: list[np.ndarray], references: list[np.ndarray], *, resamples: int, seed: int
) -> Interval:
    ours = bootstrap(confusions, resamples=resamples, seed=seed)
    theirs = bootstrap(references, resamples=resamples, seed=seed)
    return interval(list(ours[0] - theirs[0]), ours[1] - theirs[1], num_images=len(confusions[0]))


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


def test_holm_multiplies_stepwise_stays_monotone_and_keeps_gaps():
    assert holm([0.04, None, 0.01, 0.03]) == [
        pytest.approx(0.06),
        None,
        pytest.approx(0.03),
        pytest.approx(0.06),
    ]
    assert holm([0.9, 0.8]) == [1.0, 1.0]


@pytest.mark.parametrize("count", [1, 2, 7, 40])
def test_holm_is_that_of_statsmodels(count: int):
    p_values = np.random.default_rng(count).random(count) ** 3
    expected = multipletests(p_values, method="holm")[1]
    assert holm(list(p_values)) == pytest.approx(list(expected), rel=1e-12)


def test_a_test_of_twice_the_weight_is_corrected_half_as_much():
    """By hand: shares 2/4, 1/4, 1/4 of the error rate, passed on to those that are left."""
    assert holm([0.02, 0.01, 0.2], [2, 1, 1]) == [
        pytest.approx(0.04),
        pytest.approx(0.04),
        pytest.approx(0.2),
    ]
    assert holm([0.02, 0.001, None], [2, 1, 5]) == [pytest.approx(0.02), pytest.approx(0.003), None]


def test_equal_weights_are_no_weights():
    p_values = [0.04, None, 0.01, 0.03]
    assert holm(p_values, [0.3] * 4) == pytest.approx(holm(p_values))


def test_the_level_is_five_percent_and_in_one_place():
    """Whoever decides anything imports it; no other line of the package writes it."""
    assert LEVEL == 0.05
    package = ROOT / "src/icsd"
    written = [
        f"{path.relative_to(package)}: {line.strip()}"
        for folder in ("reporting", "stages/recording")
        for path in sorted((package / folder).rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"(<|>|==?)\s*0\.0(5|25)\b", line) and not line.startswith(("LEVEL", "WEAK"))
    ]
    assert written == []


def test_miou_leaves_out_classes_absent_from_the_truth():
    confusion = np.array([[8, 0, 2], [0, 5, 5], [0, 0, 0]])
    assert miou(confusion) == pytest.approx((8 / 10 + 5 / 10) / 2)


def test_a_class_of_a_single_pixel_counts():
    confusion = np.array([[[3, 0], [1, 0]]])
    assert resampled_miou(confusion, np.ones((1, 1))).tolist() == [pytest.approx((3 / 4 + 0) / 2)]


def test_every_resample_draws_as_many_images_as_there_are():
    weights = image_weights(7, resamples=50, seed=0)
    assert weights.shape == (50, 7)
    assert (weights.sum(axis=1) == 7).all()


def test_resampled_miou_sums_confusions_before_dividing():
    confusion = np.random.default_rng(0).integers(0, 50, (5, 3, 3))
    weights = image_weights(5, resamples=4, seed=1)
    by_hand = [mean_iou(np.tensordot(row.astype(int), confusion, 1)) for row in weights]
    assert resampled_miou(confusion, weights) == pytest.approx(np.array(by_hand))


def test_the_interval_of_identical_images_is_a_point():
    found = bootstrap_interval([two_class([8] * 6)], resamples=200, seed=0)
    assert (found.low, found.high) == (pytest.approx(8 / 12), pytest.approx(8 / 12))


def test_the_interval_has_the_width_of_the_mean_over_images():
    hits = np.random.default_rng(0).integers(5, 11, 400)
    found = bootstrap_interval([two_class(list(hits))], resamples=4000, seed=0)
    share = hits.mean() / 10
    # IoU = s / (2 - s) for a share s of right pixels; its standard error by the delta method.
    error = hits.std() / 10 / np.sqrt(len(hits)) * 2 / (2 - share) ** 2
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.04)


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


def test_without_chance_of_images_the_interval_is_students_t():
    values = [1.0, 1.6, 2.5]
    found = interval(values, np.repeat([[1.0], [1.6], [2.5]], 50, axis=1), num_images=100)
    expected = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert (found.low, found.high) == pytest.approx(expected)


def test_two_equal_seeds_leave_the_chance_of_images():
    draws = np.random.default_rng(0).normal(5, 0.3, 20_000)
    one = interval([5.0], draws[None], num_images=1000)
    two = interval([5.0, 5.0], np.stack([draws, draws]), num_images=1000)
    assert (one.over, two.over) == ("images", "images and seeds")
    assert (two.low, two.high) == pytest.approx((one.low, one.high))
    assert one.high - one.low == pytest.approx(2 * 1.96 * 0.3, rel=0.02)


def test_what_seeds_do_not_have_in_common_counts_once():
    """Each seed's own chance of images is in the spread between seeds already."""
    own = np.random.default_rng(0).normal(0, 1, (5, 20_000))
    values = [0.3, -0.8, 1.1, 0.1, -0.6]
    found = interval(values, own + np.array(values)[:, None], num_images=10_000)
    expected = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert (found.low, found.high) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("num_seeds", [2, 3, 5, 20])
def test_without_chance_of_images_p_is_that_of_the_paired_t_test(num_seeds: int):
    ours, theirs = np.random.default_rng(num_seeds).normal([[0.5], [0.0]], 1, (2, num_seeds))
    differences = ours - theirs
    found = interval(list(differences), np.repeat(differences[:, None], 20, axis=1), num_images=100)
    assert found.p == pytest.approx(stats.ttest_rel(ours, theirs).pvalue, rel=1e-6)


@pytest.mark.parametrize("num_seeds", [2, 3, 5])
def test_p_is_below_five_percent_exactly_where_the_interval_leaves_out_zero(num_seeds: int):
    random = np.random.default_rng(num_seeds)
    left_out = []
    for _ in range(300):
        values = random.normal(1.5, 0.7, num_seeds)
        draws = values[:, None] + random.normal(0, 0.3, (1, 50))
        found = interval(list(values), draws, num_images=100)
        assert found.p is not None
        assert (found.p < LEVEL) == (not found.low <= 0 <= found.high)
        left_out.append(found.p < LEVEL)
    assert 5 < sum(left_out) < 295


def test_p_is_the_level_at_which_zero_lies_on_the_edge():
    """By hand: two sources of variance, each with the quantile of its own degrees of freedom."""
    values, draws = [1.0, 2.0, 4.5], np.random.default_rng(0).normal(0, 0.4, (1, 500))
    found = interval(values, np.array(values)[:, None] + draws, num_images=30)
    assert found.p is not None
    of_seeds, of_images = np.var(values, ddof=1) / 3, np.var(draws) * 30 / 29
    half = math.sqrt(
        stats.t.ppf(1 - found.p / 2, 2) ** 2 * of_seeds + stats.t.ppf(1 - found.p / 2, 29) ** 2 * of_images
    )
    assert half == pytest.approx(np.mean(values), rel=1e-6)


def test_one_seed_and_what_does_not_vary_have_no_p():
    assert interval([1.0], np.random.default_rng(0).normal(1, 0.1, (1, 50)), num_images=9).p is None
    assert interval([1.0, 1.0], np.ones((2, 50)), num_images=9).p is None


def test_a_mean_beyond_all_doubt_has_the_p_zero_and_one_of_zero_the_p_one():
    values = np.linspace(1e9, 1e9 + 1, 40)
    sure = interval(list(values), np.repeat(values[:, None], 9, axis=1), num_images=9)
    assert sure.p is not None
    assert 0 <= sure.p < 1e-100
    assert interval([-1.0, 1.0], np.array([[-1.0] * 9, [1.0] * 9]), num_images=9).p == pytest.approx(1)


@pytest.mark.parametrize(("log_p", "found"), [(-299.5, math.exp(-299.5)), (-300.5, 0.0)])
def test_p_is_told_from_zero_down_to_the_three_hundredth_power_of_e(log_p: float, found: float):
    spread = np.linspace(-1e-6, 1e-6, 40)  # on whatever scale
    error = math.sqrt(np.var(spread, ddof=1) / 40)
    values = spread - stats.t.ppf(math.exp(log_p) / 2, 39) * error
    measured = interval(list(values), np.repeat(values[:, None], 9, axis=1), num_images=9)
    assert measured.p == pytest.approx(found, rel=1e-6, abs=0)


TRIALS = 1500


def tolerance(rate: float, trials: int) -> float:
    """Three standard errors of a rate that is estimated from this number of trials."""
    return 3 * math.sqrt(rate * (1 - rate) / trials)


@pytest.mark.parametrize("num_seeds", [2, 3, 5])
@pytest.mark.parametrize(
    ("of_seeds", "of_images", "of_both", "at_most"),
    [(1, 0, 0, 0.95), (0, 1, 0, 0.955), (1, 0, 1, 0.96), (1, 0.3, 0, 0.98), (1, 1, 1, 0.99)],
    ids=["seeds", "images", "seeds and their own images", "mostly seeds", "all alike"],
)
def test_the_interval_covers_the_truth_as_often_as_it_says(
    num_seeds: int, of_seeds: float, of_images: float, of_both: float, at_most: float
):
    """Standard deviations of normal components; never below 95 %, and not far above."""
    random = np.random.default_rng(num_seeds)
    covered = 0
    for _ in range(TRIALS):
        common, own = random.normal(0, of_images), random.normal(0, of_both, (num_seeds, 1))
        values = random.normal(0, of_seeds, (num_seeds, 1)) + common + own
        resamples = random.normal(0, of_images, (1, 100)) + random.normal(0, of_both, (num_seeds, 100))
        found = interval(list(values[:, 0]), values + resamples, num_images=200)
        covered += found.low <= 0 <= found.high
    assert covered / TRIALS > 0.95 - tolerance(0.95, TRIALS)
    assert covered / TRIALS < at_most + tolerance(at_most, TRIALS)


def made_confusions(
    random: np.random.Generator, num_seeds: int, num_images: int, *, training_noise: float
) -> list[np.ndarray]:
    """Networks of four classes, evaluated on the same images, which are hard or easy for all of them."""
    size = random.poisson(random.gamma(2.0, 60, (num_images, 4)))
    difficulty = random.normal(0.8, 0.6, (num_images, 4))
    found = []
    for skill in random.normal(0, training_noise, num_seeds):
        own = random.normal(0, 0.2, (num_images, 4))
        hits = random.binomial(size, 1 / (1 + np.exp(-(difficulty + skill + own))))
        confusion = np.zeros((num_images, 4, 4), dtype=np.int64)
        confusion[:, range(4), range(4)] = hits
        confusion[:, range(4), (1, 2, 3, 0)] = size - hits
        found.append(confusion)
    return found


def coverage(num_seeds: int, *, training_noise: float, trials: int, paired: bool) -> float:
    """Coverage of the interval of the mean over all seeds and images, or of a true difference of 0."""
    random = np.random.default_rng(num_seeds)
    truth = 0.0
    if not paired:
        many = [made_confusions(random, 1, 2000, training_noise=training_noise)[0] for _ in range(800)]
        truth = float(np.mean([miou(each.sum(axis=0)) for each in many]))
    covered = 0
    for trial in range(trials):
        runs = made_confusions(random, num_seeds * (1 + paired), 40, training_noise=training_noise)
        ours, theirs = runs[:num_seeds], runs[num_seeds:]
        found: Interval = (
            bootstrap_difference(ours, theirs, resamples=150, seed=trial)
            if paired
            else bootstrap_interval(ours, resamples=150, seed=trial)
        )
        covered += found.low <= truth <= found.high
    return covered / trials


@pytest.mark.parametrize("num_seeds", [2, 3, 5])
def test_paired_intervals_of_confusions_cover_as_often_as_they_say(num_seeds: int):
    found = coverage(num_seeds, training_noise=0.1, trials=300, paired=True)
    assert 0.95 - tolerance(0.95, 300) < found < 0.995


@pytest.mark.slow
@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("training_noise", [0.02, 0.1, 0.3])
@pytest.mark.parametrize("num_seeds", [2, 3, 5])
def test_intervals_of_confusions_cover_as_often_as_they_say(
    num_seeds: int, training_noise: float, paired: bool
):
    found = coverage(num_seeds, training_noise=training_noise, trials=1500, paired=paired)
    assert 0.94 - tolerance(0.94, 1500) < found < 0.99 + tolerance(0.99, 1500)
