"""Reads lists of names as various tools write them: a name per line, any encoding, maybe more columns."""

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

from icsd.errors import UserError

_MARKS = {  # byte order marks; UTF-32 first, as its mark begins like that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}
_INVISIBLE = dict.fromkeys(map(ord, "\ufeff\u200b\u2060\x1a"))
"""Invisible characters that editors insert, and the end-of-file character of DOS."""
_QUOTES = re.compile(r"""(?<![^\s,;])["']|["'](?![^\s,;])""")
"""Quotation marks around a table's cell; those within a name are kept."""
_NUMBERED = re.compile(r"\d+[\s,;]+(?=\S)")
_SEPARATOR = re.compile(r"[\s,;]+")


def read_list(path: Path) -> list[str]:
    """The non-blank lines, without quotation marks and surrounding space, and with slashes for backslashes.

    Raises:
        UserError: the file cannot be read, is not text, or has no names; names the file.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"The dataset's list {path.parent.name}/{path.name} cannot be read: {error.strerror}"
        ) from error
    text = _text(content, path.name).translate(_INVISIBLE)
    lines = (_QUOTES.sub("", line).strip().replace("\\", "/") for line in text.splitlines())
    names = [line for line in lines if line]
    if not names:
        raise UserError(f"The dataset's list {path.parent.name}/{path.name} is empty: it needs a name a line")
    return names


def is_comment(line: str) -> bool:
    """Whether a line that names no file may be passed over."""
    return line.startswith("#")


def names_in(line: str) -> Iterator[str]:
    """The names that a line may stand for: all of it, or the part before a later column, the longest first.

    A name may have spaces, and another column may follow (a label's path, a flag); only the existing files
    show which it is. Folders are left out.
    """
    yield line.rpartition("/")[2]
    for separator in reversed(list(_SEPARATOR.finditer(line))):
        yield line[: separator.start()].rpartition("/")[2]


def without_number(line: str) -> str:
    """A line without the row number with which some tables begin every line."""
    return _NUMBERED.sub("", line, count=1) if _NUMBERED.match(line) else line


def _text(content: bytes, name: str) -> str:
    encoding = next((encoding for mark, encoding in _MARKS.items() if content.startswith(mark)), None)
    if encoding is None and b"\0" in content[:2]:  # names begin with ASCII: every second byte is zero
        encoding = "utf-16-be" if content[:1] == b"\0" else "utf-16-le"
    try:
        text = content.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"The dataset's list {name} is no text in UTF-8 or UTF-16 (line {line}): save it as UTF-8"
        ) from error
    if "\0" in text:
        raise UserError(f"The dataset's list {name} is damaged: it holds zero bytes")
    return text
