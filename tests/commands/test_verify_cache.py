"""The findings of ``verify`` about DVC's cache and outputs, on a repository of three small files."""

import shutil

import pytest
from dvc.repo import Repo

from icsd.commands.repair import RWLOCK
from icsd.commands.verify.cache import check_cache
from icsd.commands.verify.checks import State

STAGES = """
stages:
  train:
    cmd: "true"
    outs: [runs/net, costs.json]
  report:
    cmd: "true"
    outs:
      - report:
          cache: false
"""


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    root = tmp_path_factory.mktemp("cache") / "repository"
    for name, content in (
        *(("runs/net/weights", "w" * 100), ("runs/net/inner/history.csv", "epoch\n1\n")),
        *(("costs.json", "{}"), ("report/page.html", "<p>"), ("dvc.yaml", STAGES)),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DVC_SITE_CACHE_DIR", str(root / ".dvc/tmp/site"))
        with Repo.init(str(root), no_scm=True) as repo, repo.config.edit() as config:
            config["cache"]["type"] = ["copy"]
        with Repo(str(root)) as repo:
            repo.commit(force=True)
    return root


@pytest.fixture
def repository(sound, tmp_path, monkeypatch):
    root = tmp_path / "repository"
    shutil.copytree(sound, root)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(root / ".dvc/tmp/site"))
    monkeypatch.chdir(root)  # DVC names stages relative to the working directory
    return root


def findings(root):
    """Subject -> state and lines, for every fault."""
    checks = {check.subject: check for check in check_cache(root)}
    assert checks.keys() == {"locks", "objects", "outputs"}
    return {name: (check.state, check.details) for name, check in checks.items() if check.state != State.OK}


def object_of(root, content):
    [path] = [
        path
        for path in (root / ".dvc/cache/files/md5").rglob("*")
        if path.is_file() and path.read_text().startswith(content)
    ]
    return path


def overwrite(path, content):
    path.unlink()  # DVC's objects are read-only
    path.write_text(content)


def test_a_sound_cache_has_no_findings_and_is_not_written(repository):
    before = {path: path.stat().st_mtime_ns for path in (repository / ".dvc/cache").rglob("*")}
    assert findings(repository) == {}
    assert [check.details for check in check_cache(repository)][1:] == [
        ("4 objects of DVC's cache are what their names say",),
        ("3 outputs are as dvc.lock says",),
    ]
    assert {path: path.stat().st_mtime_ns for path in (repository / ".dvc/cache").rglob("*")} == before


def test_a_damaged_object_is_named_with_the_way_to_mend_it_from_the_output(repository):
    path = object_of(repository, "www")
    overwrite(path, "w" * 99 + "v")
    assert findings(repository) == {
        "objects": (
            State.DIFFERS,
            (
                f"{path.relative_to(repository)}: damaged, part of runs/net; delete it, then "
                "`dvc commit -f train` puts it there",
            ),
        )
    }
    path.unlink()
    with Repo(str(repository)) as repo:
        repo.commit("train", force=True)
    assert findings(repository) == {}


def test_where_the_output_is_damaged_too_both_must_go(repository):
    path = object_of(repository, "www")
    for place in (path, repository / "runs/net/weights"):
        overwrite(place, "x")
    found = findings(repository)
    assert "delete it and runs/net, then `dvc pull` or `dvc repro`" in found["objects"][1][0]
    assert found["outputs"] == (
        State.DIFFERS,
        ("runs/net/weights: not what train wrote; `dvc checkout` brings it back",),
    )


def test_a_missing_object_is_missing_and_not_a_difference(repository):
    path = object_of(repository, "{}")
    path.unlink()
    state, lines = findings(repository)["objects"]
    assert state == State.MISSING
    assert lines[0].startswith(f"{path.relative_to(repository)}: missing, part of costs.json; `dvc commit -f")


@pytest.mark.parametrize("content", ["", "[{", "{}", "[1]", '[{"md5": "0"}]'])
def test_a_damaged_listing_of_a_folder_is_a_finding_and_no_crash(repository, content):
    overwrite(object_of(repository, "[{"), content)
    found = findings(repository)
    assert found.keys() == {"objects"}  # the folder itself has the digest of dvc.lock
    assert "part of runs/net" in found["objects"][1][0]


def test_without_the_listing_a_changed_folder_is_found_by_its_own_digest(repository):
    object_of(repository, "[{").unlink()
    overwrite(repository / "runs/net/weights", "x")
    assert findings(repository)["outputs"][1] == (
        "runs/net: not what train wrote; `dvc checkout` brings it back",
    )


def test_every_kind_of_change_to_an_output_is_named(repository):
    (repository / "runs/net/weights").unlink()
    (repository / "runs/net/stray").touch()
    overwrite(repository / "costs.json", "{ }")
    overwrite(repository / "report/page.html", "<b>")
    state, lines = findings(repository)["outputs"]
    assert state == State.DIFFERS
    assert lines == (
        "runs/net/stray: train wrote no such file; delete it, or run `dvc repro`",
        "runs/net/weights: missing; `dvc checkout` brings it back",
        "costs.json: not what train wrote; `dvc checkout` brings it back",
        "report: not what report wrote; `dvc repro` writes it again",
    )


def test_an_output_that_is_gone_is_named(repository):
    shutil.rmtree(repository / "runs")
    assert findings(repository)["outputs"][1] == ("runs/net: missing; `dvc checkout` brings it back",)


def test_a_lock_file_that_a_killed_dvc_left_empty_is_found(repository):
    (repository / RWLOCK).parent.mkdir(parents=True, exist_ok=True)
    (repository / RWLOCK).write_bytes(b"")
    assert findings(repository) == {
        "locks": (State.DIFFERS, (f"{RWLOCK}: damaged; `python -m pipeline repair` mends it",))
    }


def test_a_dvc_lock_that_was_cut_off_is_found_and_nothing_is_made_of_it(repository):
    path = repository / "dvc.lock"
    path.write_bytes(path.read_bytes()[:-20])
    [check] = check_cache(repository)
    assert (check.state, check.details) == (
        State.DIFFERS,
        ("dvc.lock: damaged; `python -m pipeline repair` mends it",),
    )


def test_files_of_dvc_that_it_cannot_read_itself_are_a_finding(repository):
    (repository / "dvc.yaml").write_text("stages: [")
    checks = {check.subject: check for check in check_cache(repository)}
    assert checks["cache"].state == State.DIFFERS
    assert "DVC cannot read its own files" in checks["cache"].details[0]


def test_without_dvc_there_is_nothing_to_check(repository):
    (repository / "dvc.lock").unlink()
    assert list(check_cache(repository)) == []
