import io
import re
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from tests.datasets.reading.png import png, png_of

from icsd.datasets.reading.images import read_image, read_shown
from icsd.errors import UserError

COLOURS = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
GREY = COLOURS[..., 0]
AS_RGB = np.repeat(GREY[..., None], 3, axis=2)


@pytest.mark.parametrize("num_bytes", [0, 20, 90])
def test_cut_off_images_are_named(make, num_bytes):
    root = make.folder({"m.png": make.picture(0)[:num_bytes]})
    with pytest.raises(UserError, match=r"cannot read image m\.png"):
        read_image(root / "m.png")


def test_grey_images_become_rgb(make):
    root = make.folder({"m.png": make.mask([3, 200])})
    image = read_image(root / "m.png")
    assert image.shape == (6, 8, 3)
    assert (image[..., 0] == image[..., 2]).all()


@pytest.mark.parametrize("name", ["m.png", "m.bmp", "m.tif", "m.png.jpg"])
def test_the_content_and_not_the_suffix_says_what_a_file_is(saved, name):
    path = saved(Image.fromarray(COLOURS), name, format="PNG")
    np.testing.assert_array_equal(read_image(path), COLOURS)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_grey_of_16_bits_is_scaled(saved, suffix):
    path = saved(Image.fromarray(GREY.astype(np.uint16) * 257), f"m.{suffix}")
    np.testing.assert_array_equal(read_image(path), AS_RGB)


def test_grey_of_16_bits_may_count_from_white(tmp_path):
    rows = (65535 - GREY.astype("<u2") * 257).tobytes()
    entries = [
        (256, 8),
        (257, 6),
        (258, 16),
        (259, 1),
        (262, 0),
        (273, 122),
        (277, 1),
        (278, 6),
        (279, len(rows)),
    ]
    tags = b"".join(struct.pack("<HHII", tag, 3, 1, value) for tag, value in entries)
    (tmp_path / "m.tif").write_bytes(b"II*\0\x08\0\0\0\x09\0" + tags + bytes(4) + rows)
    np.testing.assert_array_equal(read_image(tmp_path / "m.tif"), AS_RGB)


def test_a_value_between_two_of_8_bits_becomes_the_nearer_one(saved):
    path = saved(Image.fromarray(np.array([[0, 128, 129, 65535]], dtype=np.uint16)))
    assert read_image(path)[0, :, 0].tolist() == [0, 0, 1, 255]


def test_black_and_white_is_black_and_white(saved):
    path = saved(Image.fromarray(GREY > 127))
    np.testing.assert_array_equal(read_image(path), np.where(AS_RGB > 127, 255, 0))


def test_a_palette_is_looked_up(saved):
    image = Image.frombytes("P", (8, 6), (GREY // 128).tobytes())
    image.putpalette([10, 20, 30, 40, 50, 60])
    shown = np.array([[10, 20, 30], [40, 50, 60]], dtype=np.uint8)[GREY // 128]
    np.testing.assert_array_equal(read_image(saved(image)), shown)


def test_opaque_alpha_channels_are_left_out(saved):
    np.testing.assert_array_equal(read_image(saved(Image.fromarray(COLOURS).convert("RGBA"))), COLOURS)
    np.testing.assert_array_equal(read_image(saved(Image.fromarray(GREY).convert("LA"))), AS_RGB)


def test_transparent_pixels_are_refused(saved):
    image = Image.fromarray(COLOURS).convert("RGBA")
    image.putpixel((0, 0), (1, 2, 3, 100))
    with pytest.raises(UserError, match=r"m\.png: 2\.08% of its pixels are transparent"):
        read_image(saved(image))
    with pytest.raises(UserError, match="transparent"):
        read_image(saved(Image.fromarray(COLOURS), transparency=tuple(COLOURS[0, 0].tolist())))


def test_cmyk_shows_its_colours(saved):
    path = saved(Image.fromarray(np.full((6, 8, 3), 90, np.uint8)).convert("CMYK"), "m.jpg", quality=100)
    assert np.abs(read_image(path).astype(int) - 90).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_stand_upright_whatever_way_the_camera_was_held(saved, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    mirrored = orientation in {2, 4, 5, 7}
    turns = {1: 0, 2: 0, 3: 2, 4: 2, 5: 1, 6: 1, 7: 3, 8: 3}[
        orientation
    ]  # of the stored image, counterclockwise
    stored = np.rot90(COLOURS, turns)
    stored = stored[:, ::-1] if mirrored and orientation in {2, 4} else stored
    stored = stored[::-1] if mirrored and orientation in {5, 7} else stored
    path = saved(Image.fromarray(np.ascontiguousarray(stored)), exif=exif)
    np.testing.assert_array_equal(read_image(path), COLOURS)


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_values_without_a_fixed_white_are_refused(saved, dtype):
    with pytest.raises(UserError, match=r"m\.tif: its values have no fixed black and white"):
        read_image(saved(Image.fromarray(GREY.astype(dtype)), "m.tif"))


def test_postscript_does_not_reach_its_interpreter(tmp_path):
    stream = io.BytesIO()
    Image.fromarray(COLOURS).save(stream, "EPS")
    (tmp_path / "m.png").write_bytes(stream.getvalue())
    with pytest.raises(UserError, match=r"m\.png: it is a PostScript file; images are read from PNG, JPEG"):
        read_image(tmp_path / "m.png")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"<!DOCTYPE html>", "a web page"),
        (bytes(5000), "nothing but zeros"),
        (b"", "it is empty"),
        (b"\0\0\0\x18ftypheic\0\0", "a HEIC image, as phones save them"),
        (b"\0\0\0\x1cftypavif", "an AVIF image"),
        (b"\0\0\0\x0cjP  \r\n", "a JPEG 2000 image"),
        (bytes(128) + b"DICM", "a DICOM image"),
        (b"8BPS\0", "a Photoshop file"),
        (b"something", "begins with b'something'"),
        (
            b"\x89PNG nothing",
            "begins like a PNG file, but is damaged, or of a kind that no decoder here reads",
        ),
    ],
)
def test_what_is_no_picture_is_called_what_it_is(tmp_path, content, words):
    (tmp_path / "m.jpg").write_bytes(content)
    with pytest.raises(UserError, match=words):
        read_image(tmp_path / "m.jpg")


@pytest.mark.parametrize("size", [(20000, 10000), (10000, 9000), (1 << 30, 1 << 30)])
def test_an_image_of_too_many_pixels_is_named(tmp_path, size):
    (tmp_path / "aerial.png").write_bytes(png(size, b"", bits=1))
    with pytest.raises(UserError, match=r"cannot read image aerial\.png: more than 89,478,485 pixels"):
        read_image(tmp_path / "aerial.png")


def test_a_text_that_unpacks_without_end_is_refused(tmp_path):
    bomb = b"Comment\0\0" + zlib.compress(bytes(50_000_000))
    (tmp_path / "m.png").write_bytes(png((1, 1), b"\0\0", before=(b"zTXt", bomb)))
    with pytest.raises(UserError, match=r"cannot read image m\.png"):
        read_image(tmp_path / "m.png")


def test_a_wrong_checksum_of_a_png_is_noticed(make):
    content = bytearray(make.picture(0))
    position = content.index(b"IDAT") + 30
    content[position] ^= 1
    root = make.folder({"m.png": bytes(content)})
    with pytest.raises(UserError, match=r"cannot read image m\.png"):
        read_image(root / "m.png")


def test_a_damaged_jpeg_is_not_read_but_named(saved):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = saved(Image.fromarray(noise), "frame.jpg", quality=90)
    content = path.read_bytes()
    path.write_bytes(content[:2000] + bytes(512) + content[2512:])
    with pytest.raises(UserError, match=r"cannot read image frame\.jpg: it is damaged: zeros"):
        read_image(path)


@pytest.mark.parametrize(("name", "format_"), [("m.png", "PNG"), ("m.tif", "TIFF"), ("m.webp", "WEBP")])
def test_several_pictures_in_one_file_are_refused(saved, name, format_):
    pages = [Image.fromarray(COLOURS), Image.fromarray(COLOURS[::-1].copy())]
    path = saved(pages[0], name, format=format_, save_all=True, append_images=pages[1:])
    with pytest.raises(UserError, match=rf"cannot read image {re.escape(name)}: it holds 2 pictures"):
        read_image(path)


def test_a_smaller_copy_beside_the_picture_is_no_second_one(saved):
    copy = Image.fromarray(COLOURS[::2, ::2].copy())
    copy.encoderinfo = {"tiffinfo": {254: 1}}
    path = saved(Image.fromarray(COLOURS), "m.tif", save_all=True, append_images=[copy])
    np.testing.assert_array_equal(read_image(path), COLOURS)


def test_colours_of_16_bits_are_scaled_and_their_brightest_is_told(tmp_path):
    rows = COLOURS.astype(">u2") * 257
    lines = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", 8, 6, 16, 2, 0, 0, 0)
    (tmp_path / "m.png").write_bytes(png_of(header, lines))
    shown = read_shown(tmp_path / "m.png")
    np.testing.assert_array_equal(shown.pixels, COLOURS)
    assert shown.brightest == int(COLOURS.max()) << 8 | 255


def test_what_a_file_stores_in_16_bits_tells_its_brightest_number(saved):
    path = saved(Image.fromarray(GREY.astype(np.uint16) * 16), "m.png")
    assert read_shown(path).brightest == int(GREY.max()) * 16
    assert read_shown(saved(Image.fromarray(GREY), "n.png")).brightest is None
