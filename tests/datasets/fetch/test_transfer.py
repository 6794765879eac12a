import hashlib
import io
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from http.client import HTTPMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import Request

import pytest

from icsd.datasets.fetch.transfer import _SafeRedirects, download_url
from icsd.errors import UserError

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Behaviour:
    """The server's behaviour, which tests change. ``requests`` are the Range headers that it received."""

    content: bytes = CONTENT
    drop_after: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    ranges: bool = True
    etag: str | None = '"one"'
    changed: str | None = None
    knows_if_range: bool = True
    location: str | None = None
    announced: int | None = None
    requests: list[str | None] = field(default_factory=list)
    logins: list[str | None] = field(default_factory=list)
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    behaviour: Behaviour

    def do_GET(self) -> None:
        behaviour = self.behaviour
        wanted = self.headers["Range"]
        behaviour.requests.append(wanted)
        behaviour.logins.append(self.headers["Authorization"])
        if behaviour.location:
            self.send_response(302)
            self.send_header("Location", behaviour.location)
            return self.end_headers()
        status = behaviour.statuses.pop(0) if behaviour.statuses else 200
        if status != 200:
            return self.send_error(status)
        begin, current = 0, self.headers["If-Range"] in {None, behaviour.etag or behaviour.changed}
        current |= not behaviour.knows_if_range
        if wanted and behaviour.ranges and current:
            begin = int(wanted.removeprefix("bytes=").rstrip("-"))
            if begin >= len(behaviour.content):
                return self.send_error(416)
        self.send_response(206 if begin else 200)
        if begin:
            total = len(behaviour.content)
            self.send_header("Content-Range", f"bytes {begin}-{total - 1}/{total}")
        self.send_header("Content-Length", str(behaviour.announced or len(behaviour.content) - begin))
        if behaviour.etag:
            self.send_header("ETag", behaviour.etag)
        if behaviour.changed:
            self.send_header("Last-Modified", behaviour.changed)
        self.end_headers()
        end = behaviour.drop_after.pop(0) if behaviour.drop_after else len(behaviour.content)
        with suppress(ConnectionError):  # a client that refuses the file hangs up
            self.wfile.write(behaviour.content[begin:end])
        return None

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Behaviour]:
    monkeypatch.setenv("no_proxy", "*")
    behaviour = Behaviour()
    handler = type("BoundHandler", (Handler,), {"behaviour": behaviour})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as listener:
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        behaviour.url = f"http://127.0.0.1:{listener.server_port}/data.tar"
        yield behaviour
        listener.shutdown()
        thread.join()


def test_a_file_arrives_whole_and_nothing_else_stays(server, tmp_path):
    download_url(server.url, tmp_path / "data.tar", sha256=SHA256)
    assert (tmp_path / "data.tar").read_bytes() == CONTENT
    assert len(list(tmp_path.iterdir())) == 1


def test_a_dropped_connection_is_continued(server, tmp_path):
    server.drop_after = [300_000, 700_000]
    download_url(server.url, tmp_path / "data.tar", sha256=SHA256, pause=0)
    assert server.requests == [None, "bytes=300000-", "bytes=700000-"]


def test_progress_resets_the_count_of_attempts(server, tmp_path):
    server.drop_after = [100_000, 200_000, 300_000, 400_000, 500_000]
    download_url(server.url, tmp_path / "data.tar", sha256=SHA256, pause=0, attempts=2)


def test_the_next_call_continues_what_an_earlier_one_left(server, tmp_path):
    server.drop_after = [300_000]
    with pytest.raises(UserError, match="What arrived is kept"):
        download_url(server.url, tmp_path / "data.tar", attempts=1)
    assert not (tmp_path / "data.tar").exists()
    download_url(server.url, tmp_path / "data.tar", sha256=SHA256)
    assert server.requests == [None, "bytes=300000-"]


def test_a_server_that_ignores_ranges_sends_everything_again(server, tmp_path):
    server.drop_after, server.ranges = [300_000], False
    download_url(server.url, tmp_path / "data.tar", sha256=SHA256, pause=0)
    assert server.requests == [None, "bytes=300000-"]


def test_a_file_that_changed_meanwhile_is_not_glued_to_its_old_half(server, tmp_path):
    server.drop_after = [300_000]
    with pytest.raises(UserError):
        download_url(server.url, tmp_path / "data.tar", attempts=1)
    server.content, server.etag = CONTENT[::-1], '"two"'
    download_url(server.url, tmp_path / "data.tar")
    assert (tmp_path / "data.tar").read_bytes() == CONTENT[::-1]


def test_without_a_validator_a_changed_length_starts_afresh(server, tmp_path):
    server.drop_after, server.etag = [300_000], None
    with pytest.raises(UserError):
        download_url(server.url, tmp_path / "data.tar", attempts=1)
    server.content = CONTENT[::-1][:-7]
    download_url(server.url, tmp_path / "data.tar", pause=0)
    assert (tmp_path / "data.tar").read_bytes() == CONTENT[::-1][:-7]


def test_the_half_of_another_address_is_not_used(server, tmp_path):
    server.drop_after = [300_000]
    with pytest.raises(UserError):
        download_url(server.url, tmp_path / "data.tar", attempts=1)
    download_url(server.url.replace("data.tar", "other.tar"), tmp_path / "data.tar", sha256=SHA256)
    assert server.requests == [None, None]


def test_complete_before_the_rename_is_accepted(server, tmp_path):
    server.drop_after = [300_000]
    with pytest.raises(UserError):
        download_url(server.url, tmp_path / "data.tar", attempts=1)
    (tmp_path / "data.tar.part").write_bytes(CONTENT)
    download_url(server.url, tmp_path / "data.tar", sha256=SHA256)
    assert (tmp_path / "data.tar").read_bytes() == CONTENT


def test_a_wrong_digest_leaves_nothing(server, tmp_path):
    with pytest.raises(UserError, match=f"its SHA-256 is {SHA256}, expected 00"):
        download_url(server.url, tmp_path / "data.tar", sha256="00")
    assert list(tmp_path.iterdir()) == []


def test_a_busy_server_is_asked_again(server, tmp_path):
    server.statuses = [503, 429]
    download_url(server.url, tmp_path / "data.tar", sha256=SHA256, pause=0)
    assert len(server.requests) == 3


@pytest.mark.parametrize(("status", "words"), [(404, "does not exist"), (403, "login"), (400, "answers 400")])
def test_refusals_are_final_and_say_what_to_do(server, tmp_path, status, words):
    server.statuses = [status]
    with pytest.raises(UserError, match=rf"{words}.*data\.source"):
        download_url(server.url, tmp_path / "data.tar")
    assert len(server.requests) == 1


def test_no_network_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(UserError, match=r"after 2 attempts.*data\.source"):
        download_url("http://127.0.0.1:9/x.tar", tmp_path / "x.tar", attempts=2, pause=0)


def test_a_file_larger_than_the_disk_is_refused_before_it_arrives(server, tmp_path):
    server.announced = 10**16
    with pytest.raises(UserError, match="Not enough disk space"):
        download_url(server.url, tmp_path / "data.tar")


def test_a_redirect_to_another_protocol_is_refused(server, tmp_path):
    server.location = "ftp://host/data.tar"
    with pytest.raises(UserError, match="refused"):
        download_url(server.url, tmp_path / "data.tar")


def test_a_redirect_from_https_to_http_is_refused():
    with pytest.raises(UserError, match="unprotected"):
        _SafeRedirects().redirect_request(
            Request("https://a/x"), io.BytesIO(), 302, "", HTTPMessage(), "http://a/x"
        )


def left_unfinished(server, target):
    """An interrupted download of which 300,000 bytes arrive."""
    server.drop_after = [300_000]
    with pytest.raises(UserError):
        download_url(server.url, target, attempts=1)


def test_without_a_validator_nothing_is_resumed(server, tmp_path):
    server.etag = None
    left_unfinished(server, tmp_path / "data.tar")
    server.content = CONTENT[::-1]
    download_url(server.url, tmp_path / "data.tar")
    assert server.requests == [None, None]
    assert (tmp_path / "data.tar").read_bytes() == CONTENT[::-1]


def test_without_a_validator_a_known_digest_allows_resuming(server, tmp_path):
    server.etag = None
    server.drop_after = [300_000]
    with pytest.raises(UserError):
        download_url(server.url, tmp_path / "data.tar", attempts=1, sha256=SHA256)
    download_url(server.url, tmp_path / "data.tar", sha256=SHA256)
    assert server.requests == [None, "bytes=300000-"]


def test_a_mixture_that_the_digest_finds_is_replaced_by_the_whole(server, tmp_path):
    server.etag = None
    left_unfinished(server, tmp_path / "data.tar")
    server.content = CONTENT[::-1]
    sha256 = hashlib.sha256(server.content).hexdigest()
    download_url(server.url, tmp_path / "data.tar", sha256=sha256)
    assert server.requests == [None, "bytes=300000-", None]


def test_a_server_that_does_not_know_if_range_is_found_out(server, tmp_path):
    left_unfinished(server, tmp_path / "data.tar")
    server.content, server.etag, server.knows_if_range = CONTENT[::-1], '"two"', False
    download_url(server.url, tmp_path / "data.tar", pause=0)
    assert (tmp_path / "data.tar").read_bytes() == CONTENT[::-1]


def test_a_date_long_past_tells_versions_apart_and_one_of_this_second_does_not(server, tmp_path):
    server.etag, server.changed = None, "Tue, 01 Jan 2019 00:00:00 GMT"
    left_unfinished(server, tmp_path / "data.tar")
    download_url(server.url, tmp_path / "data.tar", sha256=SHA256)
    assert server.requests == [None, "bytes=300000-"]
    server.changed = formatdate(usegmt=True)
    left_unfinished(server, tmp_path / "other.tar")
    download_url(server.url, tmp_path / "other.tar")
    assert server.requests[2:] == [None, None]


def test_a_login_comes_from_netrc_and_stays_with_its_server(server, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    download_url(server.url, tmp_path / "data.tar")
    assert server.logins == ["Basic bWU6c2VjcmV0"]
    server.location = server.url.replace("127.0.0.1", "localhost")
    with pytest.raises(UserError):
        download_url(server.url, tmp_path / "data.tar", attempts=1)
    assert set(server.logins[2:]) == {None}


def test_keys_in_an_address_are_not_repeated_nor_written_down(server, tmp_path):
    server.statuses = [404]
    with pytest.raises(UserError, match=r"data\.tar\?… does not exist") as caught:
        download_url(f"{server.url}?key=secret", tmp_path / "data.tar")
    assert "secret" not in str(caught.value)
    server.drop_after = [300_000]
    with pytest.raises(UserError):
        download_url(f"{server.url}?key=secret", tmp_path / "data.tar", attempts=1)
    assert "secret" not in (tmp_path / "data.tar.part.json").read_text()
