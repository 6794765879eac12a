import os
import re
import shutil
import signal
import subprocess
import sys

import psutil
import pytest
from pipeline.cli import cli
from pipeline.failures import failures_as_messages
from pipeline.spellings import COMMANDS
from tests.imports import ROOT
from tests.project import change, make_project, run, stage


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("entries") / "project")


@pytest.fixture
def typed(project, monkeypatch, capsys):
    """Run a command of the entry in this process: exit code, stdout, stderr."""

    def typed(*words):
        monkeypatch.chdir(project)
        former = signal.getsignal(signal.SIGTERM)
        code: object = 0
        try:
            with failures_as_messages():
                cli.main(list(words), prog_name="python -m pipeline", standalone_mode=False)
        except SystemExit as end:
            code = end.code
        finally:
            signal.signal(signal.SIGTERM, former)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return typed


def test_the_commands_are_listed_in_sections(project):
    listed = stage(project, "--help").stdout
    bare = stage(project, ok=False)
    assert listed in (bare.stdout, bare.stderr)
    names = re.findall(r"^  ([a-z][a-z-]+)  ", listed, flags=re.MULTILINE)
    assert names == list(cli.commands)
    assert "Stages of the pipeline" in listed
    assert "Tools" in listed


@pytest.mark.parametrize("name", cli.commands)
def test_help_says_what_it_does_and_gives_an_example(typed, name):
    _, shown, _ = typed(name, "--help")
    assert f"Example: python -m pipeline {name}" in shown


def test_the_former_spelling_works_and_says_how_it_is_spelled_now(project):
    done = run(project, sys.executable, "-m", "pipeline.validate", "--help")
    assert f"python -m pipeline {COMMANDS['validate']}" in done.stderr


def test_a_command_that_does_not_exist_is_answered_with_the_nearest(typed):
    code, _, error = typed("train_techer")
    assert code == 2
    assert "Did you mean 'train-teacher'?" in error


def test_a_mistake_is_a_message_and_not_a_traceback(project):
    change(project, alw={"decay": "cosin"})
    done = stage(project, "download", ok=False)
    change(project, alw={"decay": "linear"})
    assert done.returncode == 2
    assert done.stderr.startswith("error: params.yaml")
    assert "did you mean 'cosine'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_methods_blocks_are_checked_against_their_classes(project, typed):
    change(project, methods={"kd": {"temprature": 2.0}})
    code, _, error = typed("validate")
    project_params = (
        (project / "params.yaml").read_text(encoding="utf-8").replace("    temprature: 2.0\n", "")
    )
    (project / "params.yaml").write_text(project_params, encoding="utf-8")
    assert code == 2
    assert "methods.kd.temprature: unknown key; did you mean 'temperature'" in error


def test_classes_that_contradict_the_dataset_are_named(project, typed):
    preset = project / "configs/datasets/shapes.yaml"
    text = preset.read_text(encoding="utf-8")
    preset.write_text(text.replace("classes: 9", "classes: 11"), encoding="utf-8")
    code, _, error = typed("validate")
    preset.write_text(text, encoding="utf-8")
    assert code == 2
    assert "data.classes: is 11, but shapes has 9 classes" in error


def test_the_resolved_tree_can_be_seen(typed):
    _, shown, _ = typed("validate", "--show")
    assert "num_nodes: 1" in shown
    assert "width: 0.125" in shown


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e999"])
@pytest.mark.parametrize(
    "words",
    [
        ("worth", "kd", "--hours"),
        ("worth", "kd", "--margin"),
        ("predict", "model", "images", "--out", "out", "--overlap"),
        ("bench", "model", "--seconds"),
    ],
)
def test_what_is_no_number_is_refused_before_the_work(typed, words, number):
    code, _, error = typed(*words, number)
    assert code == 2
    assert f"Invalid value for '{words[-1]}'" in error


@pytest.mark.parametrize(
    "words",
    [("export", "model", "--to", "onnx"), ("bench", "model"), ("worth", "kd")],
)
def test_a_folder_in_place_of_a_file_to_write_is_refused_before_the_work(typed, project, words):
    code, _, error = typed(*words, "--out", "configs")
    assert code == 2
    assert "is a directory" in error


def test_an_unknown_method_is_answered_with_the_grid(typed):
    code, _, error = typed("evaluate", "--method", "aiscd")
    assert code == 2
    assert "none, kd, aicsd" in error


def test_help_imports_nothing_heavy(project):
    program = (
        "import sys; sys.argv = ['pipeline', '--help']\n"
        "from pipeline.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(sorted({'torch', 'mlflow', 'dvc', 'pandas', 'matplotlib'} & set(sys.modules)))"
    )
    assert run(project, sys.executable, "-c", program).stdout.endswith("[]\n")


def test_the_version_is_that_of_the_project(project):
    shutil.copy(ROOT / "pyproject.toml", project / "pyproject.toml")
    assert re.fullmatch(r"icsd \d+\.\d+\.\d+\n", stage(project, "--version").stdout)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [("train-", ["train-teacher", "train-student"]), ("tune ai", ["aicsd"]), ("verify --se", ["--seed"])],
)
def test_bash_completes_commands_options_and_methods(project, typed, expected):
    words = ["icsd", *typed.split(" ")]
    script = (
        f'eval "$({sys.executable} -m pipeline completion bash)"\n'
        f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}\n"
        '_icsd_completion icsd; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    offered = run(project, "bash", "-c", script).stdout.split()
    assert set(expected) <= set(offered)


def ended(code: str, *, before: str = "") -> subprocess.CompletedProcess[str]:
    """A process in which the given statement runs as a command would."""
    entry = "from pipeline.failures import failures_as_messages\nwith failures_as_messages():"
    program = f"{before}\n{entry}\n    {code}"
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("code", "exit_code", "words"),
    [
        ("raise KeyboardInterrupt", 130, "interrupted. Finished epochs"),
        ("raise FloatingPointError('loss ce is not finite')", 1, "error: loss ce is not finite"),
        (
            "raise OSError(28, 'No space left on device', 'x')",
            74,
            "x: No space left on device; the disk is full",
        ),
        ("open('/proc/1/nothing/there')", 74, "No such file or directory"),
        ("raise MemoryError", 70, "not enough memory"),
        ('raise RuntimeError("DefaultCPUAllocator: can\'t allocate memory")', 70, "not enough memory"),
        ("{}['key']", 70, "unforeseen KeyError: 'key'"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGINT)", 130, "interrupted. Finished epochs"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", 143, "terminated. Finished epochs"),
        ("raise OSError(30, 'Read-only file system', 'y/z')", 74, "y/z: Read-only file system; the file"),
        ("raise PermissionError(13, 'Permission denied', 'y')", 74, "y: Permission denied; no permission:"),
    ],
)
def test_every_failure_is_a_message_and_an_exit_code(code, exit_code, words, tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("ICSD_DEBUG", raising=False)
    done = ended(code)
    assert done.returncode == exit_code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    logs = list((tmp_path / ".state/logs").glob("*.log"))
    # A full disk or a missing permission is no defect, and asks for no log.
    assert len(logs) == (exit_code == 70 or words == "No such file or directory")
    assert all("Traceback" in log.read_text(encoding="utf-8") and str(log) in done.stderr for log in logs)


def test_ctrl_c_is_answered_though_the_entry_silenced_it_while_it_started():
    done = ended(
        "import os; os.kill(os.getpid(), signal.SIGINT)",
        before="import signal; signal.signal(signal.SIGINT, signal.SIG_DFL)",
    )
    assert done.returncode == 130
    assert "interrupted" in done.stderr


def test_a_failure_that_cannot_be_logged_is_still_a_message(tmp_path, monkeypatch):
    (tmp_path / ".state").write_text("a file where the folder should be", encoding="utf-8")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    done = ended("{}['key']")
    assert (done.returncode, done.stderr) == (70, "error: unforeseen KeyError: 'key'\n")


def test_debugging_lets_the_traceback_through(monkeypatch):
    monkeypatch.setenv("ICSD_DEBUG", "1")
    assert "Traceback" in ended("{}['key']").stderr


def test_a_stage_ends_with_the_dvc_that_started_it(tmp_path):
    """Here ``dvc`` is a program of that name that starts a child and is then killed."""
    child = (
        f"import sys, time; sys.path.insert(0, {str(ROOT)!r})\n"
        "from pipeline.parent import end_with_parent\n"
        "end_with_parent(); print('ready', flush=True); time.sleep(60)"
    )
    dvc = tmp_path / "dvc"
    dvc.write_text(
        f"import os, subprocess, sys\nos.environ['DVC_STAGE'] = 'stage'\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}])\n"
        "print(child.pid, flush=True)\nchild.wait()\n",
        encoding="utf-8",
    )
    with subprocess.Popen([sys.executable, str(dvc)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert process.stdout.readline() == "ready\n"
        process.kill()
        assert "stopping" in process.stdout.readline()
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=10)
    assert not psutil.pid_exists(pid)


def test_another_python_is_told_what_is_missing(tmp_path):
    (tmp_path / "pydantic.py").touch()  # it happens to have one of them
    done = subprocess.run(
        [sys.executable, "-S", "-m", "pipeline", "validate"],
        cwd=ROOT,
        env={"PYTHONPATH": str(tmp_path), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "the project's packages are missing from this Python" in done.stderr
    assert sys.executable in done.stderr
