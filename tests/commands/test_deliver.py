"""Delivery of pending records to MLflow."""

from icsd import tracking
from icsd.commands import deliver as module


def test_deliver_sends_what_waits_and_says_what_does_not(monkeypatch):
    monkeypatch.setattr(tracking, "wait_patiently", lambda: None)
    monkeypatch.setattr(tracking, "deliver_pending", lambda root: 2)
    assert "2 runs" in module.deliver(None)
    monkeypatch.setattr(tracking, "deliver_pending", lambda root: 0)
    assert module.deliver(None) is None
