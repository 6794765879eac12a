"""Addresses to download from: safe to use, safe to write down, and safe to show."""

import ipaddress
import re
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from icsd.errors import UserError

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def is_url(source: str) -> bool:
    """Whether ``source`` is an address and no path.

    Raises:
        UserError: an address of a kind that cannot be downloaded from.
    """
    if source.lower().startswith(("https://", "http://")):
        return True
    if _SCHEME.match(source):
        scheme = source.partition(":")[0]
        raise UserError(
            f"data.source: addresses begin with https://, not {scheme}://. Download the file by other means "
            "and give its path."
        )
    return False


def name_of(url: str) -> str:
    """The file name at the end of an address."""
    name = Path(unquote(_split(url).path)).name
    if not name:
        raise UserError(f"{shown(url)} names no file: give the address of the archive itself in data.source")
    return name


def shown(url: str) -> str:
    """An address for messages: without a user's name and password, without keys after the question mark."""
    parts = _split(url)
    query = "?…" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}{query}"


def check_address(url: str, *, sha256: str | None = None) -> None:
    """Refuse addresses that give something away, or whose content anybody on the way could replace.

    DVC writes parameters to dvc.lock, and git keeps that for ever: no place for a password. Without https
    there has to be a digest, unless the server is this machine.

    Raises:
        UserError: says which, and what to do instead.
    """
    parts = _split(url)
    if "@" in parts.netloc:
        raise UserError(
            f"data.source: the address of {parts.hostname} holds a user name or a password, which dvc.lock "
            f"and git would keep. Leave it out here, and write to ~/.netrc: machine {parts.hostname} login … "
            "password …"
        )
    if parts.scheme.lower() == "http" and not sha256 and not _is_this_machine(parts.hostname or ""):
        raise UserError(
            f"data.source: {shown(url)} is not protected (http), and there is no sha256 to check the file "
            "against: anybody on the way could replace it. Use https, or download it by other means and give "
            "its path."
        )


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:  # may quote the address, password and all
        raise UserError("data.source: the address is not a valid one") from error
    if not parts.hostname:
        raise UserError("data.source: the address names no server")
    return parts


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
