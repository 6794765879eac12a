"""Networks of MLflow's registry as files: ``validate`` resolves an address, later stages read its file."""

import hashlib
import re
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from icsd.errors import UserError, first_line
from icsd.files import write_bytes
from icsd.runs import state_root
from icsd.tracking.store import open_client, store_lock

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

SCHEME = "models:"
_ADDRESS = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<version>[0-9]+)|@(?P<alias>[^/@]+))")
SUFFIX = ".safetensors"
RECORD = "train.json"


def is_registered(source: str) -> bool:
    """Whether ``source`` is an address of MLflow's registry, well-formed or not."""
    return source.startswith(SCHEME)


def pinned(address: str) -> Path:
    """Where ``pin`` keeps the file of an address."""
    digest = hashlib.sha256(address.encode()).hexdigest()[:16]
    return state_root() / "registered" / f"{digest}{SUFFIX}"


def pin(root: Path, address: str, *, setting: str) -> None:
    """Download the weights of a registered network; stages read this file even if an alias moves later.

    The weights are an artifact of the run that trained the network; this project logs them every time.

    Raises:
        UserError: The address is wrong, or there are no such weights.
    """
    weights, _ = _fetched(root, address, setting)
    _keep(pinned(address), weights)


def fetch(root: Path, address: str, *, setting: str) -> Path:
    """Download a registered network as a run's folder: its weights, and the record of its training.

    Raises:
        UserError: The address is wrong, or there are no such weights.
    """
    weights, record = _fetched(root, address, setting)
    folder = pinned(address).with_suffix("")
    if record is None:
        (folder / RECORD).unlink(missing_ok=True)
    else:
        _keep(folder / RECORD, record)
    _keep(folder / f"network{SUFFIX}", weights)
    return folder


def _keep(file: Path, content: bytes) -> None:
    if not file.is_file() or file.read_bytes() != content:
        write_bytes(file, content)


def _fetched(root: Path, address: str, setting: str) -> tuple[bytes, bytes | None]:
    """The weights behind an address, and the record of their training if it was logged."""
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise UserError(
            f"{setting}: {address} is no address of a registered model; write models:/name/3 or "
            "models:/name@alias"
        )
    try:
        with store_lock(root):
            client = open_client(root)
        return _files_of(client, match["name"], match["version"], match["alias"])
    except UserError as error:
        raise UserError(f"{setting}: {address}: {error}") from None
    except Exception as error:  # whatever a server, a driver or a disk raises
        raise UserError(
            f"{setting}: {address} cannot be had from MLflow ({first_line(error)}); is MLFLOW_TRACKING_URI "
            "set to its store?"
        ) from error


def _files_of(
    client: "MlflowClient", name: str, version: str | None, alias: str | None
) -> tuple[bytes, bytes | None]:
    found = (
        client.get_model_version(name, version)
        if version is not None
        else client.get_model_version_by_alias(name, str(alias))
    )
    run_id = found.run_id or ""
    listed = [each.path for each in client.list_artifacts(run_id)] if run_id else []
    files = [path for path in listed if PurePosixPath(path).suffix == SUFFIX]
    if len(files) != 1:
        raise UserError(
            f"its run has {len(files)} {SUFFIX} files, and weights are read from one; download the model, "
            "and name its file"
        )
    with TemporaryDirectory() as folder:
        weights, *record = (
            Path(client.download_artifacts(run_id, file, folder)).read_bytes()
            for file in (*files, *({RECORD} & set(listed)))
        )
    return weights, record[0] if record else None
