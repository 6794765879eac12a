"""Imports point one way, files stay short, and what trains nothing starts without torch."""

import ast
import subprocess
import sys

import pytest
from tests.imports import ROOT, SOURCE, names_imported_by, runtime_imports_of

PACKAGE = SOURCE / "icsd"
LONGEST = 300
GROUND = {
    *("arrays", "csv_files", "deployed", "errors", "files", "machine", "recorded_params", "records"),
    *("runs", "yaml_files"),
}
# Room -> rooms it may import from. A room is a module or a folder below src/icsd; the folders of stages/ and
# the stages whose code no other stage shares are rooms of their own.
ALLOWED = {
    "errors": set(),
    "machine": set(),
    "runs": set(),
    "files": {"errors"},
    "yaml_files": {"errors"},
    "csv_files": {"errors"},
    "recorded_params": set(),
    "records": {"errors", "files", "recorded_params", "runs"},
    "deployed": {"records"},
    "arrays": {"errors", "files", "runs"},
    "importing": set(),
    "programs": set(),
    "core": set(),
    "data": {"core", "errors", "files", "machine", "records"},
    "datasets": {"core", "data", "errors", "files", "records"},
    "models": {"core", "errors", "files", "runs"},
    "params": {"core", "errors", "models", "runs", "yaml_files"},
    "methods": {"core", "errors", "params"},
    "monitoring": {"core", "data"},
    "training": {"core", "data", "errors", "files"},
    "evaluation": {"core", "data", "records"},
    "deployment": {"core", "data", "deployed", "errors", "files", "models", "programs", "records"},
    "tracking": {"errors", "files", "importing", "programs", "runs"},
    "reporting": {"core", "models", *GROUND},
    "stages.registered": {"errors", "files", "runs", "tracking"},
    "stages": {"stages.registered", "core", "data", "datasets", "methods", "models", "params", *GROUND},
    "stages.recording": {
        *("arrays", "core", "data", "datasets", "deployed", "errors", "models", "monitoring", "params"),
        *("records", "reporting", "runs", "stages", "tracking", "training", "yaml_files"),
    },
    "stages.download": {"datasets", "files", "runs", "stages"},
    "stages.preprocess": {"datasets", "errors", "files", "params", "runs", "stages"},
    "stages.training": {
        *("core", "data", "methods", "models", "params", "training"),
        *("stages", "stages.recording", *GROUND),
    },
    "stages.evaluation": {
        *("core", "data", "evaluation", "models", "params"),
        *("stages", "stages.recording", *GROUND),
    },
    "stages.deploy": {
        *("core", "data", "deployment", "models", "params", "reporting"),
        *("stages", "stages.recording", *GROUND),
    },
    "stages.report": {
        *("datasets", "params", "reporting", "tracking", "stages", "stages.recording", *GROUND),
    },
    "commands": {
        *("core", "data", "datasets", "models", "params", "reporting", "tracking", "training", *GROUND),
        *("deployment", "programs", "stages", "stages.registered"),
        *("stages.evaluation", "stages.recording", "stages.training"),
    },
}


def room(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    inner = ".".join(parts[:2])
    return inner if inner in ALLOWED else parts[0]


@pytest.mark.parametrize("name", ALLOWED)
def test_imports_point_one_way(name):
    files = [path for path in PACKAGE.rglob("*.py") if room(path) == name]
    assert files, f"there is no room {name}"
    for path in files:
        imported = {room(other) for other in runtime_imports_of(path) if other != PACKAGE / "__init__.py"}
        outside = imported - ALLOWED[name] - {name}
        assert not outside, f"{path.relative_to(ROOT)} imports from {sorted(outside)}"


def test_every_room_has_its_rule():
    assert {room(path) for path in PACKAGE.rglob("*.py")} - {"__init__"} == set(ALLOWED)


def test_the_rules_have_no_circle():
    order = list(ALLOWED)
    for name, allowed in ALLOWED.items():
        assert all(order.index(other) < order.index(name) for other in allowed), name


def test_nobody_imports_the_entries():
    for path in PACKAGE.rglob("*.py"):
        assert "pipeline" not in {name.split(".")[0] for name in names_imported_by(path)}


def test_a_file_is_one_idea_and_fits_a_few_screens():
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.rglob("*.py")}
    assert {path.relative_to(ROOT).as_posix(): n for path, n in lines.items() if n >= LONGEST} == {}


WRITING = {"write_text", "write_bytes", "savefig", "savez", "savez_compressed", "to_csv", "save_file"}
# Files that write in place: into a folder that nobody has seen yet, or below .state/.
IN_PLACE = {
    *("commands/run/node.py", "commands/run/under_slurm.py"),  # into a clone of its own, and a log
    *("commands/run/execution.py", "commands/run/forks.py", "commands/run/local.py"),
    *("data/shards.py", "datasets/archives.py", "datasets/fetch/packing.py", "datasets/fetch/transfer.py"),
    *("tracking/creation.py", "tracking/journal.py"),
}


def writes_in_place(call):
    """Whether a call opens a file to write to it, by its name; functions called by name are files.py's."""
    if not isinstance(call.func, ast.Attribute | ast.Name):
        return False
    name = call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id
    if name == "open":
        given = [*call.args, *(keyword.value for keyword in call.keywords)]
        modes = [node.value for arg in given for node in ast.walk(arg) if isinstance(node, ast.Constant)]
        return any(isinstance(mode, str) and set(mode) & set("wax+") and len(mode) < 4 for mode in modes)
    if not isinstance(call.func, ast.Attribute) or name not in WRITING:
        return False
    first = call.args[0] if call.args else None  # in memory, or without a place at all
    return first is not None and not (isinstance(first, ast.Name) and first.id in {"buffer", "content"})


def test_files_are_replaced_and_never_written_in_place():
    """An output may be a hard link to an object of DVC's cache, and a process may be killed at any moment."""
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and writes_in_place(node)
    }
    assert found - {"files.py"} == IN_PLACE
    assert "files.py" in found


@pytest.mark.parametrize(
    "module",
    [
        *("icsd.params", "icsd.runs", "icsd.datasets", "icsd.tracking", "icsd.stages.validate"),
        *("icsd.stages.download", "icsd.stages.preprocess", "icsd.stages.report", "icsd.stages.deploy.run"),
    ],
)
def test_stages_that_train_nothing_start_without_torch(module):
    program = f"import sys; sys.path.insert(0, 'src'); import {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("module", ["icsd.stages.training.run", "icsd.stages.evaluation.run"])
def test_stages_that_train_and_evaluate_start_with_no_more_than_they_need(module):
    late = "mlflow pandas matplotlib seaborn sympy timm transformers"
    late += " scipy.optimize torch._inductor torch._dynamo.eval_frame"
    program = f"import pipeline, sys, {module}; sys.exit(' '.join(set({late.split()}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stderr.strip() == ""
