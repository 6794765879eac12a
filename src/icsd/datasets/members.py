"""Names of an archive's members: with slashes, as text, and nowhere outside the folder."""

import os
import zipfile
from pathlib import Path, PurePosixPath

from icsd.errors import UserError

UNPACKED = "unpack it with the program that made it, and give the folder in data.source"
"""What helps where an archive is refused."""

_UTF_8 = 0x800  # a flag of zip's members


def member_path(name: str) -> str:
    """A member's name with forward slashes, on whatever system it was packed."""
    return name.replace("\\", "/")


def check_inside(name: str, archive: Path) -> None:
    """Raises UserError for a name that leads outside, or is no text."""
    path = PurePosixPath(member_path(name))
    if path.is_absolute() or ".." in path.parts or name[1:2] == ":":  # C:\ is absolute on Windows
        raise UserError(
            f"{archive.name}: member {name!r} points outside the folder: refused. Pack it with relative "
            f"names, or {UNPACKED}"
        )
    if not is_text(name):
        raise UserError(
            f"{archive.name}: the name of member {name!r} is no text in UTF-8: refused. Rename it, or "
            f"{UNPACKED}"
        )


def is_text(name: str) -> bool:
    """Whether a name can be written as text: no zero byte, valid UTF-8 only."""
    return "\0" not in name and name.encode(errors="replace") == name.encode(errors="surrogatepass")


def check_link(name: str, destination: str, archive: Path) -> None:
    """Refuses a symbolic link that points outside; its destination is relative to the link's folder."""
    check_inside(name, archive)
    inside = os.path.normpath(f"{PurePosixPath(name).parent}/{destination}")
    if destination.startswith(("/", "\\")) or inside.startswith(".."):
        raise UserError(
            f"{archive.name}: link {name!r} points outside the folder: refused. Pack the files that links "
            f"stand for (`tar --dereference`), or {UNPACKED}"
        )


def name_in_zip(info: zipfile.ZipInfo) -> str:
    """A member's name; macOS and others write UTF-8 without the flag that says so."""
    if info.flag_bits & _UTF_8:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:  # in the code page of DOS, as zip has it otherwise
        return info.filename
