from pathlib import Path

import numpy as np
import pytest

from icsd.data.manifest import write_manifest
from icsd.data.shards import write_shards
from icsd.datasets.doctor import Decoded, Expectation, examine
from icsd.errors import UserError


@pytest.fixture
def manifest(tmp_path):
    """Builds a manifest from {split: [(id, image number, label values)]}."""

    def build(**splits):
        written = {}
        for name, samples in splits.items():
            records = [
                (
                    id_,
                    np.full((2, 4, 3), number, dtype=np.uint8),
                    np.resize(np.array(values, np.uint8), (2, 4)),
                )
                for id_, number, values in samples
            ]
            written[name] = write_shards(tmp_path, name, records, num_classes=2)
        return write_manifest(tmp_path, "made", ["sky", "road"], written)

    return build


def texts(findings):
    return [str(finding) for finding in findings]


GOOD = {"train": [("a", 1, [0, 1]), ("b", 2, [0, 1])], "report": [("c", 3, [0, 1, 255, 255])]}


def test_good_data_has_no_findings_but_facts(manifest):
    findings = examine(manifest(**GOOD), expected={"train": Expectation(2), "report": Expectation(1)})
    assert findings.errors == findings.warnings == ()
    assert findings.facts["report"]["ignored_share"] == 0.5
    assert findings.facts["train"]["num_images"] == 2
    findings.raise_on_errors()


def test_a_wrong_number_of_images_is_an_error(manifest):
    findings = examine(manifest(**GOOD), expected={"train": Expectation(367)})
    (error,) = findings.errors
    assert str(error).startswith("train: 2 images, but 367 are published")


def test_all_errors_are_raised_together(manifest):
    findings = examine(
        manifest(train=[("a", 1, [0, 7]), ("a", 2, [0])], report=[]),
        expected={},
        decoded={"report": Decoded(problems=["cannot read image x.png"])},
    )
    with pytest.raises(UserError) as caught:
        findings.raise_on_errors()
    for words in (
        "7 (4 pixels)",
        "1 ids occur more than once: a",
        "cannot read image x.png",
        "report: no images",
    ):
        assert words in str(caught.value)


def test_unreadable_samples_are_not_missing_ones_as_well(manifest):
    decoded = {"train": Decoded(problems=["bad"])}
    findings = examine(manifest(**GOOD), expected={"train": Expectation(3)}, decoded=decoded)
    assert texts(findings.errors) == ["train: 1 samples cannot be used: bad"]


def test_many_problems_are_counted_and_a_few_named(manifest):
    problems = [f"problem {number}" for number in range(30)]
    findings = examine(manifest(**GOOD), expected={}, decoded={"train": Decoded(problems=problems)})
    (error,) = findings.errors
    assert "30 samples" in str(error)
    assert str(error).endswith("problem 4 and 25 more")
    assert error.cases == tuple(problems)
    with pytest.raises(UserError, match=r"All of them are in data/made/doctor\.json"):
        findings.raise_on_errors(Path("data/made/doctor.json"))


def test_absent_classes_and_much_ignored_are_warnings(manifest):
    findings = examine(manifest(train=[("a", 1, [0, 255, 255, 255])]), expected={})
    assert texts(findings.warnings) == [
        "train: no pixel of road; means over classes leave them out",
        "train: 75% of all pixels are ignored",
    ]


def test_classes_that_hardly_occur_are_a_warning(tmp_path):
    label = np.zeros((200, 200), np.uint8)
    label[0, :3] = 1
    records = [(name, np.full((200, 200, 3), number, np.uint8), label) for number, name in enumerate("ab")]
    split = write_shards(tmp_path, "train", records, num_classes=2)
    findings = examine(write_manifest(tmp_path, "made", ["sky", "road"], {"train": split}), expected={})
    assert texts(findings.warnings) == [
        "train: 1 classes have less than 0.01% of the labelled pixels: road (6 pixels in 2 images)"
    ]


def test_classes_that_are_reported_and_never_trained_are_a_warning(manifest):
    findings = examine(manifest(train=[("a", 1, [0])], report=[("b", 2, [0, 1])]), expected={})
    words = "1 classes are in report and not in train, so that no network can learn them: road"
    assert words in texts(findings.warnings)
    assert words not in texts(examine(manifest(**GOOD), expected={}).warnings)


def test_an_image_in_two_splits_is_an_error(manifest):
    data = {"train": [("a", 1, [0, 1])], "report": [("x", 1, [0, 1])]}
    assert texts(examine(manifest(**data), expected={}).errors) == [
        "train and report share 1 identical images: a = x"
    ]


def test_doubles_within_published_data_are_a_warning(manifest):
    data = {"train": [("a", 1, [0, 1])], "report": [("x", 1, [0, 1])]}
    findings = examine(manifest(**data), expected={"train": Expectation(1), "report": Expectation(1)})
    assert findings.errors == ()
    assert texts(findings.warnings) == ["train and report share 1 identical images: a = x"]


def test_an_image_twice_in_one_split_is_a_warning(manifest):
    findings = examine(manifest(train=[("a", 1, [0, 1]), ("b", 1, [1, 0])]), expected={})
    assert texts(findings.warnings) == ["train: 1 images occur more than once: a = b"]


@pytest.mark.parametrize("other", ["Frame_07", "frame-7", "frame 007"])
def test_nearly_equal_ids_are_a_warning(manifest, other):
    findings = examine(manifest(train=[("frame_07", 1, [0, 1])], report=[(other, 2, [0, 1])]), expected={})
    assert texts(findings.warnings) == ["train and report share 1 (nearly) equal ids: frame_07"]


def test_other_labels_than_the_published_ones_are_a_warning(manifest):
    made = manifest(**GOOD)
    digest = made.splits["train"].labels_sha256
    same = examine(made, expected={"train": Expectation(labels_sha256=digest)})
    other = examine(made, expected={"train": Expectation(labels_sha256="aa")})
    assert not same.warnings
    assert same.facts["train"]["labels_as_published"] is True
    assert "not the published ones" in other.warnings[0].text


@pytest.mark.parametrize(
    ("brightest", "bits"),
    [([900, 1023], 10), ([4095], 12), ([200, 16383], 14), ([3, 16384], None), ([], None)],
)
def test_fewer_bits_than_16_in_files_of_16_are_an_error(manifest, brightest, bits):
    decoded = {"train": Decoded(brightest_of_16_bits=brightest)}
    findings = examine(manifest(**GOOD), expected={}, decoded=decoded)
    assert [f"use {bits} of them" in text for text in texts(findings.errors)] == ([True] if bits else [])


def test_images_that_are_turned_are_a_warning_that_names_them(manifest):
    findings = examine(manifest(**GOOD), expected={}, decoded={"train": Decoded(turned=["a"])})
    assert any("1 images are turned" in text and text.endswith(": a") for text in texts(findings.warnings))
