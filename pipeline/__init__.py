"""The entry point, ``python -m pipeline <command>``: arguments and exit codes; ``icsd`` does the work."""

import os
import sys
from pathlib import Path

from pipeline.environment import check_python

check_python()  # an older Python cannot parse the modules imported below

from pipeline.compiler import LateCompiler  # noqa: E402
from pipeline.spellings import FormerModules  # noqa: E402

# Import the package from next to this folder and not from an installation: in DVC's temporary experiments an
# installed package would be the workspace's code, not the experiment's.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

# Waiting threads must not spin: if another process needs the core, spinning costs more than it saves. OpenMP
# reads this once, when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# MLflow would print a progress bar for every file it downloads, between a command's own lines.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

sys.meta_path.insert(0, LateCompiler())
sys.meta_path.append(FormerModules())
