import logging

import pytest

from icsd.tracking.messages import log, without_secrets

ADDRESSES = {
    "http://ann:hunter22@host:5000": ("ann", "hunter22"),
    "https://ann:hunt%40er%2F@host/mlflow": ("hunt%40er%2F", "hunt@er/"),
    "http://ann:hunt@er22@host": ("er22@host", "hunt@er22"),
    "http://ann:hunt/er22@host": ("hunt/er22",),
    "postgresql+psycopg2://ann:hunter22@host/db": ("ann", "hunter22"),
    "postgresql://host/db?user=ann&password=hunter22&sslmode=off": ("hunter22",),
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_credential_of_the_address_is_shown(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    message = f"API request to {address}/api/2.0 failed; {ADDRESSES[address][-1]} was sent"
    for secret in ADDRESSES[address]:
        assert secret not in without_secrets(message)
    assert "host" in without_secrets(message)


def test_neither_is_a_password_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter22")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
    assert without_secrets("Basic hunter22, Bearer t0ken") == "Basic ***, Bearer ***"


def test_a_warning_is_one_line_of_bounded_length(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        log.warning("refused: %s", "INSERT\nINTO runs\n" * 1000)
    assert len(caplog.messages[0]) < 600
    assert "\n" not in caplog.messages[0]
