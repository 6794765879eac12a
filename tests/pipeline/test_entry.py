"""The entry, called in this process: the arguments that each command passes on, and their handling."""

import ast
import errno
import io
import os
import re
import runpy
import signal
import sys
import threading
import time
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from click.testing import CliRunner
from pipeline import environment, leaving, parent
from pipeline.cli import cli, main
from pipeline.failures import failures_as_messages
from pipeline.spellings import FormerModules, former_command

from icsd.errors import UserError


@pytest.mark.parametrize(
    ("typed", "function", "expected"),
    [
        ("validate --show", "icsd.stages.validate.validate", {"show": True}),
        ("download", "icsd.stages.download.download", {}),
        ("preprocess", "icsd.stages.preprocess.preprocess", {}),
        ("train-teacher", "icsd.stages.training.run.train_teacher", {}),
        (
            "train-student --method kd --student resnet18 --seed 3",
            "icsd.stages.training.run.train_student",
            {"method": "kd", "student": "resnet18", "seed": 3},
        ),
        ("evaluate --method teacher", "icsd.stages.evaluation.run.evaluate_teacher", {}),
        ("evaluate --method kd", "icsd.stages.evaluation.run.evaluate_students", {"method": "kd"}),
        ("deploy", "icsd.stages.deploy.run.deploy", {}),
        ("report", "icsd.stages.report.report", {}),
        (
            "tune kd icsd --trials 3",
            "icsd.commands.tune.run.tune",
            {"methods": ("kd", "icsd"), "trials": 3, "student": None},
        ),
        (
            "verify --method kd --seed 0",
            "icsd.commands.verify.run.verify",
            {"method": "kd", "student": None, "seed": 0},
        ),
        ("repair", "icsd.commands.repair.repair", {}),
    ],
)
def test_a_command_hands_its_arguments_on(monkeypatch, typed, function, expected):
    module, _, name = function.rpartition(".")
    calls = []

    def stand_in(root, **arguments):
        calls.append((root, arguments))
        return ["mended"] if name == "repair" else 0

    monkeypatch.setattr(import_module(module), name, stand_in)
    result = CliRunner().invoke(cli, typed.split())
    assert result.exit_code == 0, result.output
    assert calls == [(Path.cwd(), expected)]


def test_a_new_dataset_asks_nobody_without_a_terminal(monkeypatch):
    calls = []
    monkeypatch.setattr(
        "icsd.commands.new_dataset.run.new_dataset", lambda *args, **rest: calls.append((args, rest))
    )
    CliRunner().invoke(cli, ["new-dataset", "photos", "--name", "mine", "--force"])
    assert calls == [((Path.cwd(), Path("photos")), {"name": "mine", "ask": False, "force": True})]


def test_the_exit_code_of_verify_is_the_commands(monkeypatch):
    monkeypatch.setattr("icsd.commands.verify.run.verify", lambda *_, **__: 2)
    assert CliRunner().invoke(cli, ["verify"]).exit_code == 2


@pytest.mark.parametrize(("left", "code", "said"), [("", 0, "has everything"), ("two wait", 1, "two wait")])
def test_delivering_says_what_is_left(monkeypatch, left, code, said):
    monkeypatch.setattr("icsd.commands.deliver.deliver", lambda root: left)
    result = CliRunner().invoke(cli, ["deliver"])
    assert (result.exit_code, said in result.output) == (code, True)


def test_the_table_of_experiments_is_printed_as_it_is(monkeypatch):
    given = {}
    monkeypatch.setattr(
        "icsd.commands.experiments.run.show_experiments",
        lambda root, **arguments: given.update(arguments) or "a table\n",
    )
    assert CliRunner().invoke(cli, ["experiments", "--csv"]).output == "a table\n"
    assert given == {"methods": None, "all_commits": False, "as_csv": True}


def test_without_a_command_all_are_listed_by_section():
    lines = CliRunner().invoke(cli, []).output.splitlines()
    first_words = [line.split()[0] for line in lines if line.strip()]
    assert first_words[first_words.index("Stages") + 1] == "validate"
    order = [first_words.index(name) for name in ("validate", "report", "verify", "completion")]
    assert order == sorted(order)


def test_a_mistyped_command_is_answered_with_the_nearest():
    result = CliRunner().invoke(cli, ["train_teachr"])
    assert result.exit_code == 2
    assert "Did you mean 'train-teacher'?" in result.output


def test_the_version_is_that_of_pyproject():
    assert CliRunner().invoke(cli, ["--version"]).output.startswith("icsd 0.")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_defines_the_alias(shell):
    result = CliRunner().invoke(cli, ["completion", shell])
    assert result.exit_code == 0
    assert "python -m pipeline" in result.output


def test_methods_are_completed_from_params_and_nothing_without_them(tmp_path, monkeypatch):
    complete = next(p for p in cli.commands["evaluate"].params if p.name == "method").shell_complete
    context = cli.commands["evaluate"].make_context("evaluate", ["--method", "kd"])
    (tmp_path / "params.yaml").write_text("methods: {kd: {}, icsd: {}}\n")
    monkeypatch.chdir(tmp_path)
    assert [item.value for item in complete(context, "k")] == ["kd"]
    (tmp_path / "params.yaml").unlink()
    assert complete(context, "k") == []


def test_the_entry_is_what_python_m_runs(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["pipeline", "--version"])
    left: list[int] = []
    monkeypatch.setattr(leaving, "leave", left.append)
    former = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    try:
        runpy.run_module("pipeline", run_name="__main__", alter_sys=True)
    finally:
        signal.signal(signal.SIGINT, former[0])
        signal.signal(signal.SIGTERM, former[1])
    assert capsys.readouterr().out.startswith("icsd 0.")
    assert left == [0]


def without_packages(monkeypatch, folder):
    monkeypatch.setattr(environment, "PACKAGES", ("no_such_package", "no.such"))
    environment.check_environment()


def half_installed(monkeypatch, folder):
    """The remains of a package whose installation was interrupted."""
    (folder / "half_a_package" / "lib").mkdir(parents=True)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(environment, "PACKAGES", ("half_a_package",))
    environment.check_environment()


def too_old(monkeypatch, folder):
    monkeypatch.setattr(environment, "OLDEST", (99, 0))
    monkeypatch.setitem(sys.modules, "pipeline.compiler", None)  # an older Python could not read it
    runpy.run_path(str(Path(environment.__file__).with_name("__init__.py")))


def with_a_damaged_package(monkeypatch, folder):
    (folder / "damaged_package.py").write_text("raise ImportError('libx.so.1: cannot open', name=__name__)")
    monkeypatch.syspath_prepend(folder)
    with failures_as_messages():
        import_module("damaged_package")


def with_a_damaged_click(monkeypatch, folder):
    monkeypatch.setattr(environment, "PACKAGES", ())
    monkeypatch.setitem(sys.modules, "click", None)
    for name in ("pipeline.cli", "pipeline.groups", "pipeline.failures"):
        monkeypatch.delitem(sys.modules, name)
    runpy.run_module("pipeline", run_name="__main__", alter_sys=True)


@pytest.mark.parametrize(
    ("python", "said"),
    [
        (too_old, "needs Python 99.0 or newer"),
        (without_packages, "missing from this Python: no_such_package, no.such"),
        (half_installed, "missing from this Python: half_a_package"),
        (with_a_damaged_package, "damaged_package cannot be imported.*libx.so.1: cannot open"),
        (with_a_damaged_click, "click cannot be imported"),
    ],
)
def test_another_python_is_told_what_it_lacks(monkeypatch, capsys, tmp_path, python, said):
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        python(monkeypatch, tmp_path)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert re.search(said, error)
    assert sys.executable in error


def test_the_check_of_the_python_can_be_read_by_those_that_it_refuses():
    folder = Path(environment.__file__).parent
    for name in ("environment.py", "__init__.py"):
        ast.parse((folder / name).read_text(), feature_version=(3, 6))


def test_what_the_encoding_of_the_terminal_lacks_is_escaped(monkeypatch):
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="ascii"))
    monkeypatch.setattr(sys, "argv", ["pipeline", "preprocess"])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr("icsd.stages.preprocess.preprocess", lambda root: print("kd · a name: \udcff"))
    main()
    sys.stdout.flush()
    assert shown.getvalue() == b"kd \\xb7 a name: \\udcff\n"


def test_this_python_is_the_projects():
    environment.check_environment()


def test_a_former_module_leads_to_its_command(capsys):
    assert former_command("pipeline.train_teacher") == "train-teacher"
    assert "is spelled python -m pipeline train-teacher now" in capsys.readouterr().err
    assert former_command("pipeline.__main__") is None
    finder = FormerModules()
    assert finder.find_spec("pipeline.distill", None).name == "pipeline.distill"
    assert finder.find_spec("pipeline.nothing", None) is None


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UserError("no such method"), 2, "error: no such method"),
        (FloatingPointError("loss"), 1, "error: loss"),
        (OSError(28, "No space left on device", "x"), 74, "x: No space left on device; the disk is full"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (SystemExit(143), 143, "terminated"),
        (KeyError("a"), 70, "unforeseen KeyError"),
    ],
)
def test_every_failure_has_its_exit_code(error, code, said, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("ICSD_DEBUG", raising=False)
    former = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as ended, failures_as_messages():
            raise error
    finally:
        signal.signal(signal.SIGTERM, former)
    assert ended.value.code == code
    assert said in capsys.readouterr().err


def message_of(error, capsys, monkeypatch, folder):
    monkeypatch.setenv("DVC_ROOT", str(folder))
    monkeypatch.chdir(folder)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit), failures_as_messages():
        raise error
    return capsys.readouterr().err


def test_a_module_of_the_project_that_is_missing_is_a_defect_and_no_installation(
    capsys, tmp_path, monkeypatch
):
    error = ModuleNotFoundError("No module named 'icsd.lost'", name="icsd.lost")
    assert "unforeseen ModuleNotFoundError" in message_of(error, capsys, monkeypatch, tmp_path)


@pytest.mark.parametrize(
    ("room", "files", "said"),
    [
        (0, 1000, r"the disk is full \(no space left on /[^)]*\): free some space"),
        (10**6, 0, r"the disk is full \(/\S* holds as many files as it can[^)]*\): free some space"),
        (10**6, 1000, "the disk is full: free some space"),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_a_full_disk_is_named_with_what_is_kept_and_is_no_defect(
    capsys, tmp_path, monkeypatch, room, files, said, named
):
    usage = SimpleNamespace(f_bavail=room, f_frsize=4096, f_files=1000, f_favail=files)
    monkeypatch.setattr(os, "statvfs", lambda folder: usage)
    place = [str(tmp_path / "runs/shapes/x")] if named else []
    message = message_of(
        OSError(errno.ENOSPC, "No space left on device", *place), capsys, monkeypatch, tmp_path
    )
    assert re.search(said, message)
    assert "Finished epochs, trials and downloads are kept in .state/" in message
    assert "report" not in message
    assert list(tmp_path.iterdir()) == []  # no log, which would fill the disk


def test_a_limit_of_file_sizes_is_no_defect(capsys, tmp_path, monkeypatch):
    message = message_of(
        OSError(errno.EFBIG, "File too large", "x/checkpoint.pt"), capsys, monkeypatch, tmp_path
    )
    assert "x/checkpoint.pt: File too large; the limit of file sizes is too low (`ulimit -f`)" in message
    assert list(tmp_path.iterdir()) == []


def test_what_the_system_refuses_for_no_known_reason_leaves_a_log(capsys, tmp_path, monkeypatch):
    message = message_of(OSError(errno.EIO, "Input/output error"), capsys, monkeypatch, tmp_path)
    assert "please send that file" in message
    assert len(list((tmp_path / ".state/logs").iterdir())) == 1


class Ended:
    """A ``dvc`` process that has ended."""

    def is_running(self):
        raise psutil.NoSuchProcess(1)


def test_a_stage_whose_dvc_is_gone_asks_itself_to_stop_and_then_ends(monkeypatch, capsys):
    done = []
    monkeypatch.setattr(os, "kill", lambda *how: done.append(how))
    monkeypatch.setattr(os, "_exit", done.append)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    parent._watch(Ended())
    assert done == [(os.getpid(), signal.SIGTERM), 143]
    assert "is gone; stopping" in capsys.readouterr().out


def test_only_a_stage_of_dvc_is_watched_and_its_dvc_is_found_above_the_shell(monkeypatch):
    watched = []

    class Process:
        def __init__(self, *words):
            self.words = words

        def cmdline(self):
            return self.words

        def parents(self):
            return [Process("/bin/sh", "-c"), Process("python", "/bin/dvc", "repro"), Process("bash")]

    monkeypatch.setattr(parent, "_watch", lambda owner: watched.append(owner.cmdline()))
    monkeypatch.setattr(psutil, "Process", Process)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    parent.end_with_parent()
    assert watched == []
    monkeypatch.setenv("DVC_STAGE", "report")
    parent.end_with_parent()
    for thread in threading.enumerate():
        if thread.name == "end-with-parent":
            thread.join(5)
    assert watched == [("python", "/bin/dvc", "repro")]
    monkeypatch.setattr(Process, "parents", lambda self: [])
    parent.end_with_parent()  # gone already
    assert len(watched) == 1


def test_a_process_that_has_ended_but_is_still_listed_counts_as_gone():
    assert parent._is_alive(psutil.Process())
    assert not parent._is_alive(Ended())
