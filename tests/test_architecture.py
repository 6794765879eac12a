import subprocess
import sys

import pytest
from tests.imports import ROOT, SOURCE, imports_of

PACKAGE = SOURCE / "icsd"
# Room -> rooms it may import from. A room is a module or a folder below src/icsd.
ALLOWED = {
    "params": set(),
    "seeds": set(),
    "metrics": set(),
    "weighting": set(),
    "confusion": set(),
    "similarity": set(),
    "files": {"params"},
    "runs": set(),
    "tracking": {"files", "params"},
    "data": {"files", "params", "seeds"},
    "models": {"files", "params"},
    "methods": {"files", "params", "similarity"},
    "training": {"confusion", "data", "methods", "params", "seeds", "similarity"},
    "evaluation": {"confusion", "data", "methods", "similarity", "training"},
    "reporting": {"files", "metrics", "params", "runs", "seeds"},
    "assembly": {
        *(
            "files",
            "params",
            "seeds",
            "metrics",
            "weighting",
            "runs",
            "tracking",
            "data",
            "models",
            "methods",
        ),
        *("training", "evaluation", "reporting"),
    },
}


def room(path):
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


@pytest.mark.parametrize("name", ALLOWED)
def test_imports_point_one_way(name):
    files = [path for path in PACKAGE.rglob("*.py") if room(path) == name]
    assert files, f"there is no room {name}"
    for path in files:
        imported = {room(other) for other in imports_of(path) if other != PACKAGE / "__init__.py"}
        outside = imported - ALLOWED[name] - {name}
        assert not outside, f"{path.relative_to(ROOT)} imports from {sorted(outside)}"


def test_every_room_has_its_rule():
    assert {room(path) for path in PACKAGE.rglob("*.py")} - {"__init__"} == set(ALLOWED)


def test_nobody_imports_the_entries():
    for path in PACKAGE.rglob("*.py"):
        assert not [other for other in imports_of(path) if ROOT / "pipeline" in other.parents]


@pytest.mark.parametrize(
    "module",
    [
        *("icsd.params", "icsd.runs", "icsd.datasets", "icsd.tracking", "icsd.stages.validate"),
        *("icsd.stages.download", "icsd.stages.preprocess", "icsd.stages.report"),
    ],
)
def test_stages_that_train_nothing_start_without_torch(module):
    program = f"import sys; sys.path.insert(0, 'src'); import {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0
