"""A migrated, empty store per test, copied from one made once; and the runs that a store holds."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from icsd.tracking import Tracker, delivery, open_tracker, tracker
from icsd.tracking.patience import PATIENCE

HERE = Path(__file__).parent
# MLflow 3.17's own queries use a loader that SQLAlchemy 2.1 deprecates.
MLFLOW_DEPRECATION = "ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.filterwarnings(MLFLOW_DEPRECATION))


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DVC_ROOT", "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV", "DVC_STAGE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(delivery, "PUSH_EVERY", 0.0)


@pytest.fixture
def root(tmp_path: Path, empty_store: Path) -> Path:
    shutil.copy(empty_store, tmp_path)
    return tmp_path


@pytest.fixture
def track(root: Path) -> Callable[..., Tracker]:
    """Opens a tracker on the test's store; ``name`` is also its state folder."""

    def open_(
        name: str = "kd · resnet18 · seed 0", *, group: str = "workspace-1", **options: object
    ) -> Tracker:
        settings = {"system_metrics": False, "tags": {"icsd.method": "kd"}, **options}
        return open_tracker(
            root=root,
            experiment="icsd-shapes",
            group=group,
            name=name,
            state=root / ".state" / name,
            **settings,  # type: ignore[arg-type]
        )

    return open_


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits for MLflow without a limit, also at the end of a killed run."""
    monkeypatch.setattr(tracker, "_SECONDS_TO_END_WHEN_KILLED", None)
    monkeypatch.setattr(PATIENCE, "seconds", math.inf)
