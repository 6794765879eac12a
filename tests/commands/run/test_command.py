import os
import re
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from icsd.commands.run import command
from icsd.commands.run.command import run
from icsd.errors import UserError

# DVC's own.
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value will soon raise:DeprecationWarning")

FAN = {
    "first": ("echo 1 >> ran.txt; cp code.txt a.txt", ["code.txt"], ["a.txt"]),
    **{
        name: (f"sleep {wait}; echo {name} >> ran.txt; cat a.txt > {name}.txt", ["a.txt"], [f"{name}.txt"])
        for name, wait in (("slow", 0.4), ("quick", 0), ("other", 0))
    },
    "last": ("cat slow.txt quick.txt other.txt > z.txt", ["slow.txt", "quick.txt", "other.txt"], ["z.txt"]),
}


@pytest.fixture
def fan(stages):
    repository = stages(**FAN)
    (repository / "code.txt").write_text("1\n")
    return repository


def ran(repository):
    path = repository / "ran.txt"
    return path.read_text().split() if path.exists() else []


def test_the_outcome_is_that_of_dvc_repro(fan, dvc, tmp_path):
    (fan / "sub").mkdir()
    assert run(fan, jobs=2) == 0
    assert ran(fan)[:2] == ["1", "quick"]  # beside the slow one, which dvc repro would wait for
    assert "up to date" in dvc("status")
    assert "up to date" in dvc("repro")
    made = {path: path.read_bytes() for path in fan.glob("*.txt") if path.name != "ran.txt"}
    lock = (fan / "dvc.lock").read_bytes()
    shutil.rmtree(fan / ".dvc/cache")
    for path in [*made, fan / "dvc.lock"]:
        if path.name != "code.txt":
            path.unlink()
    dvc("repro")
    assert (fan / "dvc.lock").read_bytes() == lock
    assert {path: path.read_bytes() for path in made} == made


def test_nothing_runs_again_and_only_what_is_stale_does(fan, capsys):
    run(fan, jobs=2)
    (fan / "ran.txt").unlink()
    assert run(fan, jobs=2) == 0
    assert ran(fan) == []
    assert "5 of 5 stages are done: 5 as before" in capsys.readouterr().out
    (fan / "code.txt").write_text("2\n")
    assert run(fan, ["quick"], jobs=2) == 0
    assert ran(fan) == ["1", "quick"]
    assert run(fan, ["quick"], jobs=1, force=True) == 0
    assert ran(fan) == ["1", "quick", "1", "quick"]
    assert run(fan, ["slow"], jobs=1, downstream=True) == 0
    assert ran(fan)[4:] == ["slow"]


def test_a_dry_run_says_what_would_run_and_runs_nothing(fan, capsys):
    run(fan, jobs=2)
    (fan / "code.txt").write_text("2\n")
    (fan / "ran.txt").unlink()
    capsys.readouterr()
    assert run(fan, ["slow"], dry=True) == 0
    first, second, last = capsys.readouterr().out.splitlines()
    assert first.startswith("first: runs, about ")
    assert second.startswith("slow: runs if first gives something else, about ")
    assert last == "1 of 2 stages would run, 1 more perhaps"
    assert ran(fan) == []
    assert run(fan, dry=True, force=True) == 0
    assert "5 of 5 stages would run, 0 more perhaps" in capsys.readouterr().out


def test_former_results_come_from_the_run_cache(fan, dvc, capsys):
    run(fan, jobs=2)
    (fan / "dvc.lock").unlink()
    (fan / "ran.txt").unlink()
    assert run(fan, jobs=2) == 0
    assert ran(fan) == []
    assert "5 from the cache" in capsys.readouterr().out
    assert "up to date" in dvc("status")


@pytest.mark.parametrize("keep_going", [False, True])
def test_a_failure_stops_what_depends_on_it_and_says_why(stages, dvc, capsys, keep_going):
    repository = stages(
        bad=("echo working; echo 'error: no luck' >&2; exit 3", ["code.txt"], ["bad.txt"]),
        beside=("sleep 0.3; echo beside >> ran.txt; touch b.txt", ["code.txt"], ["b.txt"]),
        never=("echo never >> ran.txt; touch n.txt", ["bad.txt"], ["n.txt"]),
        then=("echo then >> ran.txt; touch t.txt", ["b.txt"], ["t.txt"]),
    )
    (repository / "code.txt").write_text("1\n")
    assert run(repository, jobs=2, keep_going=keep_going) == 3
    out = capsys.readouterr().out
    assert "error: stage bad failed (exit code 3)\n  error: no luck\n  all that it printed: " in out
    assert "not run, since they need what failed: never" in out
    assert "the same command goes on from here" in out
    assert ran(repository) == ["beside", "then"] if keep_going else ["beside"]
    stale = dvc("status")
    assert "bad:" in stale
    assert "beside:" not in stale
    assert ("then:" in stale) != keep_going


def test_an_output_that_is_not_made_is_a_failure(stages, capsys):
    repository = stages(
        forgets=("true", ["code.txt"], ["a.txt"]), other=("touch b.txt", ["code.txt"], ["b.txt"])
    )
    (repository / "code.txt").write_text("1\n")
    assert run(repository, jobs=1, keep_going=True) == 1
    assert "output 'a.txt' does not exist" in capsys.readouterr().out
    assert (repository / "b.txt").exists()


def test_a_missing_source_is_a_failure(stages, capsys):
    repository = stages(needs=("touch a.txt", ["code.txt"], ["a.txt"]))
    assert run(repository, jobs=1) == 1
    assert "code.txt: No such file or directory" in capsys.readouterr().out


def test_commands_of_all_kinds(stages, dvc):
    repository = stages(
        several={"cmd": ["echo one > a.txt", 'echo "$DVC_STAGE" >> a.txt', "exit 0"], "outs": ["a.txt"]},
        inside={"cmd": "basename $PWD > b.txt", "wdir": "sub", "outs": ["b.txt"]},
        always={"cmd": "echo always >> ran.txt; echo 1 > c.txt", "always_changed": True, "outs": ["c.txt"]},
        uncached={"cmd": "echo 1 > d.txt", "deps": ["a.txt"], "outs": [{"d.txt": {"cache": False}}]},
        callback={"cmd": "echo callback >> ran.txt"},
        kept={"cmd": "echo x >> e.txt", "deps": ["a.txt"], "outs": [{"e.txt": {"persist": True}}]},
        frozen={"cmd": "exit 1", "deps": ["a.txt"], "outs": ["f.txt"], "frozen": True},
    )
    (repository / "sub").mkdir()
    (repository / "f.txt").write_text("by hand\n")
    assert run(repository, jobs=2) == 0
    assert (repository / "a.txt").read_text() == "one\nseveral\n"
    assert (repository / "sub/b.txt").read_text() == "sub\n"
    lock = (repository / "dvc.lock").read_bytes()
    assert run(repository, jobs=2) == 0
    assert sorted(ran(repository)) == ["always", "always", "callback", "callback"]
    (repository / "dvc.lock").unlink()
    (repository / "e.txt").unlink()
    dvc("repro")
    assert (repository / "dvc.lock").read_bytes() == lock


def test_the_stages_python_is_the_one_that_runs_them(stages, monkeypatch):
    repository = stages(which={"cmd": "command -v python > a.txt", "outs": ["a.txt"]})
    monkeypatch.setenv("PATH", os.defpath)
    assert run(repository, jobs=1) == 0
    assert Path((repository / "a.txt").read_text().strip()).parent == Path(sys.executable).parent


def test_a_stage_that_no_cache_holds_is_noted_in_order_as_well(stages, dvc):
    repository = stages(
        slow=("sleep 0.5; touch a.txt", ["code.txt"], ["a.txt"]),
        plain={"cmd": "touch b.txt", "deps": ["code.txt"], "outs": [{"b.txt": {"cache": False}}]},
        other=("touch c.txt", ["code.txt"], ["c.txt"]),
    )
    (repository / "code.txt").write_text("1\n")
    assert run(repository, jobs=2) == 0
    lock = (repository / "dvc.lock").read_text()
    assert re.findall(r"^  (\w+):", lock, re.M) == ["slow", "plain", "other"]
    (repository / "dvc.lock").unlink()
    dvc("repro")
    assert (repository / "dvc.lock").read_text() == lock


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_stages_and_the_same_command_resumes(stages, capsys, number, code):
    repository = stages(
        quick=("touch a.txt", ["code.txt"], ["a.txt"]),
        long=("touch begun; test -f go || sleep 60; touch b.txt", ["a.txt"], ["b.txt"]),
        after=("touch c.txt", ["b.txt"], ["c.txt"]),
    )
    (repository / "code.txt").write_text("1\n")

    def interrupt():
        while not (repository / "begun").exists():
            time.sleep(0.05)
        signal.raise_signal(number)

    thread = threading.Thread(target=interrupt)
    thread.start()
    begin = time.monotonic()
    assert run(repository, jobs=2) == code
    thread.join()
    assert time.monotonic() - begin < 30
    out = capsys.readouterr().out
    assert "stopped while they ran: long" in out
    assert "1 of 3 stages are done: 1 ran" in out
    (repository / "go").touch()
    assert run(repository, jobs=2) == 0
    assert "3 of 3 stages are done: 2 ran, 1 as before" in capsys.readouterr().out


def test_two_at_once_are_refused(fan, dvc, capsys):
    with command._alone(fan), pytest.raises(UserError, match="another `python -m pipeline run`"):
        run(fan)
    refused = []

    def beside():
        while "quick" not in ran(fan):
            time.sleep(0.05)
        refused.append(dvc("repro", "-f", "slow", ok=False))

    thread = threading.Thread(target=beside)
    (fan / "dvc.yaml").write_text((fan / "dvc.yaml").read_text().replace("sleep 0.4", "sleep 5"))
    thread.start()
    assert run(fan, jobs=2) == 0
    thread.join()
    assert "is busy, it is being blocked by" in refused[0]
    assert "(stage slow)" in refused[0]


def test_beside_a_stage_of_dvc_repro_it_is_refused(fan, dvc):
    (fan / "dvc.yaml").write_text((fan / "dvc.yaml").read_text().replace("echo 1 >>", "sleep 4; echo 1 >>"))
    thread = threading.Thread(target=dvc, args=("repro", "first"))
    thread.start()
    held = fan / ".dvc/tmp/rwlock"
    while not (held.exists() and "first" in held.read_text()):
        time.sleep(0.1)
    with pytest.raises(UserError, match=r"blocked by:\n.*dvc repro first\nWait for it"):
        run(fan)
    thread.join()


def test_mistakes_are_messages(fan, tmp_path):
    with pytest.raises(UserError, match="Stage 'nonsense' not found"):
        run(fan, ["nonsense"])
    (fan / "dvc.yaml").write_text("stages:\n  a:\n    command: x\n")
    with pytest.raises(UserError, match=r"dvc\.yaml"):
        run(fan)
    with pytest.raises(UserError, match="not a DVC repository"):
        run(tmp_path)


def test_a_download_without_git_is_told_how_to_become_a_repository(fan):
    config = Path(".dvc/config")
    config.write_text(config.read_text().replace("no_scm = true", "no_scm = false"))
    with pytest.raises(UserError, match=r"is not a git repository; .*`git init && git add -A && git commit"):
        run(Path.cwd())


def test_slots_are_cores_or_gpus(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "cores", lambda: 8)
    params = command._params(tmp_path)
    assert command._slots(params, None, (), 1) == [{}] * 8  # no params.yaml: a core each
    assert command._slots(params, 3, (), 1) == [{}] * 3
    visible = [slot["CUDA_VISIBLE_DEVICES"] for slot in command._slots(params, None, ("0", "2"), 2)]
    assert visible == ["0", "2", "0", "2"]
    assert len(command._slots(params, 1, ("0", "2"), 2)) == 1


def test_the_end_of_the_terminal_stops_nothing_under_nohup():
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with command._heard_signals() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.asked == 0
            os.kill(os.getpid(), signal.SIGTERM)
            assert (stop.asked, stop.number) == (1, signal.SIGTERM)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, former)
