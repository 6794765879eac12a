import shutil
import subprocess
import sys
from textwrap import dedent

import pytest
from tests.imports import ROOT
from tests.project import change

LAZY = {"icsd", "alembic", "torch", "PIL", "mlflow"}
"""Libraries that import more of themselves when they are used."""


def run(program):
    done = subprocess.run(
        [sys.executable, "-c", dedent(program)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_it_starts_no_thread_and_no_device():
    found = run(
        """
        import pipeline, os, threading
        from icsd.stages.preload import preload
        preload()
        import torch
        print(threading.active_count(), len(os.listdir("/proc/self/task")), torch.cuda.is_initialized())
        """
    )
    assert found == ["1", "1", "False"]


def test_without_tracking_mlflow_stays_away():
    found = run(
        """
        import pipeline, sys
        from icsd.stages.preload import preload
        preload(tracking=False)
        print("torch" in sys.modules, "mlflow" in sys.modules)
        """
    )
    assert found == ["True", "False"]


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")
def test_a_fork_imports_no_other_library(taught, empty_store):
    change(taught, tracking={"enabled": True})
    shutil.copy(empty_store, taught / "mlflow.db")
    found = run(
        f"""
        import pipeline, os, sys
        from pathlib import Path
        from icsd.stages.preload import preload
        preload()
        root = Path({str(taught)!r})
        os.chdir(root)
        os.environ["DVC_ROOT"] = str(root)
        known = set(sys.modules)
        if (child := os.fork()) == 0:
            from icsd.stages.evaluation.run import evaluate_students
            from icsd.stages.training.run import train_student
            train_student(root, method="kd", student="resnet18", seed=0)
            evaluate_students(root, method="kd")
            new = {{name.split(".")[0] for name in set(sys.modules) - known}} - sys.stdlib_module_names
            (root / "new").write_text(" ".join(sorted(new)))
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        print("libraries:", (root / "new").read_text())
        """
    )
    assert set(found[found.index("libraries:") + 1 :]) <= LAZY
