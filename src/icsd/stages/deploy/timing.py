"""How long networks and files take on this machine's CPU, and how large they are."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from icsd.deployed import Form as FormRecord
from icsd.deployment.calls import Opened
from icsd.deployment.latency import Form, measure_latency
from icsd.deployment.runners import NetworkRunner, open_file

THREADS = 1
"""CPU threads. How much more threads help depends on the machine; `python -m pipeline bench` compares."""


def form_of_file(file: Path) -> Form:
    """An exported file, to be timed."""
    return Form("", partial(open_file, file), file)


def form_of_network(runner: NetworkRunner, weights: Path) -> Form:
    """A network of this project, to be timed."""

    def opened(threads: int) -> Opened:
        return runner

    return Form("", opened, weights)


def timed(forms: Mapping[str, Form], size: tuple[int, int]) -> dict[str, FormRecord]:
    """File sizes and latencies of calls, by the given names; the calls take turns on the same machine.

    Args:
        forms: From :func:`form_of_file` and :func:`form_of_network`.
        size: Height and width of the images as the networks see them.

    Raises:
        UserError: A network cannot take images of this size.
    """
    named = [replace(form, name=name) for name, form in forms.items()]
    found = measure_latency(named, [size], threads=[THREADS], memory=False)
    return {
        each.form: FormRecord(bytes=each.file_bytes or 0, p50_ms=each.p50_ms, p95_ms=each.p95_ms)
        for each in found
    }
