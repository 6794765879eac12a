import copy
import math
from collections import Counter
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from icsd.methods.cirkd import CIRKD, append, draw, lottery, subsets

Vector = list[float]


def features(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def labels(*shape: int, seed: int = 0, classes: int = 3) -> Tensor:
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, classes, shape)
    return torch.from_numpy(np.where(generator.random(shape) < 0.3, 255, truth))


def build(**options: Any) -> CIRKD:
    """A small projector in float64, from 4 channels to 6."""
    torch.manual_seed(0)
    small: dict[str, Any] = {"pixel_queue": 12, "region_queue": 5, "num_classes": 3} | options
    ours, theirs = {"aspp": 4, "stage4": 4}, {"aspp": 6, "stage4": 6}
    return CIRKD(student_channels=ours, teacher_channels=theirs, **small).double()


def run(
    method: CIRKD, student: Tensor, teacher: Tensor, truth: Tensor, *, seed: int = 0
) -> dict[str, Tensor]:
    (tap,) = method.taps
    torch.manual_seed(seed)
    terms: dict[str, Tensor] = method({tap: student}, {tap: teacher}, truth)
    return terms


def total(terms: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(terms.values())).sum()


def unit(vector: Vector) -> Vector:
    length = math.hypot(*vector)
    return [x / length for x in vector]


def dot(a: Vector, b: Vector) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def softmax(scores: Vector) -> Vector:
    powers = [math.exp(score - max(scores)) for score in scores]
    return [power / sum(powers) for power in powers]


def divergence(student: Vector, teacher: Vector, temperature: float) -> float:
    ours, theirs = (softmax([score / temperature for score in scores]) for scores in (student, teacher))
    return sum(p * math.log(p / q) for p, q in zip(theirs, ours, strict=True))


def positions(maps: Tensor) -> list[Vector]:
    """The unit vector of every position of one image, row by row."""
    return [unit(vector) for vector in maps.flatten(1).T.tolist()]


def oracle_batch(student: Tensor, teacher: Tensor, temperature: float) -> float:
    """Pair by pair, position by position."""
    means = []
    for s_i, t_i in zip(student, teacher, strict=True):
        for s_j, t_j in zip(student, teacher, strict=True):
            rows = [
                divergence(
                    [dot(s, other) for other in positions(s_j)],
                    [dot(t, other) for other in positions(t_j)],
                    temperature,
                )
                for s, t in zip(positions(s_i), positions(t_i), strict=True)
            ]
            means.append(sum(rows) / len(rows))
    return sum(means) / len(means)


def projected(method: CIRKD, student: Tensor) -> Tensor:
    """The projector, from its weights; batch statistics as in training."""
    weights: list[Any] = list(method.projector)
    hidden = torch.einsum("oi,bihw->bohw", weights[0].weight[:, :, 0, 0], student)
    mean, spread = hidden.mean((0, 2, 3), keepdim=True), hidden.var((0, 2, 3), keepdim=True, correction=0)
    scale, shift = (x.view(1, -1, 1, 1) for x in (weights[1].weight, weights[1].bias))
    hidden = ((hidden - mean) / (spread + weights[1].eps).sqrt() * scale + shift).clamp(min=0)
    return torch.einsum("oi,bihw->bohw", weights[3].weight[:, :, 0, 0], hidden).detach()


def oracle_anchors(
    student: Tensor, teacher: Tensor, truth: Tensor, anchors: list[Vector], temperature: float
) -> float:
    rows = [
        divergence(
            [dot(s, anchor) for anchor in anchors], [dot(t, anchor) for anchor in anchors], temperature
        )
        for ours, theirs, image in zip(student, teacher, truth, strict=True)
        for s, t, label in zip(positions(ours), positions(theirs), image.flatten().tolist(), strict=True)
        if label != 255
    ]
    return sum(rows) / len(rows)


def held(rings: Tensor, seen: Tensor) -> list[Vector]:
    """All filled entries of the queues."""
    return [
        vector for ring, count in zip(rings, seen.tolist(), strict=True) for vector in ring[:count].tolist()
    ]


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_is_the_definition(temperature: float) -> None:
    student, teacher, truth = features(2, 4, 3, 4), features(2, 6, 3, 4, seed=1), labels(2, 3, 4)
    method = build(temperature=temperature)  # it samples more than it holds: all of it
    terms = run(method, student, teacher, truth)
    ours = projected(method, student)
    for term, rings, seen in (
        ("cirkd_pixel", method.pixels, method.pixels_seen),
        ("cirkd_region", method.regions, method.regions_seen),
    ):
        expected = oracle_anchors(ours, teacher, truth, held(rings, seen), temperature)
        assert terms[term].item() == pytest.approx(expected, rel=1e-9)
    expected = oracle_batch(student, teacher, temperature)
    assert terms["cirkd_batch"].item() == pytest.approx(expected, rel=1e-9)


def test_pooling_comes_before_the_pairs_of_the_batch() -> None:
    student, teacher, truth = features(2, 4, 4, 6), features(2, 6, 4, 6, seed=1), labels(2, 4, 6)
    pooled, plain = (run(build(pool=pool), student, teacher, truth) for pool in (2, 1))
    ours, theirs = (x.unflatten(2, (2, 2)).unflatten(4, (3, 2)).mean((3, 5)) for x in (student, teacher))
    assert pooled["cirkd_batch"].item() == pytest.approx(oracle_batch(ours, theirs, 0.1), rel=1e-9)
    assert pooled["cirkd_pixel"] == plain["cirkd_pixel"]


def test_gradients_are_right() -> None:
    student, teacher, truth = features(2, 4, 3, 3), features(2, 6, 3, 3, seed=1), labels(2, 3, 3)
    method = build(temperature=0.5, pixels_sampled=3)
    run(method, student, teacher, truth)
    method.eval()  # the rings stand still
    assert torch.autograd.gradcheck(
        lambda s: tuple(run(method, s, teacher, truth).values()), (student.requires_grad_(),), fast_mode=True
    )


def test_gradients_reach_the_projector_and_not_the_teacher() -> None:
    teacher = features(2, 6, 3, 3, seed=1).requires_grad_()
    method = build()
    total(run(method, features(2, 4, 3, 3), teacher, labels(2, 3, 3))).backward()
    assert teacher.grad is None
    assert all(weight.grad is not None and weight.grad.any() for weight in method.parameters())


def test_regions_are_the_mean_feature_of_a_class_in_an_image() -> None:
    teacher, truth = features(2, 6, 3, 4), labels(2, 3, 4)
    truth[1][truth[1] == 0] = 255  # the second image is without class 0
    method = build()
    run(method, features(2, 4, 3, 4), teacher, truth)
    assert method.regions_seen.tolist() == [1, 2, 2]
    for label, image, slot in [(0, 0, 0), (1, 0, 0), (1, 1, 1), (2, 0, 0), (2, 1, 1)]:
        pixels = [
            p for p, y in zip(positions(teacher[image]), truth[image].flatten(), strict=True) if y == label
        ]
        mean = unit([sum(channel) / len(pixels) for channel in zip(*pixels, strict=True)])
        assert method.regions[label, slot].tolist() == pytest.approx(mean)


@pytest.mark.parametrize("stored", [2, 16])
def test_pixels_are_distinct_ones_of_their_class(stored: int) -> None:
    teacher, truth = features(2, 6, 4, 4), labels(2, 4, 4)
    method = build(pixels_stored=stored, pixel_queue=40)
    run(method, features(2, 4, 4, 4), teacher, truth)
    pixels = F.normalize(teacher, dim=1).permute(0, 2, 3, 1)
    for label in range(3):
        kept = method.pixels[label, : int(method.pixels_seen[label])]
        same = torch.cdist(kept, pixels[truth == label]) < 1e-6
        assert (same.sum(dim=1) == 1).all()
        assert (same.sum(dim=0) <= 1).all()
        assert len(kept) == sum(min(stored, int((image == label).sum())) for image in truth)


def test_rings_overwrite_their_oldest_entries() -> None:
    rings, seen = torch.zeros(2, 3, 1), torch.zeros(2, dtype=torch.int64)
    kept: list[list[int]] = [[], []]
    for step in range(7):
        entries = torch.arange(4).view(1, 4, 1).expand(2, 4, 1) + 10.0 * step
        fresh = torch.tensor([[step % 2 == 0, False, True, False], [False, False, False, step == 4]])
        append(rings, seen, entries, fresh)
        for label, column in fresh.nonzero().tolist():
            kept[label] = [*kept[label], column + 10 * step][-3:]
        for label in range(2):
            assert sorted(rings[label, : int(seen[label]), 0].tolist()) == kept[label]
    assert seen.tolist() == [11, 1]


def test_a_ring_shorter_than_what_comes_takes_the_first() -> None:
    rings, seen = torch.zeros(1, 2, 1), torch.zeros(1, dtype=torch.int64)
    append(rings, seen, torch.arange(5.0).view(1, 5, 1), torch.tensor([[False, True, True, True, True]]))
    assert rings.flatten().tolist() == [1, 2]
    assert seen.tolist() == [2]


def test_draws_distinct_filled_entries_of_every_class() -> None:
    torch.manual_seed(0)
    rings, seen = torch.arange(1.0, 25.0).view(3, 8, 1), torch.tensor([0, 3, 21])
    for _ in range(20):
        anchors, known = draw(rings, seen, 5)
        assert known.view(3, 5).sum(dim=1).tolist() == [0, 3, 5]
        drawn = anchors.view(3, 5)
        assert sorted(drawn[1][known.view(3, 5)[1]].tolist()) == [9, 10, 11]
        assert len(set(drawn[2].tolist())) == 5
        assert drawn[2].min() >= 17


def test_a_lottery_is_fair() -> None:
    torch.manual_seed(0)
    candidates = torch.arange(10)[None, None] % 2 == 0
    counts = torch.zeros(10)
    for _ in range(1000):
        won, chosen = lottery(candidates, 2)
        assert won.all()
        counts[chosen.flatten()] += 1
    assert (counts[1::2] == 0).all()
    assert ((counts[::2] - 400).abs() < 80).all()


def test_every_subset_is_alike_probable() -> None:
    torch.manual_seed(0)
    known, numbers = subsets(torch.full((7000,), 7), 3)
    counts = Counter(tuple(row) for row in numbers.tolist())
    assert known.all()
    assert counts.keys() == set(combinations(range(7), 3))  # of which there are 35
    assert sum((count - 200) ** 2 / 200 for count in counts.values()) < 61  # 99.7 % of χ² with 34 degrees


def test_of_fewer_numbers_than_are_wanted_a_subset_has_all() -> None:
    known, numbers = subsets(torch.tensor([0, 1, 4, 5]), 5)
    assert [numbers[row][known[row]].tolist() for row in range(4)] == [[], [0], [0, 1, 2, 3], [0, 1, 2, 3, 4]]
    assert not numbers[~known].any()


def test_only_training_fills_the_rings() -> None:
    method = build().eval()
    batch = features(2, 4, 3, 3), features(2, 6, 3, 3, seed=1), labels(2, 3, 3)
    terms = run(method, *batch)
    assert not method.pixels_seen.any()
    assert terms["cirkd_pixel"] == terms["cirkd_region"] == 0  # no anchors yet
    run(method.train(), *batch)
    assert method.pixels_seen.sum() == (batch[2] != 255).sum()


def test_the_rings_travel_in_the_state() -> None:
    student, teacher, truth = features(2, 4, 3, 3), features(2, 6, 3, 3, seed=1), labels(2, 3, 3)
    method = build(pixels_sampled=3, pixel_queue=6)
    run(method, student, teacher, truth)
    resumed = build(pixels_sampled=3, pixel_queue=6)
    resumed.load_state_dict(copy.deepcopy(method.state_dict()))
    for batch in range(3):
        went_on, restarted = (
            run(each, features(2, 4, 3, 3, seed=batch), teacher, truth, seed=batch)
            for each in (method, resumed)
        )
        assert went_on == restarted
    assert all(torch.equal(a, b) for a, b in zip(method.buffers(), resumed.buffers(), strict=True))


def test_sampling_is_drawn_from_torch_s_generator() -> None:
    batch = features(2, 4, 4, 4), features(2, 6, 4, 4, seed=1), labels(2, 4, 4)
    method = build(pixels_sampled=3, pixel_queue=40)
    run(method, *batch)
    method.eval()
    values = {seed: run(method, *batch, seed=seed)["cirkd_pixel"].item() for seed in (1, 2)}
    assert run(method, *batch, seed=1)["cirkd_pixel"].item() == values[1] != values[2]
    assert CIRKD.draws


def test_every_class_gives_an_equal_share_of_the_anchors() -> None:
    method = build(num_classes=19, pixels_sampled=4096, regions_sampled=1024)
    assert (method.pixel_share, method.region_share) == (216, 54)


def test_ignored_positions_are_no_rows_of_the_memory_terms() -> None:
    student, teacher, truth = features(2, 4, 4, 4), features(2, 6, 4, 4, seed=1), labels(2, 4, 4)
    method = build().eval()
    run(method.train(), student, teacher, truth)
    method.eval()
    outside = (truth == 255)[:, None]
    before = run(method, student, teacher, truth)
    after = run(method, torch.where(outside, 9.0, student), teacher, truth)
    for term in ("cirkd_pixel", "cirkd_region"):
        torch.testing.assert_close(after[term], before[term])
    assert after["cirkd_batch"] != before["cirkd_batch"]


def test_a_batch_of_ignored_pixels_stays_finite_and_is_not_remembered() -> None:
    student = features(1, 4, 3, 3).float().requires_grad_()
    method = build().float()
    terms = run(method, student, features(1, 6, 3, 3, seed=1).float(), torch.full((1, 3, 3), 255))
    total(terms).backward()
    assert terms["cirkd_pixel"] == terms["cirkd_region"] == 0
    assert terms["cirkd_batch"] > 0
    assert student.grad is not None
    assert student.grad.isfinite().all()
    assert not method.regions_seen.any()


def test_the_scale_of_the_teacher_s_features_changes_nothing() -> None:
    student, teacher, truth = features(2, 4, 3, 3), features(2, 6, 3, 3, seed=1), labels(2, 3, 3)
    small, large = (run(build(), student, factor * teacher, truth) for factor in (1, 7))
    for term, value in small.items():
        torch.testing.assert_close(large[term], value)


def test_a_student_like_its_teacher_has_nothing_to_learn_from_the_batch() -> None:
    same = features(2, 4, 3, 3)
    method = CIRKD(student_channels={"aspp": 4}, teacher_channels={"aspp": 4}, num_classes=3).double()
    assert abs(run(method, same, same, labels(2, 3, 3))["cirkd_batch"].item()) < 1e-12


def test_anchors_are_kept_in_half_precision() -> None:
    channels = {"aspp": 8}
    method = CIRKD(student_channels=channels, teacher_channels=channels, num_classes=2, pixel_queue=50)
    student, teacher, truth = (
        features(2, 8, 4, 4).bfloat16(),
        features(2, 8, 4, 4, seed=1).bfloat16(),
        labels(2, 4, 4, classes=2),
    )
    terms = run(method, student, teacher, truth)
    assert method.pixels.dtype == method.regions.dtype == torch.float16
    assert all(value.dtype == torch.float32 and value.isfinite() and value > 0 for value in terms.values())
    lengths = torch.linalg.vector_norm(method.pixels[0, : int(method.pixels_seen[0])].float(), dim=1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths), rtol=1e-3, atol=0)


def test_reads_the_tap_it_is_told() -> None:
    method = build(tap="stage4")
    assert method.taps == ("stage4",)
    assert run(method, features(1, 4, 3, 3), features(1, 6, 3, 3, seed=1), labels(1, 3, 3))["cirkd_batch"] > 0


def test_extreme_features_stay_finite() -> None:
    student = (1e15 * features(2, 4, 3, 3)).float().requires_grad_()
    terms = run(build().float(), student, 1e-15 * features(2, 6, 3, 3, seed=1).float(), labels(2, 3, 3))
    (gradient,) = torch.autograd.grad(total(terms), student)
    assert all(value.isfinite() for value in terms.values())
    assert gradient.isfinite().all()
