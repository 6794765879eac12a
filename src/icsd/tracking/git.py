"""Which code runs: the commit, and the changes since."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

DIFF_LIMIT = 1_000_000
# dvc.lock and the reports change because the pipeline runs: with them every run but the first would be dirty.
_OURS = (".", ":(exclude,top)dvc.lock", ":(exclude,top)reports")


@dataclass(frozen=True)
class GitState:
    """State of the working tree; without git, or in an empty repository, there is no commit."""

    commit: str | None = None
    dirty: bool = False
    diff: str | None = None
    """Changes of tracked files since the commit, at most ``DIFF_LIMIT`` characters."""


def git_state(root: Path) -> GitState:
    """The state of the repository whose top folder is ``root``."""
    top = _git(root, "rev-parse", "--show-toplevel")
    commit = _git(root, "rev-parse", "HEAD")
    # A download without git may lie inside somebody else's repository, whose commits say nothing about it.
    if top is None or commit is None or Path(top.strip()).resolve() != root.resolve():
        return GitState()
    diff = _git(root, "diff", "--no-color", "--no-ext-diff", "HEAD", "--", *_OURS)
    if not diff:
        return GitState(commit.strip())
    if len(diff) > DIFF_LIMIT:
        diff = f"{diff[:DIFF_LIMIT]}\n... {len(diff) - DIFF_LIMIT} more characters\n"
    return GitState(commit.strip(), dirty=True, diff=diff)


def _git(root: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
