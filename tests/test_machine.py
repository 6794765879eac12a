import os
import platform
from pathlib import Path

import pytest

from icsd import machine


def test_cores_are_those_that_the_process_may_use():
    assert 1 <= machine.cores() <= (os.cpu_count() or 1)


def test_without_affinity_all_cores_are(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert machine.cores() == 6


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("processor\t: 0\nmodel name\t: A CPU @ 2 GHz\nmodel name\t: A CPU @ 2 GHz\n", "A CPU @ 2 GHz"),
        ("processor\t: 0\nFeatures\t: fp asimd\n", "arm"),  # as ARM's kernels tell it
    ],
)
def test_the_model_is_what_the_system_tells(text, model, monkeypatch):
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: text)
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "arm")
    assert machine.processor() == model


def test_without_a_file_of_processors_python_tells(monkeypatch):
    def missing(*_, **__):
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    monkeypatch.setattr(platform, "processor", lambda: "i386")
    assert machine.processor() == "i386"


@pytest.mark.parametrize(
    ("text", "has"),
    [
        ("flags\t\t: fpu avx2 avx512f\n", False),
        ("flags\t\t: fpu avx2 avx512_bf16\n", True),
        ("flags\t\t: fpu amx_bf16 amx_tile\n", True),
        ("Features\t: fp asimd bf16 sb\n", True),
        ("Features\t: fp asimd\n", False),
        ("processor\t: 0\n", None),
    ],
)
def test_bfloat16_is_among_the_instructions(text, has, monkeypatch):
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: text)
    assert machine.has_bfloat16() is has
