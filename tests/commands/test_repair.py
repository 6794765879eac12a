import json
import re
import shutil
import subprocess
import sys
import time

import psutil
import pytest
from tests.project import run

from icsd.commands.repair import LOCK, RWLOCK, damaged_files, repair
from icsd.commands.verify.cache import check_cache
from icsd.errors import UserError


@pytest.fixture
def repository(tmp_path):
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize("content", [b"", b'{"write": {"/a": {"pid"', b"\x00\x00", b"[]"])
def test_a_damaged_lock_file_is_replaced(repository, content):
    (repository / RWLOCK).write_bytes(content)
    assert repair(repository) == [
        f"{RWLOCK}: was damaged (a dvc was killed while it wrote it); mended",
        "dvc.lock: in order",
    ]
    assert json.loads((repository / RWLOCK).read_text()) == {}


def test_a_sound_one_or_none_is_left_alone(repository):
    assert repair(repository) == [f"{RWLOCK}: in order", "dvc.lock: in order"]
    assert not (repository / RWLOCK).exists()
    (repository / RWLOCK).write_text('{"read": {}}')
    repair(repository)
    assert (repository / RWLOCK).read_text() == '{"read": {}}'


LOCKED = b"""schema: '2.0'
stages:
  validate:
    cmd: python -m pipeline validate
    outs:
    - path: data/shapes/validated
      md5: 4cb0c81cc9ea6c821aa72a4b00bb760f.dir
  distill@aicsd-resnet18-0:
    cmd: python -m pipeline train-student
    params:
      params.yaml:
        alw:
          decay: linear
"""
KEPT = LOCKED[: LOCKED.index(b"  distill")]


@pytest.mark.parametrize("cut", range(1, len(LOCKED), 7))
def test_a_dvc_lock_cut_anywhere_is_readable_afterwards(repository, cut):
    path = repository / "dvc.lock"
    path.write_bytes(LOCKED[:-cut])
    readable = not damaged_files(repository)
    repair(repository)
    assert damaged_files(repository) == []
    if readable:
        assert path.read_bytes() == LOCKED[:-cut]
    elif path.exists():
        assert path.read_bytes() == KEPT


@pytest.mark.parametrize(
    "content", [LOCKED[:-8], KEPT + b"  distill@a", KEPT + bytes(40), LOCKED[:-4] + b"\xc3"]
)
def test_the_stages_before_the_cut_are_kept(repository, content):
    (repository / "dvc.lock").write_bytes(content)
    if content == LOCKED[:-8]:  # still YAML, and all that DVC asks for
        assert repair(repository)[1] == "dvc.lock: in order"
        return
    assert "mended, with the first " in repair(repository)[1]
    assert (repository / "dvc.lock").read_bytes() == KEPT


@pytest.mark.parametrize("content", [b"", b"schema: '2.0'\nsta", bytes(100)])
def test_a_dvc_lock_without_one_whole_stage_is_removed(repository, content):
    (repository / "dvc.lock").write_bytes(content)
    assert "removed; `dvc repro` brings all stages back" in repair(repository)[1]
    assert not (repository / "dvc.lock").exists()


def test_a_dvc_lock_that_git_could_not_merge_is_left_to_its_user(repository):
    """Cut off at the first marker, it would lose what both sides know."""
    begin, end = KEPT, LOCKED.removeprefix(KEPT)
    content = begin + b"<<<<<<< HEAD\n" + end + b"=======\n" + end + b">>>>>>> theirs\n"
    (repository / "dvc.lock").write_bytes(content)
    said = r"dvc\.lock: line 8: git could not merge .*git checkout --ours dvc\.lock.*then `dvc repro`"
    with pytest.raises(UserError, match=said):
        repair(repository)
    assert (repository / "dvc.lock").read_bytes() == content
    (line,) = next(check_cache(repository)).details
    assert re.match(said, line)


def test_nothing_is_touched_while_another_dvc_runs_here(repository, tmp_path_factory):
    (repository / RWLOCK).touch()
    dvc = tmp_path_factory.mktemp("bin") / "dvc"
    dvc.write_text("import time; time.sleep(60)")
    with subprocess.Popen([sys.executable, str(dvc)], cwd=repository) as process:
        try:
            while not any("dvc" in word for word in psutil.Process(process.pid).cmdline()):
                time.sleep(0.01)
            with pytest.raises(UserError, match=rf"another dvc is running here \(process {process.pid}\)"):
                repair(repository)
        finally:
            process.kill()
    assert (repository / RWLOCK).read_bytes() == b""


def test_outside_a_repository_it_says_so(tmp_path):
    with pytest.raises(UserError, match="not a DVC repository"):
        repair(tmp_path)


@pytest.mark.slow
def test_dvc_works_again_afterwards_and_trains_nothing_twice(reproduced, tmp_path):
    project = tmp_path / "project"
    shutil.copytree(reproduced, project, symlinks=True)
    lock = (project / "dvc.lock").read_bytes()
    for name, content, said in (
        (RWLOCK, b"", "JSON structure is corrupted"),
        (LOCK, lock[: lock.index(b"md5:", len(lock) // 2) + 3], "'./dvc.lock' is invalid"),
        (LOCK, lock[: lock.rindex(b"    cmd:")], "'./dvc.lock' validation failed"),
        (LOCK, b"", "'./dvc.lock' validation failed"),
    ):
        (project / name).write_bytes(content)
        assert said in run(project, "dvc", "repro", ok=False).stderr
        assert "was damaged" in run(project, sys.executable, "-m", "pipeline", "repair").stdout
    done = run(project, "dvc", "repro").stdout
    assert set(re.findall(r"Running stage '([^']+)'", done)) <= {"report"}  # whose output DVC does not keep
    assert (project / "dvc.lock").read_bytes() == lock
