"""What each network starts from: published weights, a user's file, or random initialisation.

A file may be anywhere, and replacing it makes its networks stale. DVC notices that through a folder of links
to the files, on which ``validate`` depends. The digests that ``validate`` writes into the inputs of the
networks decide which of them are trained again.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from textwrap import shorten

from icsd.errors import UserError, refuse
from icsd.files import sha256_of
from icsd.models.catalogue import BACKBONES
from icsd.params import Params
from icsd.runs import RunKey, places_of
from icsd.stages.networks import (
    architecture_of,
    block_name,
    description_of,
    files_of_network,
    network_of,
    networks_of_grid,
)
from icsd.stages.registered import is_registered, pinned

LINKS = Path("configs") / "initial_weights"
"""The folder of links, from the root of the repository."""


def source_of(params: Params, key: RunKey) -> bool | str:
    """What a network starts from: its own ``pretrained``, or else the value for all networks.

    False if ``weights`` is set, unless these are loaded with ``load: partial``.
    """
    network = network_of(params, key)
    if network.weights is not None and network.load != "partial":
        return False
    return params.networks.start_of(network)


def setting_of(params: Params, key: RunKey) -> str:
    """The key of params.yaml that says what a network starts from."""
    own = network_of(params, key).pretrained
    return "networks.pretrained" if own is None else f"{block_name(key)}.pretrained"


def name_of(source: bool | str) -> bool | str:
    """The source as results record it: a file by its name, since its path differs between machines."""
    return Path(source).name if isinstance(source, str) and not is_registered(source) else source


def located(root: Path, source: bool | str) -> bool | str:
    """The source, with the full path if it is a file."""
    if not isinstance(source, str):
        return source
    if is_registered(source):
        return str(pinned(source))
    places = places_of(root, source)
    return str(next((place for place in places if is_file(str(place))), places[0]))


def digest_of_file(root: Path, params: Params, key: RunKey) -> str | None:
    """SHA-256 of the file that a network starts from; None if it starts from no file or this is missing."""
    return _digest_of(root, source_of(params, key))


def digest_of_weights(root: Path, params: Params, key: RunKey) -> str | None:
    """SHA-256 of the file that a whole network is loaded from; None if it is not set or missing."""
    return _digest_of(root, network_of(params, key).weights)


def _digest_of(root: Path, source: bool | str | None) -> str | None:
    file = None if source is None else located(root, source)
    return sha256_of(Path(file)) if isinstance(file, str) and is_file(file) else None


def is_file(path: str) -> bool:
    """Whether the path is a file; False for a path that the system does not accept."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def digests_of_network(root: Path, params: Params, key: RunKey) -> dict[str, str]:
    """Name -> SHA-256 of the files that define a network: its Python module, or its transformers folder."""
    with_weights = source_of(params, key) is True
    files = files_of_network(root, params, key, with_weights=with_weights)
    return {name: sha256_of(file) for name, file in sorted(files.items())}


def check_initial_weights(root: Path, params: Params) -> None:
    """Check before any training that every network of the grid can start from what params.yaml says.

    Raises:
        UserError: One line per network that cannot.
    """
    refuse(_problems(root, params))


def _problems(root: Path, params: Params) -> Iterator[str]:
    from icsd.models.imagenet import check_imagenet  # imports torch
    from icsd.models.networks import new_network

    for key in networks_of_grid(params).values():
        setting, block = setting_of(params, key), block_name(key)
        source, described = located(root, source_of(params, key)), description_of(params, key)
        try:
            if described["backbone"] in BACKBONES:
                check_imagenet(
                    described["backbone"],
                    source,
                    width=described["width"],
                    output_stride=described["output_stride"],
                    setting=setting,
                )
            elif isinstance(source, str) or (source and described["name"].startswith(("hf:", "python:"))):
                # Weights that another library would download can only be checked once they are downloaded.
                new_network(architecture_of(root, params, key), pretrained=source, setting=block)
            elif described["backbone"]:
                new_network(architecture_of(root, params, key), setting=block)
        except UserError as error:
            yield str(error)
        except (OSError, ValueError) as error:  # a path that the system does not accept
            yield f"{setting}: {shorten(str(error), 300)}"


def link_files(root: Path, params: Params) -> None:
    """Make the folder link to all files that networks of the grid are made from, and to no others.

    A named file may be a link itself, as ``latest.pth`` is: it is followed whenever DVC looks.
    """
    folder = root / LINKS
    sources = {located(root, source) for source in _named(params).values()}
    files = [Path(source).absolute() for source in sources if isinstance(source, str) and is_file(source)]
    for key in networks_of_grid(params).values():
        described = files_of_network(root, params, key, with_weights=source_of(params, key) is True)
        files += [file.absolute() for file in described.values()]
    inside = folder.resolve()
    wanted = {_link_name(file): file for file in files if file.parent.resolve() != inside}
    for link in folder.glob("*"):
        if link.is_symlink() and link.name not in wanted:
            link.unlink()
    for name, file in wanted.items():
        if not (folder / name).is_symlink():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).symlink_to(file)


def _link_name(file: Path) -> str:
    return f"{hashlib.sha256(bytes(file)).hexdigest()[:8]}-{file.name}"


def remove_dead_links(root: Path) -> list[Path]:
    """Remove dangling links, on which DVC fails, and return the files that they pointed to."""
    dead = [link for link in sorted((root / LINKS).glob("*")) if link.is_symlink() and not link.exists()]
    gone = [link.readlink() for link in dead]
    for link in dead:
        link.unlink()
    return gone


def settings_that_name(root: Path, params: Params, file: Path) -> list[str]:
    """The keys of params.yaml that make a network of the grid start from ``file``."""
    named = _named(params).items()
    return [setting for setting, source in named if located(root, source) == str(file)]


def _named(params: Params) -> dict[str, bool | str]:
    """Key of params.yaml that sets what a network of the grid starts from -> its value."""
    keys = networks_of_grid(params).values()
    weights = {f"{block_name(key)}.weights": network_of(params, key).weights for key in keys}
    sources = {setting_of(params, key): source_of(params, key) for key in keys if source_of(params, key)}
    return sources | {setting: named for setting, named in weights.items() if named is not None}
