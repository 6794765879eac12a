import struct

import numpy as np
import pytest
from PIL import Image
from tests.datasets.reading.png import png, png_of

from icsd.datasets.reading.masks import read_ids
from icsd.errors import UserError

IDS = np.resize(np.arange(12, dtype=np.uint8), (6, 8))


def palette_image(ids: np.ndarray, colours: list[tuple[int, int, int]]) -> Image.Image:
    image = Image.frombytes("P", ids.shape[::-1], ids.astype(np.uint8).tobytes())
    image.putpalette([value for colour in colours for value in colour])
    return image


def test_palette_masks_keep_their_ids(make):
    root = make.folder({"m.png": make.mask([0, 7, 255], palette=True)})
    assert set(np.unique(read_ids(root / "m.png"))) == {0, 7, 255}


def test_colour_masks_are_refused(make):
    root = make.folder({"m.png": make.picture(0)})
    with pytest.raises(UserError, match=r"m\.png is a colour image"):
        read_ids(root / "m.png")


@pytest.mark.parametrize("num_bytes", [0, 20, 90])
def test_cut_off_masks_are_named(make, num_bytes):
    root = make.folder({"m.png": make.picture(0)[:num_bytes]})
    with pytest.raises(UserError, match=r"cannot read label m\.png|colour"):
        read_ids(root / "m.png")


@pytest.mark.parametrize("name", ["m.png", "m.tif", "m.bmp"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_equal_channels_are_one(saved, mode, name):
    np.testing.assert_array_equal(read_ids(saved(Image.fromarray(IDS).convert(mode), name)), IDS)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_an_opaque_alpha_channel_is_left_out(saved, mode):
    np.testing.assert_array_equal(read_ids(saved(Image.fromarray(IDS).convert(mode))), IDS)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_small_numbers_of_many_bits_are_class_numbers(saved, dtype):
    np.testing.assert_array_equal(read_ids(saved(Image.fromarray(IDS.astype(dtype)), "m.tif")), IDS)


def test_masks_of_16_bits_are_read(saved):
    path = saved(Image.fromarray(IDS.astype(np.uint16)))
    read = read_ids(path)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, IDS)


def test_masks_of_1_bit_hold_0_and_1(saved):
    np.testing.assert_array_equal(read_ids(saved(Image.fromarray(IDS > 5))), (IDS > 5).astype(np.uint8))


@pytest.mark.parametrize("bits", [2, 4])
def test_grey_masks_of_few_bits_are_not_scaled_to_255(tmp_path, bits):
    ids = IDS % (1 << bits)
    weights = 1 << np.arange(8 - bits, -1, -bits)
    rows = (ids.reshape(6, -1, 8 // bits) * weights).sum(axis=2).astype(np.uint8)
    (tmp_path / "m.png").write_bytes(png((8, 6), b"".join(b"\0" + row.tobytes() for row in rows), bits=bits))
    np.testing.assert_array_equal(read_ids(tmp_path / "m.png"), ids)


def test_numbers_that_are_no_class_numbers_are_refused_with_the_reason(saved):
    path = saved(Image.fromarray(IDS.astype(np.uint16) * 1000))
    with pytest.raises(UserError, match=r"m\.png holds numbers from 0 to 11,000; class numbers end at 255"):
        read_ids(path)


def test_transparent_masks_are_refused(saved):
    image = Image.fromarray(IDS).convert("LA")
    image.putpixel((0, 0), (1, 0))
    with pytest.raises(UserError, match=r"m\.png has transparent pixels"):
        read_ids(saved(image))


@pytest.mark.parametrize("name", ["m.jpg", "m.png"])
def test_lossy_masks_are_refused(saved, name):
    with pytest.raises(UserError, match="JPEG"):
        read_ids(saved(Image.fromarray(IDS), name, format="JPEG"))


def test_values_with_a_fraction_are_refused(saved):
    with pytest.raises(UserError, match=r"m\.tif stores .* \(mode F\)"):
        read_ids(saved(Image.fromarray(IDS.astype(np.float32) + np.float32(0.5)), "m.tif"))
    with pytest.raises(UserError, match=r"m\.tif stores .* \(mode F\)"):
        read_ids(saved(Image.fromarray(np.full((2, 2), np.nan, np.float32)), "m.tif"))


def test_whole_numbers_stored_with_a_point_are_read_as_maps_are_exported(saved):
    np.testing.assert_array_equal(read_ids(saved(Image.fromarray(IDS.astype(np.float32)), "m.tif")), IDS)


def test_a_palette_that_was_sorted_anew_is_refused(saved):
    colours = [(0, 0, 0), (128, 0, 0), (0, 128, 0)]
    ids = np.array([[0, 1, 2, 0]])
    np.testing.assert_array_equal(read_ids(saved(palette_image(ids, colours)), colours=colours), ids)
    sorted_anew = palette_image(ids, [colours[0], colours[2], colours[1]])
    with pytest.raises(UserError, match="colour of class 2 where it stores number 1"):
        read_ids(saved(sorted_anew), colours=colours)


def test_a_palette_of_other_colours_says_nothing_about_the_order(saved):
    ids = np.array([[0, 1, 2, 0]])
    image = palette_image(ids, [(9, 9, 9), (0, 0, 0), (128, 0, 0)])
    np.testing.assert_array_equal(read_ids(saved(image), colours=[(0, 0, 0), (128, 0, 0)]), ids)


def test_masks_of_16_bits_in_several_channels_lose_their_numbers_and_are_refused(tmp_path):
    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    rows = b"\0" + np.array([3, 3, 3, 7, 7, 7], dtype=">u2").tobytes()
    (tmp_path / "m.png").write_bytes(png_of(header, rows))
    with pytest.raises(UserError, match=r"m\.png stores 16 bits a channel in several channels"):
        read_ids(tmp_path / "m.png")


def test_the_note_of_how_a_camera_was_held_turns_a_mask_with_its_image(saved):
    exif = Image.Exif()
    exif[0x0112] = 3
    np.testing.assert_array_equal(read_ids(saved(Image.fromarray(IDS), "m.png", exif=exif)), IDS[::-1, ::-1])
