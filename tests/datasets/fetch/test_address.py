import pytest

from icsd.datasets.fetch.address import check_no_login, check_protected, is_url, name_of, shown
from icsd.errors import UserError


def test_names_come_from_the_address():
    assert name_of("https://host/a/VOC%202012.tar?download=1") == "VOC 2012.tar"
    with pytest.raises(UserError, match="names no file"):
        name_of("https://host/")


@pytest.mark.parametrize("source", ["https://host/x", "HTTP://host/x"])
def test_addresses_are_told_from_paths(source):
    assert is_url(source)
    assert not is_url("data/https/x.tar")
    assert not is_url("C:\\data\\x.zip")


def test_what_is_shown_gives_nothing_away():
    url = "https://user:pa:ss@host:8443/a/x.tar?X-Amz-Signature=secret#part"
    assert shown(url) == "https://host:8443/a/x.tar?…"


@pytest.mark.parametrize(
    "url", ["https://user:secret@host/x", "https://secret@host/x", "https://user:se@cret@host/x"]
)
def test_credentials_are_refused_and_not_repeated(url):
    with pytest.raises(UserError, match=r"dvc\.lock.*machine host login") as caught:
        check_no_login(url)
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["https://[::1/x", "https://host:port/x", "https:///x"])
def test_addresses_that_are_none_are_refused(url):
    for check in (check_no_login, check_protected, shown, name_of):
        with pytest.raises(UserError, match=r"data\.source"):
            check(url)


def test_without_protection_there_must_be_a_digest():
    with pytest.raises(UserError, match="not protected"):
        check_protected("http://host/x.tar")
    check_protected("http://host/x.tar", sha256="aa")
    check_protected("https://host/x.tar")
    for host in ("127.0.0.1:8000", "localhost", "[::1]:8000"):
        check_protected(f"http://{host}/x.tar")
