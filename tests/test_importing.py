import gc
import importlib
import sys
from types import ModuleType

import pytest

from icsd.importing import lasting, uncollected


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
