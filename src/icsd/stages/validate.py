"""Stage ``validate``: mistakes in the parameters are found here, in seconds, before any work."""

from pathlib import Path
from typing import Any

from icsd.datasets import DATASETS
from icsd.datasets.fetch.choosing import check_addresses
from icsd.errors import UserError, did_you_mean
from icsd.files import folder_written_whole, write_json
from icsd.params import PARAMS, Params, load_params, parse_params, preset_name, read_tree
from icsd.runs import validated_folder
from icsd.stages.chosen_weights import chosen_params, tuned_methods
from icsd.stages.code import code_of_method
from icsd.stages.execution import RESOLVED, params_of_execution
from icsd.stages.initial_weights import (
    check_initial_weights,
    digest_of_file,
    link_files,
    networks_of_grid,
)
from icsd.stages.inputs import inputs_of_stages
from icsd.yaml_files import yaml_text


def checked_params(root: Path, *, use_tuned: bool = True) -> Params:
    """The tree that this process works with, checked as far as possible without torch.

    Every stage starts with it, and has what ``validate`` wrote; see ``icsd.stages.execution``.

    Args:
        root: The repository.
        use_tuned: Replace the methods' own weights by tuned ones if ``weights: tuned`` asks for it.

    Raises:
        UserError: A mistake in params.yaml, the preset or the tuned weights.
    """
    params = _checked(params_of_execution(root) or load_params(root))
    return chosen_params(root, params) if use_tuned else params


def _checked(params: Params) -> Params:
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

    ``params.json`` holds every value that is used. No stage depends on it: each has a file of its own with
    the values that can change its result. That of a student also has the digests of its method's source
    files, so editing one method leaves the students of the others up to date, and under ``weights: tuned``
    how its weights were tuned.

    Args:
        root: The repository.
        show: Print the resolved tree.

    Raises:
        UserError: A mistake in the parameters.
    """
    tree = read_tree(root)
    own = _checked(parse_params(tree, source=f"{PARAMS} (with {preset_name(tree['dataset'])})"))
    params = chosen_params(root, own)
    from icsd.methods import parse_block  # imports torch, which simpler mistakes need not wait for

    for name, method in params.methods.items():
        parse_block(name, method.block)
    if show:
        print(yaml_text(params.model_dump()), end="")
    link_files(root, params)
    check_initial_weights(root, params)
    inputs = inputs_of_stages(
        params,
        of_methods=_of_methods(root, params),
        initial_weights={
            name: digest_of_file(root, params, key) for name, key in networks_of_grid(params).items()
        },
    )
    with folder_written_whole(root / validated_folder(params.dataset)) as folder:
        write_json(folder / RESOLVED, tree)
        for file, content in inputs.items():
            write_json(folder / file, content)


def _of_methods(root: Path, params: Params) -> dict[str, dict[str, Any]]:
    """What determines the students of each of the grid's methods besides the parameters."""
    tuned = tuned_methods(root, params)
    return {
        name: {"code": code_of_method(name, params.methods[name].block)}
        | ({"tuned": tuned[name].student_inputs} if name in tuned else {})
        for name in params.grid.methods
    }
