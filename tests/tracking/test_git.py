import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from icsd.tracking.git import DIFF_LIMIT, GitState, _warn, git_state


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


def test_a_new_method_that_git_does_not_know_yet_counts_and_can_be_brought_back(repository: Path) -> None:
    for name in ("src/icsd/methods/mine.py", "my_networks.py", "env/lib/other.py", "notes.txt"):
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text(f"name = '{name}'\n")
    (repository / ".git" / "info" / "exclude").write_text("ignored.py\n")
    (repository / "ignored.py").write_text("name = 'ignored'\n")
    state = git_state(repository)
    assert state.dirty
    assert state.diff is not None
    assert [line for line in state.diff.splitlines() if line.startswith("+name")] == [
        "+name = 'my_networks.py'",
        "+name = 'src/icsd/methods/mine.py'",
    ]
    shutil.rmtree(repository / "src")
    (repository / "my_networks.py").unlink()
    (repository / "git.diff").write_text(state.diff)
    git(repository, "apply", "git.diff")
    assert git_state(repository) == state


def test_what_the_pipeline_itself_writes_does_not_count(repository: Path) -> None:
    (repository / "dvc.lock").write_text("new\n")
    assert not git_state(repository).dirty


def test_a_huge_diff_is_cut(repository: Path) -> None:
    (repository / "params.yaml").write_text("b: 1\n" * DIFF_LIMIT)
    assert len(str(git_state(repository).diff)) < DIFF_LIMIT + 100


def test_without_a_repository_there_is_no_state_and_nothing_to_say(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert git_state(tmp_path) == GitState()
    assert not caplog.text


def test_a_folder_of_a_larger_repository_has_its_commit_and_its_own_changes(
    repository: Path, caplog: pytest.LogCaptureFixture
) -> None:
    inside = repository / "vision" / "icsd"
    inside.mkdir(parents=True)
    for name in ("params.yaml", "dvc.lock"):
        shutil.copy(repository / name, inside)
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "all")
    (repository / "params.yaml").write_text("a: another project's\n")
    (inside / "dvc.lock").write_text("new\n")
    assert git_state(inside) == GitState(git(repository, "rev-parse", "HEAD"))
    (inside / "params.yaml").write_text("a: 3\n")
    assert "+a: 3" in str(git_state(inside).diff)
    assert not caplog.text


def untracked(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (repository / "unpacked").mkdir()
    return repository / "unpacked"


def without_commit(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    inside = untracked(repository, monkeypatch)
    git(inside, "init", "-q")
    return inside


def without_program(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", "")
    return repository


def of_another_user(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    return repository


def in_a_hook_of_another_repository(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    other = repository / "other"
    git(repository, "init", "-q", "other")
    (other / "notes.txt").touch()
    git(other, "add", "-A")
    git(other, "commit", "-q", "-m", "of another project")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    return repository


def with_broken_link(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    inside = untracked(repository, monkeypatch)
    (inside / ".git").write_text("gitdir: /nowhere/worktrees/inside\n")
    return inside


def with_broken_head(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (repository / ".git" / "HEAD").write_bytes(b"")
    return repository


def with_lost_commit(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.rmtree(repository / ".git" / "objects")
    (repository / ".git" / "objects").mkdir()
    return repository


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (untracked, "the repository around this folder does not track it"),
        (without_commit, "there is no commit yet"),
        (without_program, "git is not installed"),
        (of_another_user, "safe.directory"),
        (in_a_hook_of_another_repository, "the repository around this folder does not track it"),
        (with_broken_link, "/nowhere/worktrees/inside"),
        (with_broken_head, "not a git repository"),
        (with_lost_commit, "bad object"),
    ],
)
def test_what_git_cannot_say_is_one_line_and_stops_nothing(
    trouble: Callable[[Path, pytest.MonkeyPatch], Path],
    said: str,
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = trouble(repository, monkeypatch)
    _warn.cache_clear()
    assert git_state(folder) == git_state(folder) == GitState()
    (record,) = caplog.records
    line = record.getMessage()
    assert line.startswith("no commit is recorded, because git cannot say which: ")
    assert said in line
    assert "\n" not in line
