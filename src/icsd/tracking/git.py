"""The version of the code: the commit, and the changes since."""

import os
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from icsd.tracking.messages import log

DIFF_LIMIT = 1_000_000
# The pipeline itself changes dvc.lock and the reports: with them, every run but the first would be dirty.
_OURS = (".", ":(exclude)dvc.lock", ":(exclude)reports")
# A file that every checkout has.
_SETTINGS = "params.yaml"
# A user's new method or network counts as a change even before git tracks it; notes and data do not.
_NEW = ("configs", "pipeline", "src", ":(glob)*.py")
# English messages, which are matched below, and no locks that would block a user's own git command.
_ENVIRONMENT = {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}
_NO_HEAD = "Needed a single revision"


@dataclass(frozen=True)
class GitState:
    """State of the working tree; ``commit`` is None without git or before the first commit."""

    commit: str | None = None
    dirty: bool = False
    diff: str | None = None
    """Changes since the commit, also new source and settings, at most ``DIFF_LIMIT`` characters."""


class _GitError(Exception):
    """There is a repository, but git cannot describe it."""


def git_state(root: Path) -> GitState:
    """The state of ``root`` in the repository that tracks it, even if ``root`` is only a folder of it.

    Errors of git become warnings and an empty state.
    """
    root = root.resolve()
    if (
        not any((folder / ".git").exists() for folder in (root, *root.parents))
        and "GIT_DIR" not in os.environ
    ):
        return GitState()
    try:
        return _state(root)
    except _GitError as error:
        _warn(str(error))
        return GitState()


def _state(root: Path) -> GitState:
    commit = _git(root, "rev-parse", "--verify", "HEAD").strip()
    # A download without git may lie inside an unrelated repository, whose commits say nothing about it,
    # and within a git hook GIT_DIR names the repository of the hook.
    if not _git(root, "ls-files", "--", _SETTINGS):
        raise _GitError("the repository around this folder does not track it")
    diff = _git(root, "diff", "--no-color", "--no-ext-diff", "HEAD", "--", *_OURS)
    new = _git(root, "ls-files", "-z", "--others", "--exclude-standard", "--", *_NEW).split("\0")
    diff += "".join(_as_new(root, name) for name in sorted(filter(None, new)))
    if not diff:
        return GitState(commit)
    if len(diff) > DIFF_LIMIT:
        diff = f"{diff[:DIFF_LIMIT]}\n... {len(diff) - DIFF_LIMIT} more characters\n"
    return GitState(commit, dirty=True, diff=diff)


def _as_new(root: Path, name: str) -> str:
    """The diff that adds a file which git does not track yet."""
    return _git(
        root, "diff", "--no-color", "--no-ext-diff", "--no-index", "--", os.devnull, name, differs=True
    )


def _git(root: Path, *arguments: str, differs: bool = False) -> str:
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env=os.environ | _ENVIRONMENT,
            timeout=30,
            check=False,
        )
    except FileNotFoundError:
        raise _GitError("the program git is not installed here, or not on the PATH") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _GitError(str(error)) from None
    if done.returncode != 0 and not (differs and done.returncode == 1):
        reason = " ".join(done.stderr.split()) or f"git ends with {done.returncode}"
        raise _GitError("there is no commit yet, or HEAD is damaged" if _NO_HEAD in reason else reason)
    return done.stdout


@cache  # one warning per reason, although stages call this several times
def _warn(reason: str) -> None:
    log.warning("no commit is recorded, because git cannot say which: %s", reason)
