import gc

import pytest

from icsd.importing import uncollected


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
