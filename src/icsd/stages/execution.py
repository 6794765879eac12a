"""One execution uses one set of parameters, even if params.yaml is edited while it runs.

DVC starts each stage as its own process, hours apart. Under DVC a stage therefore uses the values that
``validate`` wrote at the beginning, which are also the ones that dvc.lock records; started by hand, it reads
params.yaml.
"""

import json
import os
from pathlib import Path

from icsd.errors import UserError
from icsd.params import PARAMS, Params, load_params, parse_params
from icsd.runs import validated_folder
from icsd.yaml_files import read_yaml

RESOLVED = "params.json"
"""The file with all parameter values of an execution, in the folder that ``validate`` writes."""


def in_execution() -> bool:
    """Whether DVC started this process as a stage of an execution."""
    return "DVC_STAGE" in os.environ


def params_of_execution(root: Path) -> Params | None:
    """The parameters that ``validate`` wrote for the execution that this process is a stage of.

    Returns:
        The parameters; None if DVC did not start this process.

    Raises:
        UserError: There are none for the dataset in params.yaml, or the file is damaged.
    """
    if not in_execution():
        return None
    file = validated_folder(str(read_yaml(root / PARAMS).get("dataset"))) / RESOLVED
    try:
        params = parse_params(json.loads((root / file).read_bytes()), file.as_posix())
    except (OSError, ValueError):
        raise UserError(f"{file}: not as `validate` writes it; run `dvc repro -f validate`") from None
    if _differs(root, params):
        print(f"note: {PARAMS} was changed after `validate` ran; this stage keeps to {file}", flush=True)
    return params


def _differs(root: Path, params: Params) -> bool:
    try:
        return load_params(root) != params
    except UserError:  # params.yaml is being edited
        return True
