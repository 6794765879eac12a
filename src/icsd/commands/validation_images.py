"""Checks that there are validation images, neither trained on nor reported, to compare trainings on."""

from pathlib import Path

from icsd.data.prepared import PreparedData
from icsd.errors import UserError
from icsd.params import Params, has_validation
from icsd.runs import data_folder


def check_has_validation(params: Params) -> None:
    """Check that the parameters ask for validation images.

    Raises:
        UserError: They do not.
    """
    if not has_validation(params.data):
        raise UserError(
            f"{params.dataset} has no validation images, and the reported ones must not be tuned on: set "
            "data.holdout, the number of training images to keep for validation, and run "
            "`dvc repro train_teacher`"
        )


def check_validation_is_prepared(root: Path, params: Params) -> None:
    """Check that the prepared data have validation images.

    Raises:
        UserError: They do not.
    """
    if not PreparedData(root / data_folder(params.dataset)).has_validation:
        raise UserError(
            "data.holdout: the data were prepared without validation images; run `dvc repro train_teacher`"
        )
