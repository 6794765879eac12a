"""Downloads that continue where they stopped, and that are complete and verified, or not there."""

import errno
import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from email.message import Message
from pathlib import Path
from typing import IO

from tqdm import tqdm

from icsd.errors import UserError
from icsd.files import check_disk_space, sha256_of, write_json

_CHUNK = 1 << 18
_BUSY = {408, 425, 429, 500, 502, 503, 504}  # worth another attempt
_BY_HAND = "Download it by other means and give the file's path in data.source."

_State = dict[str, str | int | None]


class _Restart(Exception):
    """What is on the disk does not belong to what the server offers now."""


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to something unprotected."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        scheme = urllib.parse.urlsplit(newurl).scheme
        if scheme not in {"http", "https"} or (req.type == "https" and scheme != "https"):
            raise UserError(
                f"{req.full_url} redirects to an unprotected address ({newurl}); refused. {_BY_HAND}"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def is_url(source: str) -> bool:
    """Whether ``source`` is an address to download from (http or https)."""
    return source.startswith(("https://", "http://"))


def name_of(url: str) -> str:
    """The file name at the end of an address."""
    name = Path(urllib.parse.unquote(urllib.parse.urlsplit(url).path)).name
    if not name:
        raise UserError(f"{url} names no file: give the address of the archive itself in data.source")
    return name


def download_url(
    url: str,
    target: Path,
    *,
    sha256: str | None = None,
    attempts: int = 5,
    timeout: float = 30.0,
    pause: float = 2.0,
) -> None:
    """Downloads to ``target``. What arrived is kept in ``<target>.part`` and continued by the next call.

    Args:
        url: http or https address.
        target: where the complete, verified file appears, in one step.
        sha256: expected digest; on mismatch nothing is kept.
        attempts: how often in a row nothing may arrive before it is an error.
        timeout: seconds without an answer after which a connection counts as dropped.
        pause: seconds before the second attempt; doubles with every further one.

    Raises:
        UserError: not found, no network, disk full, digest mismatch; the message says what to do.
    """
    part, notes = target.with_name(target.name + ".part"), target.with_name(target.name + ".part.json")
    failures = 0
    while True:
        before = _size(part)
        reason = _attempt(url, part, notes, timeout=timeout)
        if reason is None:
            break
        failures = 1 if _size(part) > before else failures + 1
        if failures >= attempts:
            raise UserError(
                f"Cannot download {url} after {failures} attempts: {reason}. What arrived is kept and "
                f"continued next time. Without a network: {_BY_HAND}"
            )
        time.sleep(pause * 2 ** (failures - 1))
    _accept(url, part, notes, target, sha256)


def _attempt(url: str, part: Path, notes: Path, *, timeout: float) -> str | None:
    """Why another attempt is needed, or None when ``part`` is complete."""
    try:
        _continue_download(url, part, notes, timeout=timeout)
    except _Restart:
        part.unlink(missing_ok=True)
        return "the server's answers contradict what it sent before"
    except urllib.error.HTTPError as error:
        error.close()
        if error.code not in _BUSY:
            raise UserError(_refusal(url, error)) from error
        return f"the server answers {error.code} {error.reason}"
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise UserError(
                f"The disk became full while downloading {url}: free some space, it continues"
            ) from error
        return str(getattr(error, "reason", error)) or type(error).__name__
    return None


def _continue_download(url: str, part: Path, notes: Path, *, timeout: float) -> None:
    """One connection; returns when ``part`` is complete."""
    state = _read_notes(notes, url)
    have = _size(part) if state else 0
    request = urllib.request.Request(url, headers={"User-Agent": "icsd", "Accept-Encoding": "identity"})
    if have and state:
        request.add_header("Range", f"bytes={have}-")
        if isinstance(state["validator"], str):
            request.add_header("If-Range", state["validator"])
    try:
        response = urllib.request.build_opener(_SafeRedirects).open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        error.close()
        if state and have == state["length"]:
            return
        raise _Restart from error
    with response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            have, length = 0, _whole_length(response.headers)
        else:
            length = _check_range(response.headers, have, state)
        write_json(notes, {"url": url, "validator": _validator(response.headers), "length": length})
        check_disk_space(part.parent, (length or 0) - have)
        _receive(response, part, have=have, length=length)


def _receive(response: IO[bytes], part: Path, *, have: int, length: int | None) -> None:
    bar = tqdm(
        total=length, initial=have, unit="B", unit_scale=True, desc=part.stem, leave=False, disable=None
    )
    with bar, part.open("r+b" if have else "wb") as stream:
        stream.seek(have)
        while chunk := response.read(_CHUNK):
            stream.write(chunk)
            bar.update(len(chunk))
        received = stream.tell()
    if length is not None and received != length:
        raise ConnectionError(f"the connection broke off after {received} of {length} bytes")


def _accept(url: str, part: Path, notes: Path, target: Path, sha256: str | None) -> None:
    found = sha256_of(part) if sha256 else None
    notes.unlink(missing_ok=True)
    if found != sha256:
        part.unlink()
        raise UserError(
            f"{url} is not the expected file: its SHA-256 is {found}, expected {sha256}. Nothing was kept. "
            "Either the download was tampered with, or the publisher changed the file."
        )
    part.replace(target)


def _check_range(headers: Message, have: int, state: _State | None) -> int:
    """The whole length, if the part that is sent continues the part that is here."""
    span, _, total = headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
    continues = span.startswith(f"{have}-") and total.isdigit() and state is not None
    if not continues or state is None or (state["length"] is not None and state["length"] != int(total)):
        raise _Restart
    return int(total)


def _whole_length(headers: Message) -> int | None:
    length = headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None


def _validator(headers: Message) -> str | None:
    """What If-Range can compare: a strong ETag, else the date of the last change."""
    tag = headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")


def _read_notes(notes: Path, url: str) -> _State | None:
    try:
        state = json.loads(notes.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    known = isinstance(state, dict) and state.get("url") == url and {"validator", "length"} <= state.keys()
    return state if known else None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _refusal(url: str, error: urllib.error.HTTPError) -> str:
    if error.code in {401, 403}:
        return f"{url} asks for a login or refuses access ({error.code}). {_BY_HAND}"
    if error.code in {404, 410}:
        return f"{url} does not exist any more ({error.code}): look for its new address. {_BY_HAND}"
    return f"{url} cannot be downloaded: the server answers {error.code} {error.reason}. {_BY_HAND}"
