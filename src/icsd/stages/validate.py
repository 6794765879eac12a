"""Stage ``validate``: finds mistakes in the parameters within seconds, before any work starts."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from icsd.datasets.fetch.choosing import check_addresses
from icsd.errors import UserError
from icsd.files import folder_written_whole, write_json
from icsd.params import Data, Params, load_params, parse_params, read_tree, refuse_endless
from icsd.runs import validated_folder
from icsd.stages.chosen_weights import chosen_params, tuned_methods
from icsd.stages.code import code_of_method
from icsd.stages.dataset import dataset_in
from icsd.stages.execution import RESOLVED, params_of_execution
from icsd.stages.exports import check_exports
from icsd.stages.initial_weights import (
    check_initial_weights,
    digest_of_file,
    digest_of_weights,
    digests_of_network,
    link_files,
)
from icsd.stages.inputs import inputs_of_stages
from icsd.stages.networks import check_networks, networks_of_grid
from icsd.stages.own_weights import check_own_weights, pin_registered
from icsd.stages.paces import paces_of
from icsd.yaml_files import yaml_text


def checked_params(root: Path, *, use_tuned: bool = True) -> Params:
    """The parameter tree of this process, checked as far as possible without torch.

    Every stage starts with this call; under DVC it gets what ``validate`` wrote (``icsd.stages.execution``).

    Args:
        root: The repository.
        use_tuned: Replace the methods' own weights by tuned ones if ``weights: tuned`` asks for it.

    Raises:
        UserError: A mistake in params.yaml, the preset or the tuned weights.
    """
    params = _checked(params_of_execution(root) or load_params(root))
    return chosen_params(root, params) if use_tuned else params


def _checked(params: Params) -> Params:
    data = params.data
    _together(partial(_check_dataset, data), partial(_check_addresses, data))
    return params


def _check_dataset(data: Data) -> None:
    classes = dataset_in(data).classes
    if data.classes != len(classes):
        raise UserError(
            f"data.classes: is {data.classes}, but {data.reader} has {len(classes)} classes "
            f"({', '.join(classes)}); set it to {len(classes)}"
        )


def _check_addresses(data: Data) -> None:
    # Checked this early because DVC stores the inputs of every successful stage, passwords included.
    check_addresses(data.source, [source.model_dump(exclude_none=True) for source in data.sources])


def _together(*checks: Callable[[], Any]) -> list[Any]:
    """The results of all checks, or one error with the lines of all that failed."""
    results: list[Any] = []
    lines: dict[str, str] = {}
    for check in checks:
        try:
            results.append(check())
        except UserError as error:
            for line in str(error).splitlines():
                lines.setdefault(line.strip(), line)
    if lines:
        raise UserError("\n".join(lines.values()))
    return results


def validate(root: Path, *, show: bool) -> None:
    """Check everything, including the methods' blocks against their classes, and write the stage's outputs.

    ``params.json`` holds all values in use. No stage depends on it: each has its own file with the values
    that can change its result. A student's file also has the digests of its method's source files, so that
    editing one method leaves the students of the others up to date, and, under ``weights: tuned``, how its
    weights were tuned.

    Args:
        root: The repository.
        show: Print the resolved tree.

    Raises:
        UserError: A mistake in the parameters.
    """
    tree, source = read_tree(root)
    params = check_tree(root, tree, source)
    if show:
        print(yaml_text(params.model_dump()), end="")
    networks = networks_of_grid(params)
    inputs = inputs_of_stages(
        params,
        of_methods=_of_methods(root, params),
        initial_weights={name: digest_of_file(root, params, key) for name, key in networks.items()},
        own_weights={name: digest_of_weights(root, params, key) for name, key in networks.items()},
        of_networks={name: digests_of_network(root, params, key) for name, key in networks.items()},
        paces=paces_of(root, params),
    )
    with folder_written_whole(root / validated_folder(params.dataset)) as folder:
        write_json(folder / RESOLVED, tree)
        for file, content in inputs.items():
            write_json(folder / file, content)


def check_tree(root: Path, tree: Mapping[str, Any], source: str) -> Params:
    """Run all checks on a parameter tree from ``read_tree``.

    Raises:
        UserError: Lists every mistake. If values are wrong that later checks need, these are not made.
    """
    refuse_endless(tree, source)
    params: Params
    params, _ = _together(partial(parse_params, tree, source), partial(_check_methods, tree.get("methods")))
    pin_registered(root, params)
    link_files(root, params)
    _, params, *_ = _together(
        partial(_checked, params),
        partial(chosen_params, root, params),
        partial(check_initial_weights, root, params),
        partial(check_networks, root, params),
        partial(check_own_weights, root, params),
        partial(paces_of, root, params),
        partial(check_exports, params),
    )
    return params


def _check_methods(blocks: object) -> None:
    from icsd.methods import parse_block  # imports torch, which is slow, and most commands do without it

    blocks = blocks if isinstance(blocks, Mapping) else {}
    _together(
        *(
            partial(parse_block, name, block)
            for name, block in blocks.items()
            if isinstance(block, Mapping) and all(isinstance(key, str) for key in (name, *block))
        )
    )


def _of_methods(root: Path, params: Params) -> dict[str, dict[str, Any]]:
    """Method of the grid -> what determines its students in addition to the parameters."""
    tuned = tuned_methods(root, params)
    return {
        name: {"code": code_of_method(name, params.methods[name].block)}
        | ({"tuned": tuned[name].student_inputs} if name in tuned else {})
        for name in params.grid.methods
    }
