import pytest
from tests.pipeline.kills import COMMANDS, make_reference, play

pytestmark = [
    pytest.mark.slow,
    # SQLAlchemy deprecates a loader strategy that MLflow 3.17 uses on every start.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return make_reference(tmp_path_factory.mktemp("kills") / "reference")


@pytest.mark.parametrize(("command", "seed"), [*zip(COMMANDS, (1, 2), strict=True)])
def test_a_pipeline_killed_at_random_moments_ends_as_if_it_had_not_been(reference, tmp_path, command, seed):
    """One round with each command of the campaign that ``benchmarks/kills.py`` plays at length."""
    round_ = play(reference, tmp_path / "round", command=command, seed=seed, kills=6)
    assert len(round_.kills) > 3
    assert round_.faults == []
