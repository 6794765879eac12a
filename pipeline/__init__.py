"""The one entry, ``python -m pipeline <command>``: arguments in, exit code out; ``icsd`` does the work."""

import os
import sys
from pathlib import Path

from pipeline.environment import check_python

check_python()  # an older one cannot read what follows

from pipeline.compiler import LateCompiler  # noqa: E402
from pipeline.spellings import FormerModules  # noqa: E402

# The package is found next to this folder and not through an installation: inside DVC's temporary
# experiments an installed package would be the workspace's code, not the experiment's.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

# Threads that wait must not spin: where another process wants the core, spinning costs more than it saves.
# OpenMP reads this once, when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# MLflow draws a bar per file that it fetches, of a few megabytes, between the lines of a command.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

sys.meta_path.insert(0, LateCompiler())
sys.meta_path.append(FormerModules())
