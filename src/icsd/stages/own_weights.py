"""``networks.*.weights``: whole networks that are loaded from files, checked before anything runs."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from icsd.errors import UserError, did_you_mean, refuse
from icsd.params import Params, TeacherNetwork
from icsd.runs import RunKey
from icsd.stages.dataset import dataset_in
from icsd.stages.initial_weights import located, source_of
from icsd.stages.networks import architecture_of, block_name, network_of, networks_of_grid
from icsd.stages.registered import is_registered, pin

if TYPE_CHECKING:
    from icsd.models.contract import Network


def pin_registered(root: Path, params: Params) -> None:
    """Download the networks of MLflow's registry that the grid starts from.

    Raises:
        UserError: A network cannot be fetched.
    """
    for key in networks_of_grid(params).values():
        address = network_of(params, key).weights
        if address is not None and is_registered(address):
            pin(root, address, setting=f"{block_name(key)}.weights")


def class_map_in(params: Params) -> list[tuple[int, ...]] | None:
    """The teacher's output channels for each class of the dataset; None without ``teacher.classes``.

    Raises:
        UserError: A class of the dataset has no channels, or a named class does not exist.
    """
    teacher: TeacherNetwork = params.networks.teacher
    if teacher.classes is None:
        return None
    names = dataset_in(params.data).classes
    problems = [
        f"networks.teacher.classes: there is no class {name!r}{did_you_mean(name, list(names))}"
        for name in teacher.classes
        if name not in names
    ]
    if missing := [name for name in names if name not in teacher.classes]:
        problems.append(
            f"networks.teacher.classes: lacks {', '.join(missing)}; a teacher without a channel for a class "
            "would teach that it is never there, so give every class of the dataset one"
        )
    refuse(problems)
    return [teacher.channels_of(name) for name in names]


def check_own_weights(root: Path, params: Params) -> None:
    """Check before any training that every network of the grid can be loaded from its ``weights``.

    Raises:
        UserError: One line per network that cannot; mistakes in its map of classes have their own lines.
    """
    refuse(_problems(root, params))


def _problems(root: Path, params: Params) -> Iterator[str]:
    for key in networks_of_grid(params).values():
        if network_of(params, key).weights is None:
            continue
        import torch  # slow to import, and most commands do without it

        try:
            with torch.device("meta"):
                initial_network(root, params, key)
        except UserError as error:
            yield str(error)
        except (OSError, ValueError) as error:  # a path that the system does not accept
            yield f"{block_name(key)}.weights: {error}"


def initial_network(root: Path, params: Params, key: RunKey) -> "Network":
    """A network before its first step: new, or from its ``weights``. The caller seeds torch.

    Raises:
        UserError: The file of weights cannot be used; the message says why.
    """
    from icsd.models.own_weights import left_out_in_words, load_own  # imports torch

    network, classes = network_of(params, key), dataset_in(params.data).classes
    build = partial(_new_network, root, params, key)
    if network.weights is None:
        return build(params.data.classes)
    loaded, left_out = load_own(
        build,
        Path(str(located(root, network.weights))),
        num_classes=params.data.classes,
        load=network.load,
        classes=class_map_in(params) if key.is_teacher else None,
        names=classes,
        block=block_name(key),
    )
    for line in left_out_in_words(left_out):
        print(f"{key.title}: {network.weights}: {line}", flush=True)
    return loaded


def _new_network(root: Path, params: Params, key: RunKey, num_classes: int) -> "Network":
    from icsd.models.networks import new_network

    return new_network(
        replace(architecture_of(root, params, key), num_classes=num_classes),
        pretrained=located(root, source_of(params, key)),
        dropout=params.networks.dropout,
        setting=block_name(key),
    )
