import gc
import importlib
import importlib.metadata
import sys
from types import ModuleType

import pytest

from icsd.importing import lasting, plugins_listed_once, uncollected


@pytest.mark.parametrize("before", [True, False])
def test_nothing_is_collected_inside_and_afterwards_it_is_as_before(before):
    former = gc.isenabled()
    (gc.enable if before else gc.disable)()
    try:
        with uncollected():
            assert not gc.isenabled()
            with uncollected():
                pass
            assert not gc.isenabled()
        assert gc.isenabled() is before
        with pytest.raises(ImportError), uncollected():
            raise ImportError
        assert gc.isenabled() is before
    finally:
        (gc.enable if former else gc.disable)()


@pytest.fixture
def thawed():
    gc.unfreeze()
    yield
    gc.unfreeze()


def test_what_was_imported_is_never_visited_again(thawed, monkeypatch):
    with lasting():
        monkeypatch.setitem(sys.modules, "an_imported_module", ModuleType("an_imported_module"))
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 10_000


def test_what_imports_nothing_may_become_garbage(thawed):
    with lasting():
        import gc as known  # noqa: F401
    assert gc.get_freeze_count() == 0
    with pytest.raises(ImportError), lasting():
        importlib.import_module("no_such_module")
    assert gc.get_freeze_count() == 0
    assert gc.isenabled()


def test_plugins_are_read_once_and_are_pythons_own(monkeypatch):
    groups = ("console_scripts", "pytest11", "no.such.group")
    expected = [list(importlib.metadata.entry_points(group=group)) for group in groups]
    read = importlib.metadata.entry_points
    calls = []

    def counted():
        calls.append(1)
        return read()

    monkeypatch.setattr(importlib.metadata, "entry_points", counted)
    before = importlib.metadata.entry_points
    with plugins_listed_once(), plugins_listed_once():
        assert [list(importlib.metadata.entry_points(group=group)) for group in groups] == expected
        assert [point.name for point in importlib.metadata.entry_points(name="pytest")] == ["pytest"]
        assert set(importlib.metadata.entry_points().groups) >= set(groups[:2])
    assert calls == [1]
    assert importlib.metadata.entry_points is before
    with pytest.raises(ImportError), plugins_listed_once():
        raise ImportError
    assert importlib.metadata.entry_points is before
