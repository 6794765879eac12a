"""A network on disk: a safetensors file with the network's architecture in its header."""

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from icsd.errors import UserError, first_line
from icsd.files import write_bytes
from icsd.models.class_map import class_map_of, map_classes
from icsd.models.contract import MissingCode, Network, read_architecture
from icsd.models.networks import new_network
from icsd.runs import advice_for

KEY = "architecture"
CLASS_MAP = "class_map"
"""Key in the architecture, present if the network's own classes are not the dataset's."""


def save_weights(model: Network, path: Path) -> None:
    """Write ``model`` to ``path`` atomically; the same weights give the same bytes."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    # A single key, because safetensors writes several in an order that differs between processes.
    architecture = model.architecture.described()
    if class_map := class_map_of(model):
        architecture[CLASS_MAP] = class_map
    metadata = {KEY: json.dumps(architecture, sort_keys=True)}
    write_bytes(path, save(tensors, metadata))


def load_network(path: Path) -> Network:
    """Load a network written by ``save_weights``, on the CPU.

    Raises:
        UserError: The file is missing, damaged or not written by ``save_weights``, or the library of its
            network is not installed.
    """
    if not path.is_file():
        raise UserError(f"there is no network at {path}: run the stage that trains it.")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dictionary
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} is not a readable safetensors file ({error}); {advice_for(path)}") from error
    try:
        architecture = json.loads(metadata[KEY])
        class_map = architecture.pop(CLASS_MAP, None)
        model = new_network(read_architecture(architecture), setting=str(path))
        model.load_state_dict(state)
        if class_map is not None:
            map_classes(model, class_map)
    except MissingCode:
        raise
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{path} does not hold a network of this project ({first_line(error)}); {advice_for(path)}"
        ) from error
    return model
