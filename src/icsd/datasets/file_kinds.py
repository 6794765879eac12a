"""The suffixes of images and masks, and files that are not of the type that their name says."""

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".tif", ".tiff", ".webp")
MASK_SUFFIXES = (".png", ".bmp", ".tif", ".tiff")

_BEGINNINGS = {  # first bytes of files that are found under the name of an archive or an image
    b"%!PS": "a PostScript file",
    b"\xc5\xd0\xd3\xc6": "a PostScript file",
    b"%PDF": "a PDF file",
    b"GIF8": "a GIF image",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"8BPS": "a Photoshop file",
    b"\0\0\0\x0cjP  ": "a JPEG 2000 image",
    b"\xff\x4f\xff\x51": "a JPEG 2000 image",
    b"\0\0\0\x0cJXL ": "a JPEG XL image",
    b"\xff\x0a": "a JPEG XL image",
    b"v/1\x01": "an OpenEXR image",
    b"DDS ": "a DDS image",
    b"P5": "a PGM image",
    b"P6": "a PPM image",
    b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "an HDF5 file",
    b"MATLAB": "a MATLAB file",
    b"<svg": "an SVG drawing",
    b"<?xml": "an XML file",
    b"<!doctype": "a web page",
    b"<html": "a web page",
    b"PK\x03\x04": "a zip archive",
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"\x28\xb5\x2f\xfd": "a Zstandard file",
    b"\x1f\x8b": "a gzip file",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
    b"{": "JSON text, maybe an error of a server",
    b"version https://git-lfs": "a Git LFS pointer, not the file it stands for (`git lfs pull` gets that)",
}
_BRANDS = {b"avif": "an AVIF image", b"hei": "a HEIC image, as phones save them", b"mif1": "a HEIC image"}
NUM_BYTES = 200
"""Number of leading bytes that are enough to recognise a file."""


def what_it_is(content: bytes) -> str:
    """Describes a file by its first bytes (all of a short file): ``it is …``."""
    if not content.strip(b"\0"):
        return "it holds nothing but zeros" if content else "it is empty"
    if content[4:8] == b"ftyp":
        brand = next((text for brand, text in _BRANDS.items() if content[8:].startswith(brand)), "a video")
        return f"it is {brand}"
    if content[128:132] == b"DICM":
        return "it is a DICOM image"
    start = content[:NUM_BYTES].removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")
    for beginning, meaning in _BEGINNINGS.items():
        if start.startswith(beginning) or (beginning[:1] == b"<" and start.lower().startswith(beginning)):
            return f"it is {meaning}"
    return f"it begins with {content[:16]!r}"
