"""Frames of one clip resemble each other, so clips are resampled."""

import numpy as np
import pytest
from tests.reporting.simulated import chance_results
from tests.reporting.tree import Tree

from icsd.errors import UserError
from icsd.reporting.differences import Resampled, all_differences, resample
from icsd.reporting.report import table_rows
from icsd.reporting.statistics.resampling import clip_weights, clips_of, image_weights
from icsd.reporting.tables import comparison

CAMVID = ["0001TP_008550", "0001TP_008580", "Seq05VD_f00000", "Seq05VD_f05100", "0016E5_00390"]


def coverage(clips: str | None, *, num_seeds: int, num_clips: int, trials: int = 150) -> float:
    """Coverage of the interval of a difference whose true value is zero, with ten frames per clip."""
    random = np.random.default_rng(num_seeds)
    covered = 0
    for trial in range(trials):
        results = chance_results(
            random,
            num_methods=2,
            num_seeds=num_seeds,
            of_seeds=0.02,
            of_images=0.04,
            num_images=10 * num_clips,
            per_clip=10,
        )
        draws = resample(results, resamples=100, seed=trial, clips=clips)
        difference = all_differences(results, "resnet18", draws)["m1", "none"]
        assert difference.low is not None
        assert difference.high is not None
        covered += difference.low <= 0 <= difference.high
    return covered / trials


@pytest.mark.parametrize(("num_seeds", "num_clips"), [(3, 10), (5, 4)])
def test_intervals_of_correlated_frames_cover_as_often_as_they_say(num_seeds: int, num_clips: int):
    assert 0.92 <= coverage("clip[0-9]+", num_seeds=num_seeds, num_clips=num_clips) <= 1


def test_frames_taken_for_independent_images_would_not():
    assert coverage(None, num_seeds=5, num_clips=10) < 0.8


def test_whole_clips_are_drawn_as_many_as_there_are():
    clips = ["a", "b", "a", "c", "b", "a"]
    weights = clip_weights(clips, resamples=40, seed=0)
    assert weights.shape == (40, 6)
    for clip in "abc":
        own = weights[:, [name == clip for name in clips]]
        assert (own == own[:, :1]).all()
    first = {clip: weights[:, clips.index(clip)] for clip in "abc"}
    assert (np.sum(list(first.values()), axis=0) == 3).all()


def test_a_clip_for_each_image_is_a_draw_of_images():
    names = [f"{index:02d}" for index in range(8)]
    assert (clip_weights(names, resamples=9, seed=4) == image_weights(8, resamples=9, seed=4)).all()


@pytest.mark.parametrize(
    ("pattern", "ids", "expected"),
    [
        ("[^_]+", CAMVID, ["0001TP", "0001TP", "Seq05VD", "Seq05VD", "0016E5"]),
        (
            "[^_]+_[^_]+",
            ["frankfurt_000000_000294", "munster_000001_000019"],
            ["frankfurt_000000", "munster_000001"],
        ),
        (r"[^_]+_f?\d\d", CAMVID[2:4], ["Seq05VD_f00", "Seq05VD_f05"]),
    ],
)
def test_a_clip_is_what_matches_at_the_start_of_a_name(pattern: str, ids: list[str], expected: list[str]):
    assert clips_of(ids, pattern) == expected


@pytest.mark.parametrize("pattern", ["Seq", "x?"])
def test_a_name_that_no_clip_begins_is_an_error_that_names_it(pattern: str):
    with pytest.raises(UserError, match=r"report\.clips: .*'0001TP_008550'.*or none"):
        clips_of(CAMVID, pattern)


def notes(tree: Tree, clips: str | None) -> str:
    results = tree.load()
    draws = resample(results, resamples=50, seed=0, clips=clips)
    table = table_rows(results, draws, focus="aicsd", rope=0.5)["comparison"]
    return "\n".join(comparison.display(table).notes)


def test_the_report_says_how_many_clips_there_are_and_what_it_does_with_them(tree: Tree):
    text = notes(tree, "00[01]")
    assert "12 frames of 2 clips; whole clips are resampled" in text
    assert "intervals are wide" in text
    assert "the 12 of the reported split are taken as independent" in notes(tree, None)


def test_one_clip_alone_tests_nothing(tree: Tree):
    results = tree.load()
    draws = resample(results, resamples=50, seed=0, clips="0")
    difference = all_differences(results, "resnet18", draws)["aicsd", "none"]
    assert (difference.low, difference.p, difference.established) == (None, None, False)


def test_without_results_there_is_nothing_to_resample(tmp_path):
    draws = resample(Tree(tmp_path).load(), resamples=50, seed=0, clips="nothing like it")
    assert isinstance(draws, Resampled)
    assert (dict(draws.values), draws.num_blocks) == ({}, 0)
