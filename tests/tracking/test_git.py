import subprocess
from pathlib import Path

import pytest

from icsd.tracking.git import DIFF_LIMIT, GitState, git_state


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    command = ["git", "-C", str(root), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    (tmp_path / "params.yaml").write_text("a: 1\n")
    (tmp_path / "dvc.lock").write_text("old\n")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def test_a_clean_tree_is_its_commit(repository: Path) -> None:
    assert git_state(repository) == GitState(git(repository, "rev-parse", "HEAD"), dirty=False, diff=None)


def test_changes_of_tracked_files_are_in_the_diff_others_are_not(repository: Path) -> None:
    (repository / "params.yaml").write_text("a: 2\n")
    (repository / "notes.txt").write_text("private")
    state = git_state(repository)
    assert state.dirty
    assert "+a: 2" in str(state.diff)
    assert "private" not in str(state.diff)


def test_what_the_pipeline_itself_writes_does_not_count(repository: Path) -> None:
    (repository / "dvc.lock").write_text("new\n")
    assert not git_state(repository).dirty


def test_a_huge_diff_is_cut(repository: Path) -> None:
    (repository / "params.yaml").write_text("b: 1\n" * DIFF_LIMIT)
    assert len(str(git_state(repository).diff)) < DIFF_LIMIT + 100


def test_no_repository_an_empty_one_and_somebody_elses_have_no_state(
    repository: Path, tmp_path: Path
) -> None:
    inside = repository / "unpacked"
    inside.mkdir()
    assert git_state(inside) == GitState()
    git(inside, "init", "-q")
    assert git_state(inside) == GitState()


def test_no_git_program_is_no_state(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert git_state(repository) == GitState()
