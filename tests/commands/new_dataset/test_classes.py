import numpy as np
import pytest
from PIL import Image
from tests.commands.new_dataset.folders import COLOURS, in_folders, save, scene, write, write_json

from icsd.errors import UserError

PAIRS = in_folders("images/{n}.png", "masks/{n}.png", number=6)


def test_every_number_is_a_class_and_255_is_ignored_with_evidence(described, project):
    preset, printed = described(PAIRS, values=(0, 1, 7, 255))
    assert preset["data"]["folder"]["classes"] == {"class_0": 0, "class_1": 1, "class_7": 7}
    assert preset["data"]["folder"]["ignore"] == [255]
    assert "ignored: 255 in 100% of the masks, 25% of the pixels" in printed
    text = (project / "configs/datasets/own.yaml").read_text(encoding="utf-8")
    assert "ignore: [255] # 255 in 100% of the masks" in text.replace("  #", " #")
    assert "class_7: 7 # 25% of the pixels, in 18 masks" in text.replace("  #", " #")


@pytest.mark.parametrize("stored", ["L", "RGB", "1"])
def test_black_and_white_masks_are_two_classes(described, tmp_path, stored):
    root = write(tmp_path / "own", PAIRS, (0, 255))
    for _, mask in PAIRS:
        Image.open(root / mask).convert(stored).save(root / mask)
    preset, printed = described()
    assert preset["data"]["folder"]["classes"] == {"background": 0, "foreground": 255}
    assert preset["data"]["folder"]["ignore"] == []
    assert "0 and 255 are two classes" in printed
    assert "doctor: no errors" in printed


def test_two_classes_as_numbers_with_ignored_pixels(described):
    preset, _ = described(PAIRS, values=(0, 1, 255))
    assert preset["data"]["folder"]["classes"] == {"class_0": 0, "class_1": 1}
    assert preset["data"]["folder"]["ignore"] == [255]


def test_greys_between_black_and_white_are_ignored_with_a_warning(described, tmp_path):
    root = write(tmp_path / "own", PAIRS, (0, 255))
    for _, mask in PAIRS:
        label = np.array(Image.open(root / mask))
        label[0, :4] = [3, 90, 140, 250]
        save(root / mask, label)
    preset, printed = described()
    assert preset["data"]["folder"]["classes"] == {"class_0": 0, "class_255": 255}
    assert preset["data"]["folder"]["ignore"] == [3, 90, 140, 250]
    assert "warning: black and white masks with 4 greys between" in printed


@pytest.mark.parametrize("number", [2, 21, 150])
def test_so_many_classes(described, tmp_path, number):
    root = write(tmp_path / "own", PAIRS)
    for place, (image, mask) in enumerate(PAIRS):
        pixels, label = scene(place, width=300, values=tuple(range(number)))
        save(root / image, pixels)
        save(root / mask, label)
    preset, printed = described()
    assert preset["data"]["classes"] == number
    assert len(preset["data"]["folder"]["classes"]) == number
    assert "doctor: no errors" in printed


def test_every_colour_is_a_class(described):
    preset, _ = described(PAIRS, colours=COLOURS)
    assert list(preset["data"]["folder"]["classes"].values()) == [
        [[0, 0, 0]],
        [[30, 200, 30]],
        [[200, 30, 30]],
    ]


def test_colours_of_smoothed_edges_are_ignored_with_a_warning(described, tmp_path):
    root = write(tmp_path / "own", PAIRS, colours=COLOURS)
    for _, mask in PAIRS[:1]:
        label = np.array(Image.open(root / mask))
        label[0, 0], label[1, 1] = (1, 0, 1), (115, 115, 30)  # next to black; between red and green
        save(root / mask, label)
    preset, printed = described()
    assert preset["data"]["classes"] == 3
    assert sorted(preset["data"]["folder"]["ignore"]) == [[1, 0, 1], [115, 115, 30]]
    assert "warning: 2 values that are hardly a class are ignored" in printed


def test_masks_that_were_resized_with_interpolation_are_refused(described, tmp_path):
    root = write(tmp_path / "own", PAIRS, colours=COLOURS)
    for place, (image, mask) in enumerate(PAIRS):
        save(root / image, scene(place, height=124, width=200)[0])
        label = COLOURS[scene(place, height=124, width=200)[1]]
        label[0, :100] = np.linspace(COLOURS[1], COLOURS[2], 102)[1:-1]
        save(root / mask, label)
    with pytest.raises(UserError, match=r"values, of which \d+ have almost no pixels.*nearest neighbour"):
        described()


def with_palette(root, pairs, palettes):
    for number, (_, mask) in enumerate(pairs):
        image = Image.open(root / mask)
        image.putpalette(np.asarray(palettes[number % len(palettes)], np.uint8).reshape(-1).tolist())
        image.save(root / mask)


def test_palettes_are_numbers(described, tmp_path):
    with_palette(write(tmp_path / "own", PAIRS), PAIRS, [COLOURS])
    assert described()[0]["data"]["folder"]["classes"] == {"class_0": 0, "class_1": 1, "class_2": 2}


def test_palettes_that_differ_are_colours(described, tmp_path):
    with_palette(write(tmp_path / "own", PAIRS), PAIRS, [COLOURS, COLOURS[[0, 2, 1]]])
    preset, printed = described()
    assert [30, 200, 30] in [colour for [colour] in preset["data"]["folder"]["classes"].values()]
    assert "doctor: no errors" in printed


@pytest.mark.parametrize(
    ("file", "content", "classes"),
    [
        ("classes.txt", "road\r\n\r\ncar\r\nsky\r\n", {"road": 0, "car": 1, "sky": 2}),
        ("labels.txt", "0: road\n1: car\n2: sky", {"road": 0, "car": 1, "sky": 2}),
        ("classes.txt", "car\nsky", {"background": 0, "car": 1, "sky": 2}),
        ("_classes.csv", "Pixel Value, Class\n0, road\n1, car\n2, sky", {"road": 0, "car": 1, "sky": 2}),
        ("id2label.json", {"0": "road", "1": "car", "2": "sky"}, {"road": 0, "car": 1, "sky": 2}),
        ("dataset.json", {"labels": {"road": 0, "car": 1, "sky": 2}}, {"road": 0, "car": 1, "sky": 2}),
        ("meta.json", {"classes": [{"title": "road"}, {"title": "car"}, {"title": "sky"}]},
         {"road": 0, "car": 1, "sky": 2}),
        ("data.yaml", "names: [road, car, car]", {"road": 0, "car": 1, "car_2": 2}),
        ("classes.txt", "road\nunlabelled\nsky", {"road": 0, "sky": 2}),
    ],
)  # fmt: skip
def test_names_are_those_of_a_file(described, tmp_path, file, content, classes):
    (tmp_path / "own").mkdir()
    if isinstance(content, str):
        (tmp_path / "own" / file).write_text(content, encoding="utf-8")
    else:
        write_json(tmp_path / "own" / file, content)
    assert described(PAIRS)[0]["data"]["folder"]["classes"] == classes


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("labelmap.txt", "# label:color_rgb:parts:actions\nsky:30,200,30::\nroad:0,0,0::\ncar:200,30,30::"),
        ("class_dict.csv", "name,r,g,b\nsky,30,200,30\nroad,0,0,0\ncar,200,30,30"),
        ("label_colors.txt", "30 200 30\tsky\n0 0 0\troad\n200 30 30\tcar"),
    ],
)
@pytest.mark.parametrize("stored", ["RGB", "P"])
def test_colours_are_named_by_a_file(described, tmp_path, file, content, stored):
    root = write(tmp_path / "own", PAIRS, colours=COLOURS if stored == "RGB" else None)
    if stored == "P":
        with_palette(root, PAIRS, [COLOURS])
    (root / file).write_text(content, encoding="utf-8")
    preset, printed = described()
    classes = {"sky": [[30, 200, 30]], "road": [[0, 0, 0]], "car": [[200, 30, 30]]}
    assert preset["data"]["folder"]["classes"] == classes
    assert "doctor: no errors" in printed


def test_a_file_of_names_that_cannot_be_read_is_said_to_be_one(described, tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own/id2label.json").write_text("{", encoding="utf-8")
    preset, printed = described(PAIRS)
    assert "class_1" in preset["data"]["folder"]["classes"]
    assert "id2label.json holds no names that can be read" in printed


def test_names_that_no_mask_has_are_kept_and_told(described, tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own/classes.txt").write_text("a\nb\nc\nd\ne", encoding="utf-8")
    preset, printed = described(PAIRS)
    assert preset["data"]["classes"] == 5
    assert "classes.txt names classes that no mask has: d, e" in printed
    assert "warning: train: no pixel of d, e" in printed


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda label: label * 0, "all masks contain only the value 0"),
        (lambda label: np.arange(label.size).reshape(label.shape).astype(np.uint16), "16-bit"),
    ],
)
def test_masks_that_are_none_are_refused(described, tmp_path, spoil, words):
    root = write(tmp_path / "own", PAIRS)
    for _, mask in PAIRS:
        Image.fromarray(spoil(np.array(Image.open(root / mask)))).save(root / mask)
    with pytest.raises(UserError) as caught:
        described()
    assert words in str(caught.value) or "class numbers end at 255" in str(caught.value)


def test_masks_that_cannot_be_read_are_all_named(described, tmp_path):
    root = write(tmp_path / "own", PAIRS)
    for _, mask in PAIRS[:2]:
        (root / mask).write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"2 masks cannot be read:\n.*train0\.png.*train1\.png"):
        described()


def test_masks_with_loss_are_refused(described, tmp_path):
    root = write(tmp_path / "own", in_folders("images/{n}.png", "masks/{n}.jpg", number=6))
    with pytest.raises(UserError, match=r"label \w+\.jpg is a JPEG file, whose compression changes values"):
        described()
    assert root.is_dir()
