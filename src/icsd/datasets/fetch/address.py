"""Addresses to download from: checked before use, and shown and stored without secrets."""

import ipaddress
import re
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from icsd.errors import UserError

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def is_url(source: str) -> bool:
    """Whether ``source`` is an address, not a path.

    Raises:
        UserError: it is an address whose scheme is not supported.
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
    """An address for messages, without user name, password and query, which may hold keys."""
    parts = _split(url)
    query = "?…" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}{query}"


def check_no_login(url: str) -> None:
    """Raises UserError if an address holds a login, which dvc.lock and git would otherwise store."""
    parts = _split(url)
    if "@" in parts.netloc:
        raise UserError(
            f"data.source: the address of {parts.hostname} holds a user name or a password, which dvc.lock "
            f"and git would keep. Leave it out here, and write to ~/.netrc: machine {parts.hostname} login … "
            "password …"
        )


def check_protected(url: str, *, sha256: str | None = None) -> None:
    """Raises UserError for plain http without a digest, unless the server is this machine.

    Anyone in the network path could replace the file, whose content is parsed by decoders written in C.
    """
    parts = _split(url)
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
    except ValueError as error:  # its text may quote the address with the password
        raise UserError("data.source: the address is not a valid one") from error
    if not parts.hostname:
        raise UserError("data.source: the address names no server")
    return parts


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
