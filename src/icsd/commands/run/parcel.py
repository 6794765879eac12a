"""Packs what this checkout sends to the nodes that run its stages."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from icsd.commands.run.node import Parcel
from icsd.errors import UserError
from icsd.files import write_bytes

if TYPE_CHECKING:
    from dvc.repo import Repo

PACKAGES = ("dvc", "torch", "torchvision")
"""Packages that need the same version on every node: results depend on them to the last digit."""
_REF = "refs/icsd/run"
_OURS = (".", ":(exclude)dvc.lock", ":(exclude)reports")
"""Paths whose changes are reported. The pipeline writes the excluded ones; each stage is sent a dvc.lock."""
_SOMEBODY = {
    f"GIT_{who}_{what}": "icsd@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
}


def pack(
    root: Path,
    repo: "Repo",
    *,
    checkout: str,
    scratch: str | None,
    environment: dict[str, str],
    shared: Path | None = None,
) -> Parcel:
    """Pack the checkout as it is now, for all stages of an execution.

    Args:
        root: The repository.
        repo: DVC's view of it.
        checkout: Its name in MLflow.
        scratch: See ``Parcel``.
        environment: See ``Parcel``.
        shared: A folder that the nodes see as well, for the bundle that would otherwise go with every stage.

    Raises:
        UserError: There is no commit, or no remote of DVC.
    """
    config = _remote(repo)
    commit = _git(root, "rev-parse", "--verify", "HEAD")
    with _snapshot(root, commit) as (snapshot, bundle):
        if shared is not None:
            write_bytes(shared / f"{snapshot}.bundle", bundle)
        return Parcel(
            bundle=str(shared / f"{snapshot}.bundle") if shared is not None else bundle,
            commit=commit,
            snapshot=snapshot,
            config=config,
            checkout=checkout,
            versions={package: version(package) for package in PACKAGES},
            scratch=scratch,
            environment=environment,
        )


def uncommitted(root: Path, parcel: Parcel) -> list[str]:
    """The files that are sent with uncommitted changes."""
    return _git(root, "diff", "--name-only", parcel.commit, parcel.snapshot, "--", *_OURS).splitlines()


def _remote(repo: "Repo") -> str:
    """DVC's configuration of the remote through which nodes exchange data."""
    from configobj import ConfigObj

    name = repo.config.get("core", {}).get("remote")
    remote = repo.config.get("remote", {}).get(name) if name else None
    if not remote:
        raise UserError(
            "jobs on other machines exchange data through DVC's default remote, and there is none: "
            "`dvc remote add --local -d store FOLDER`, with a folder that all of them see, or an address "
            "(docs/cluster.md)"
        )
    written = ConfigObj()
    written["core"] = {"remote": name}
    written[f'remote "{name}"'] = {key: str(value) for key, value in remote.items()}
    return "\n".join(map(str, written.write())) + "\n"


@contextmanager
def _snapshot(root: Path, commit: str) -> Iterator[tuple[str, bytes]]:
    """A commit of all files that git does not ignore, on no branch, and a bundle with it."""
    with TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        _git(root, "read-tree", commit, **index)
        _git(root, "add", "--all", **index)
        tree = _git(root, "write-tree", **index)
        snapshot = _git(root, "commit-tree", tree, "-p", commit, "-m", "as it was run", **_SOMEBODY)
        reference = f"{_REF}/{os.getpid()}"
        _git(root, "update-ref", reference, snapshot)
        try:
            _git(root, "bundle", "create", "-q", str(Path(folder, "bundle")), reference)
        finally:
            _git(root, "update-ref", "-d", reference)
        yield snapshot, Path(folder, "bundle").read_bytes()


def _git(root: Path, *arguments: str, **environment: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=root,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=True,
        )
    except FileNotFoundError:
        raise UserError("jobs on other machines need git here and there, and it is not on the PATH") from None
    except subprocess.CalledProcessError as error:
        reason = " ".join(error.stderr.split())
        raise UserError(
            f"jobs on other machines clone a commit, and git {arguments[0]} says: {reason}"
        ) from None
    return done.stdout.strip()
