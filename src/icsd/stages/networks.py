"""Describes each network from its block in params.yaml, and checks that it has the taps that methods read."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from icsd.errors import UserError, refuse
from icsd.models.names import DEEPLAB, TAPS, module_of, portable, split
from icsd.params import Network, Params
from icsd.runs import TEACHER, RunKey, places_of
from icsd.stages.grid import student_keys, teacher_key
from icsd.stages.own_modules import files_of_module

HF_FILES = ("config.json", "model.safetensors")
"""The files that are read from a transformers folder; the weights only if a network starts from them."""


def network_of(params: Params, key: RunKey) -> Network:
    """The block of a network."""
    return params.networks.teacher if key.is_teacher else params.networks.students[key.network]


def block_name(key: RunKey) -> str:
    """Where params.yaml describes a network."""
    return "networks.teacher" if key.is_teacher else f"networks.students.{key.network}"


def networks_of_grid(params: Params) -> dict[str, RunKey]:
    """``teacher`` and each student's name -> one of its runs; all its runs have the same network."""
    students = {key.network: key for key in student_keys(params, params.grid.methods[:1])}
    return {TEACHER: teacher_key(params), **students}


def description_of(params: Params, key: RunKey) -> dict[str, Any]:
    """The resolved description of a network: keys that are left empty take the value for all networks.

    The keys are those of ``icsd.models.contract.Architecture``.
    """
    block = network_of(params, key)
    own = {"name": block.library_name, "backbone": ""}
    strided = own["name"] is None or own["name"].startswith("smp:deeplabv3")
    if own["name"] is None:
        own = {"name": DEEPLAB, "backbone": block.backbone or key.network}
    normalisation = block.normalisation
    return {
        **own,
        "num_classes": params.data.classes,
        "width": block.width if own["backbone"] else 1.0,
        "head_width": block.head_width if own["backbone"] else None,
        "output_stride": (block.output_stride or params.networks.output_stride) if strided else None,
        "normalisation": normalisation and (tuple(normalisation.mean), tuple(normalisation.std)),
        "taps": block.taps,
    }


def numbers_of_network(params: Params, key: RunKey) -> dict[str, Any]:
    """The description as train.json holds it, plus the dropout of the head."""
    described = description_of(params, key)
    name, backbone = described.pop("name"), described.pop("backbone")
    del described["num_classes"]  # determined by the dataset
    return {
        "architecture": portable(name),
        "backbone": backbone or portable(name),
        **described,
        "dropout": params.networks.dropout if backbone else None,
    }


def architecture_of(root: Path, params: Params, key: RunKey) -> Any:  # noqa: ANN401 - its module imports torch
    """The argument from which ``icsd.models.networks.new_network`` builds a network.

    A transformers folder has its full path.
    """
    from icsd.models.contract import Architecture

    described = description_of(params, key)
    if (folder := _folder_of(root, described["name"])) is not None:
        described["name"] = f"hf:{folder}"
    return Architecture(**described)


def files_of_network(root: Path, params: Params, key: RunKey, *, with_weights: bool) -> dict[str, Path]:
    """Name -> file outside params.yaml that is part of a network's definition.

    Args:
        root: The repository.
        params: The whole parameter tree.
        key: Which network.
        with_weights: Whether it starts from the weights in its folder.
    """
    name = network_of(params, key).library_name or ""
    if (module := module_of(name)) is not None:
        return {f"{each}.py": file for each, file in files_of_module(root, module).items()}
    if (folder := _folder_of(root, name)) is not None:
        files = HF_FILES if with_weights else HF_FILES[:1]
        return {f"{portable(name)}/{file}": folder / file for file in files if (folder / file).is_file()}
    return {}


def _folder_of(root: Path, name: str) -> Path | None:
    library, rest = split(name)
    if library != "hf":
        return None
    return next((place for place in places_of(root, rest) if (place / HF_FILES[0]).is_file()), None)


def check_networks(root: Path, params: Params) -> None:
    """Check that every network of a library can be built and has the taps that the methods read.

    Raises:
        UserError: One line per mistake.
    """
    if not any(network_of(params, key).library_name for key in networks_of_grid(params).values()):
        return  # DeepLabV3+ has every tap
    widths: dict[str, Mapping[str, int]] = {}
    problems: list[str] = []
    for name, key in networks_of_grid(params).items():
        try:
            widths[name] = _widths(root, params, key)
        except UserError as error:
            problems += str(error).splitlines()
    refuse([*problems, *_missing_taps(params, widths)])


def _widths(root: Path, params: Params, key: RunKey) -> Mapping[str, int]:
    from icsd.models.networks import widths_of

    if network_of(params, key).library_name is None:
        return dict.fromkeys(TAPS, 8)
    crop = (params.images.crop[0], params.images.crop[1])
    return widths_of(architecture_of(root, params, key), crop=crop, setting=block_name(key))


def _missing_taps(params: Params, widths: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    from icsd.methods import taps_of

    for method in params.grid.methods:
        try:
            read = taps_of(method, params.methods[method].block, known=TAPS)
        except UserError:
            continue  # reported by the check of the methods' blocks
        for name, key in networks_of_grid(params).items():
            missing = [tap for tap in read if name in widths and tap not in widths[name]]
            if missing:
                yield (
                    f"methods.{method}: reads {', '.join(missing)}, which {block_name(key)} "
                    f"({network_of(params, key).architecture}) does not have; it has "
                    f"{', '.join(widths[name])}. Choose another tap, leave {method} out of the grid, or name "
                    f"a module of the network: {block_name(key)}.taps: {{{missing[0]}: <path>}}"
                )
