"""Downloads that resume where they stopped, and that appear only when complete and verified."""

import base64
import errno
import hashlib
import http.client
import json
import netrc
import time
import urllib.error
import urllib.parse
import urllib.request
from datetime import datetime, timedelta
from email.message import Message
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import IO

from tqdm import tqdm

from icsd.datasets.fetch.address import shown
from icsd.errors import UserError
from icsd.files import check_disk_space, sha256_of, write_json

_CHUNK = 1 << 18
_BUSY = {408, 425, 429, 500, 502, 503, 504}  # worth another attempt
_BY_HAND = "Download it by other means and give the file's path in data.source."

_State = dict[str, str | int | None]


class _Restart(Exception):
    """The partial download is of another version than the server offers now."""


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https, but never from https to http."""

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
                f"{shown(req.full_url)} redirects to an unprotected address ({scheme}://): refused. "
                f"{_BY_HAND}"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download_url(
    url: str,
    target: Path,
    *,
    sha256: str | None = None,
    attempts: int = 5,
    timeout: float = 30.0,
    pause: float = 2.0,
) -> None:
    """Downloads to ``target``. A partial download is kept in ``<target>.part`` and resumed by the next call.

    Two versions of a file are never mixed: a part is resumed only if the server confirms that it still offers
    the same version (ETag, date of change), or if the digest of the whole file is known.

    Args:
        url: http or https address; a login for its server is taken from ~/.netrc.
        target: where the complete, verified file appears, in one step.
        sha256: expected digest; on mismatch nothing is kept.
        attempts: number of consecutive attempts without progress before it is an error.
        timeout: seconds without an answer after which a connection counts as dropped.
        pause: seconds before the second attempt; doubled before every further one.

    Raises:
        UserError: not found, no network, disk full, digest mismatch; the message says what to do.
    """
    part, notes = target.with_name(target.name + ".part"), target.with_name(target.name + ".part.json")
    resumed = _size(part) > 0
    _arrive(url, part, notes, sha256=sha256, attempts=attempts, timeout=timeout, pause=pause)
    actual = sha256_of(part) if sha256 else None
    if actual != sha256 and resumed:  # the beginning may be of another version: download it again
        part.unlink()
        _arrive(url, part, notes, sha256=sha256, attempts=attempts, timeout=timeout, pause=pause)
        actual = sha256_of(part)
    notes.unlink(missing_ok=True)
    if actual != sha256:
        part.unlink()
        raise UserError(
            f"{shown(url)} is not the expected file: its SHA-256 is {actual}, expected {sha256}. Nothing was "
            "kept. Either the download was tampered with, or the publisher changed the file."
        )
    part.replace(target)


def _arrive(
    url: str,
    part: Path,
    notes: Path,
    *,
    sha256: str | None,
    attempts: int,
    timeout: float,
    pause: float,
) -> None:
    """Returns when ``part`` is complete."""
    failures = 0
    while True:
        before = _size(part)
        reason = _attempt(url, part, notes, verified=sha256 is not None, timeout=timeout)
        if reason is None:
            return
        failures = 1 if _size(part) > before else failures + 1
        if failures >= attempts:
            raise UserError(
                f"Cannot download {shown(url)} after {failures} attempts: {reason}. What arrived is kept and "
                f"resumed next time. Without a network: {_BY_HAND}"
            )
        time.sleep(pause * 2 ** (failures - 1))


def _attempt(url: str, part: Path, notes: Path, *, verified: bool, timeout: float) -> str | None:
    """Why another attempt is needed, or None when ``part`` is complete."""
    try:
        _resume(url, part, notes, verified=verified, timeout=timeout)
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
                f"The disk became full while downloading {shown(url)}: free some space, it is resumed then"
            ) from error
        return str(getattr(error, "reason", error)) or type(error).__name__
    except UserError:
        raise
    except ValueError as error:  # a malformed header, an address with spaces
        raise UserError(f"{shown(url)} cannot be downloaded: {type(error).__name__}. {_BY_HAND}") from error
    return None


def _resume(url: str, part: Path, notes: Path, *, verified: bool, timeout: float) -> None:
    """One connection; returns when ``part`` is complete."""
    state = _read_notes(notes, url)
    if state and not (isinstance(state["validator"], str) or verified):
        state = None  # nothing tells whether the server still offers the same version
    have = _size(part) if state else 0
    try:
        response = urllib.request.build_opener(_SafeRedirects).open(
            _request(url, have, state), timeout=timeout
        )
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
        validator = _validator(response.headers) if have == 0 or state is None else state["validator"]
        write_json(notes, {"url": _digest(url), "validator": validator, "length": length})
        check_disk_space(part.parent, (length or 0) - have)
        _receive(response, part, have=have, length=length)


def _request(url: str, have: int, state: _State | None) -> urllib.request.Request:
    request = urllib.request.Request(url, headers={"User-Agent": "icsd", "Accept-Encoding": "identity"})  # noqa: S310 - is_url and _SafeRedirects let http and https through only
    if have and state:
        request.add_header("Range", f"bytes={have}-")
        if isinstance(state["validator"], str):
            request.add_header("If-Range", state["validator"])
    login = _login(urllib.parse.urlsplit(url).hostname or "")
    if login:  # not sent along when the server redirects to another one
        request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(login).decode()}")
    return request


def _login(host: str) -> bytes | None:
    """``user:password`` for a server, from ~/.netrc."""
    try:
        entry = netrc.netrc().hosts.get(host)
    except OSError:
        return None
    except netrc.NetrcParseError as error:
        raise UserError(f"~/.netrc cannot be read (line {error.lineno}): {error.msg}") from error
    return f"{entry[0]}:{entry[2]}".encode() if entry else None


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


def _check_range(headers: Message, have: int, state: _State | None) -> int:
    """The length of the whole file; raises _Restart unless the answer continues the part on disk."""
    span, _, total = headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
    continues = span.startswith(f"{have}-") and total.isdigit() and state is not None
    if not continues or state is None or (state["length"] is not None and state["length"] != int(total)):
        raise _Restart
    sent = _validator(headers)
    if None not in (sent, state["validator"]) and sent != state["validator"]:  # the server ignores If-Range
        raise _Restart
    return int(total)


def _whole_length(headers: Message) -> int | None:
    length = headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None


def _validator(headers: Message) -> str | None:
    """The validator for If-Range: a strong ETag, else the date of the last change.

    Dates have a resolution of one second, so two versions of the same second have equal dates. RFC 9110
    therefore accepts a date as strong if it is at least one second before the date of the answer.
    """
    tag = headers.get("ETag")
    if tag and not tag.startswith("W/"):
        return tag
    changed = headers.get("Last-Modified")
    moments = [_moment(headers.get(name)) for name in ("Last-Modified", "Date")]
    if None in moments:
        return None
    before, now = (moment for moment in moments if moment is not None)
    return changed if now - before >= timedelta(seconds=1) else None


def _moment(date: str | None) -> datetime | None:
    try:
        return parsedate_to_datetime(date) if date else None
    except ValueError:
        return None


def _read_notes(notes: Path, url: str) -> _State | None:
    try:
        state = json.loads(notes.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    known = (
        isinstance(state, dict)
        and state.get("url") == _digest(url)
        and {"validator", "length"} <= state.keys()
    )
    return state if known else None


def _digest(url: str) -> str:
    """Digest of an address, which is stored instead of it because the address may hold a key."""
    return hashlib.sha256(url.encode()).hexdigest()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _refusal(url: str, error: urllib.error.HTTPError) -> str:
    if error.code in {401, 403}:
        return f"{shown(url)} asks for a login or refuses access ({error.code}). {_BY_HAND}"
    if error.code in {404, 410}:
        return f"{shown(url)} does not exist any more ({error.code}): look for its new address. {_BY_HAND}"
    return f"{shown(url)} cannot be downloaded: the server answers {error.code} {error.reason}. {_BY_HAND}"
