import pytest

from icsd.datasets.base import check_split
from icsd.errors import UserError


def test_an_unknown_split_lists_the_known_ones():
    with pytest.raises(UserError, match="no split 'dev'; it has train, val"):
        check_split("voc2012", "dev", ["train", "val"])
