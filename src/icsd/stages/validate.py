"""Stage ``validate``: mistakes in the parameters are found here, in seconds, before any work."""

from pathlib import Path
from typing import Any

from icsd.datasets import DATASETS
from icsd.datasets.fetch.choosing import check_addresses
from icsd.errors import UserError, did_you_mean
from icsd.files import folder_written_whole, write_json
from icsd.params import Params, load_params
from icsd.stages.chosen_weights import chosen_params, tuned_methods
from icsd.stages.code import code_of_method
from icsd.yaml_files import yaml_text


def checked_params(root: Path, *, use_tuned: bool = True) -> Params:
    """The tree of ``root``, checked as far as possible without torch: every stage starts with it.

    Args:
        root: The repository.
        use_tuned: Replace the methods' own weights by tuned ones if ``weights: tuned`` asks for it.

    Raises:
        UserError: A mistake in params.yaml, the preset or the tuned weights.
    """
    params = chosen_params(root) if use_tuned else load_params(root)
    if params.data.reader not in DATASETS:
        raise UserError(
            f"data.reader: there is no dataset {params.data.reader!r}"
            f"{did_you_mean(params.data.reader, sorted(DATASETS))}"
        )
    classes = DATASETS[params.data.reader].classes
    if params.data.classes != len(classes):
        raise UserError(
            f"data.classes: is {params.data.classes}, but {params.data.reader} has {len(classes)} classes "
            f"({', '.join(classes)}); set it to {len(classes)}"
        )
    if (params.data.reader == "shapes") != (params.data.generated is not None):
        raise UserError("data.generated: the reader `shapes` needs it, and no other reader takes it")
    # Here already, as DVC writes the parameters of a stage that ended well to dvc.lock, passwords and all.
    check_addresses(
        params.data.source, [source.model_dump(exclude_none=True) for source in params.data.sources]
    )
    return params


def validate(root: Path, *, show: bool) -> None:
    """Check everything, including the methods' blocks against their classes, and write the stage's outputs.

    ``params.json`` has the same bytes whatever the values are, so that a valid change makes no other stage
    stale. ``methods/<name>.json`` holds the digests of a method's source files. Training depends on them
    through this file alone, so editing one method leaves the students of the others up to date. The same
    holds for a method's tuned weights, which are in the file under ``weights: tuned``.

    Args:
        root: The repository.
        show: Print the resolved tree.

    Raises:
        UserError: A mistake in the parameters.
    """
    params = checked_params(root)
    from icsd.methods import parse_block  # imports torch, which simpler mistakes need not wait for

    for name, method in params.methods.items():
        parse_block(name, method.block)
    if show:
        print(yaml_text(params.model_dump()), end="")
    tuned = tuned_methods(root, params)
    with folder_written_whole(root / "data" / params.dataset / "validated") as folder:
        write_json(folder / "params.json", {"valid": True})
        for name, method in params.methods.items():
            content: dict[str, Any] = {"code": code_of_method(name, method.block)}
            if name in tuned:
                content["tuned"] = tuned[name].student_inputs
            write_json(folder / "methods" / f"{name}.json", content)
