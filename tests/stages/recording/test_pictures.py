import subprocess
import sys

import numpy as np
import pytest
from tests.imports import ROOT

from icsd.stages.recording.heatmap import DIVERGING, RISING, font, heatmap, labels, scale, shortened
from icsd.stages.recording.pictures import SIDE, ics_picture


def picture(num_classes, *, student=None, name="class"):
    teacher = np.random.default_rng(0).random((num_classes, num_classes), np.float32)
    student = teacher + 0.1 if student is None else student
    names = [f"{name} {index}" for index in range(num_classes)]
    return ics_picture(student, teacher, names, title="kd · resnet18 · seed 0 · epoch 3")


def colours(image):
    return {tuple(pixel) for pixel in np.asarray(image).reshape(-1, 3).tolist()}


@pytest.mark.parametrize("num_classes", [1, 2, 9, 21, 171, 500])
def test_a_picture_fills_its_square_and_touches_no_edge(num_classes):
    pixels = picture(num_classes, name="a name that is much too long for the room beside a matrix")
    assert pixels.shape == (SIDE, SIDE, 3)
    assert pixels.dtype == np.uint8
    inked = np.argwhere((pixels < 255).any(2))
    assert inked.min() > 0
    assert inked.max() < SIDE - 1
    assert inked[:, 0].max() > 0.7 * SIDE
    assert inked[:, 1].max() > 0.8 * SIDE


def test_matplotlib_stays_unloaded():
    program = (
        "import sys; sys.path.insert(0, 'src'); import numpy as np\n"
        "from icsd.stages.recording.pictures import ics_picture\n"
        "ics_picture(np.eye(3), np.eye(3), ['a', 'b', 'c'], title='t')\n"
        "sys.exit('matplotlib' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


def test_what_the_student_does_is_seen_and_the_teacher_sets_the_scale():
    teacher = np.array([[0.0, 1.0], [1.0, 0.0]], np.float32)
    names = ["a", "b"]
    same, beyond, far = (
        ics_picture(factor * teacher, teacher, names, title="") for factor in (1.0, 2.0, 9.0)
    )
    right = (slice(None), slice(SIDE // 2, None))  # the teacher
    assert (same != beyond).any()
    assert (same[right] == beyond[right]).all()
    assert {(68, 1, 84), (253, 231, 37)} <= colours(same)
    assert {(253, 231, 37), (45, 0, 75)} <= colours(far)


def test_entries_have_the_colours_of_their_values():
    matrix = np.arange(64, dtype=np.float32).reshape(8, 8)
    image = np.asarray(heatmap(matrix, colours=RISING, low=0, high=63, side=8 * 5))
    cells = image.reshape(8, 5, 8, 5, 3)
    assert (cells == cells[:, :1, :, :1]).all()
    assert image[0, 0].tolist() == [0x44, 0x01, 0x54]
    assert image[-1, -1].tolist() == [0xFD, 0xE7, 0x25]
    middle = heatmap(np.zeros((1, 1), np.float32), colours=DIVERGING, low=-1, high=1, side=5)
    assert min(min(colours(middle))) >= 0xF5  # the lightest


def test_numbers_are_written_where_there_is_room():
    matrix = np.full((2, 2), 0.5, np.float32)
    plain, written = (heatmap(matrix, colours=RISING, low=0, high=1, side=side) for side in (40, 200))
    assert len(colours(plain)) == 1
    assert len(colours(written)) > 5
    other = heatmap(np.full((2, 2), -0.5, np.float32), colours=RISING, low=-1, high=0, side=200)
    assert (np.asarray(other) != np.asarray(written)).any()


@pytest.mark.parametrize("value", [-99.94, -9.996, -123.4])
def test_numbers_keep_to_their_entries(value):
    image = np.asarray(heatmap(np.full((9, 9), value, np.float32), colours=RISING, low=0, high=1, side=351))
    cells = image.reshape(9, 39, 9, 39, 3)
    assert len(colours(image)) > 5
    border = cells[:, :, :, [0, -1]]
    assert (border == border[0, 0, 0, 0]).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_numbers_that_are_none_are_drawn(value):
    matrix = np.full((3, 3), value, np.float32)
    assert picture(3, student=matrix).shape == (SIDE, SIDE, 3)
    zero = np.zeros((3, 3), np.float32)
    assert ics_picture(zero, zero, ["a", "b", "c"], title="").shape == (SIDE, SIDE, 3)


@pytest.mark.parametrize("num_classes", [3, 30, 171])
def test_labels_do_not_overlap(num_classes):
    names = [f"name {index}" for index in range(num_classes)]
    image = np.asarray(labels(names, cell=360 / num_classes, length=100))
    ticks = np.flatnonzero((image[:, -1] < 255).any(1))
    assert len(ticks) > 2
    assert num_classes == 171 or len(ticks) == num_classes
    assert np.diff(ticks).min() >= 10
    rows = (image[:, :-5] < 255).any((1, 2))
    assert np.count_nonzero(np.diff(rows.astype(int)) == 1) >= len(ticks) - 1


def test_a_long_name_is_cut():
    assert shortened("road", font(12), 100) == "road"
    cut = shortened("a very long name of a class", font(12), 100)
    assert cut.startswith("a very")
    assert cut.endswith("…")
    assert font(12).getlength(cut) <= 100


def test_the_ends_of_a_scale_say_what_lies_beyond():
    one_sided, two_sided = (
        np.asarray(scale(colours=DIVERGING, low=-1, high=1, height=300, below=below))
        for below in (False, True)
    )
    changed = np.argwhere((one_sided != two_sided).any(2))
    assert changed[:, 0].min() > 250
