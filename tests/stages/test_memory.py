import ctypes
from types import SimpleNamespace

import pytest

from icsd.stages import memory


@pytest.fixture
def calls(monkeypatch):
    """What the C library's ``mallopt`` is called with."""
    found: list[tuple[int, int]] = []
    library = SimpleNamespace(mallopt=lambda *values: found.append(values))
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    for name in memory.OF_A_PERSON:
        monkeypatch.delenv(name, raising=False)
    return found


def test_nothing_is_mapped_anew_and_nothing_given_back(calls):
    memory.keep_freed_memory()
    assert dict(calls) == {memory.M_MMAP_THRESHOLD: memory.LARGEST, memory.M_TRIM_THRESHOLD: memory.LARGEST}


def test_glibc_takes_the_settings():
    mallopt = getattr(ctypes.CDLL(None), "mallopt", lambda *_: 1)  # a C library may have none
    assert mallopt(memory.M_MMAP_THRESHOLD, memory.LARGEST) == 1
    assert mallopt(memory.M_TRIM_THRESHOLD, memory.LARGEST) == 1


@pytest.mark.parametrize("name", memory.OF_A_PERSON)
def test_what_the_environment_says_of_the_allocator_counts(name, calls, monkeypatch):
    monkeypatch.setenv(name, "anything")
    memory.keep_freed_memory()
    assert not calls


def test_a_c_library_without_such_settings_is_left_alone(calls, monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    memory.keep_freed_memory()
    assert not calls
