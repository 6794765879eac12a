import json
import subprocess
import sys
import time

import psutil
import pytest
from tests.project import commit, make_project, run

from icsd.commands.repair import RWLOCK, repair
from icsd.errors import UserError


@pytest.fixture
def repository(tmp_path):
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize("content", [b"", b'{"write": {"/a": {"pid"', b"\x00\x00", b"[]"])
def test_a_damaged_lock_file_is_replaced(repository, content):
    (repository / RWLOCK).write_bytes(content)
    assert repair(repository) == [f"{RWLOCK}: was damaged (a dvc was killed while it wrote it); mended"]
    assert json.loads((repository / RWLOCK).read_text()) == {}


def test_a_sound_one_or_none_is_left_alone(repository):
    assert repair(repository) == [f"{RWLOCK}: in order"]
    assert not (repository / RWLOCK).exists()
    (repository / RWLOCK).write_text('{"read": {}}')
    repair(repository)
    assert (repository / RWLOCK).read_text() == '{"read": {}}'


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


def test_dvc_works_again_afterwards(tmp_path):
    project = make_project(tmp_path / "project")
    commit(project)
    run(project, "dvc", "repro", "validate")
    (project / RWLOCK).write_bytes(b"")
    broken = run(project, "dvc", "repro", "validate", "-f", ok=False)
    assert "JSON structure is corrupted" in broken.stderr
    assert "mended" in run(project, sys.executable, "-m", "pipeline", "repair").stdout
    run(project, "dvc", "repro", "validate", "-f")
