"""Shell commands of the documentation, run in a tiny project, print what the documentation shows."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest
from PIL import Image
from tests.docs.blocks import block
from tests.project import change, environment, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(reproduced, tmp_path_factory):
    """A copy of the reproduced project, with its models."""
    folder = tmp_path_factory.mktemp("transcripts") / "project"
    shutil.copytree(reproduced, folder, symlinks=True, ignore=shutil.ignore_patterns(".state"))
    run(folder, "git", "checkout", "-q", "--", ".")
    return folder


def typed(project, command, *, ok=True):
    """What a command prints, on stdout and stderr."""
    done = run(project, "bash", "-c", command, ok=ok)
    assert ok or done.returncode != 0
    return done.stdout + done.stderr


def shape(line):
    """A line without the parts that differ between runs: digests, numbers, and the text for \"...\"."""
    line = re.sub(r"\b[0-9a-f]{12}\b", "<digest>", line)
    line = re.sub(r"\d+(\.\d+)?", "<number>", line)
    line = re.sub(r"of seed <number>, as|over <number> seeds, as", "of its seeds, as", line)
    return re.sub(r"version <number>: .*", "version <number>: ...", line)


def assert_printed(lines, output):
    """All of ``lines`` are in the output, in this order, up to numbers; ``...`` is anything."""
    printed = iter(map(shape, output.splitlines()))
    for line in lines:
        assert line == "..." or shape(line) in printed, f"{line!r} is not in\n{output}"


def test_a_mistake(project):
    shown = block("docs/experiments.md", "$ dvc exp run -S")
    assert_printed(shown.printed, typed(project, shown.commands[0], ok=False))
    run(project, "git", "restore", "params.yaml")


def test_an_experiment_and_the_way_back(project):
    shown = block("docs/experiments.md", "$ dvc exp run -n")
    assert_printed(shown.printed, typed(project, shown.commands[0]))
    [back] = block("docs/experiments.md", "git restore").commands
    output = typed(project, back)
    run(project, "git", "diff", "--exit-code", "HEAD", "--", "params.yaml")
    assert "Running stage 'distill" not in output
    assert "Running stage 'baselines" not in output
    assert "up to date" in typed(project, "dvc status")


def test_verify(project):
    shown = block("docs/running.md", "$ python -m pipeline verify")
    before = (project / "params.yaml").read_bytes()
    change(project, methods={"kd": {"temperature": 4.0}})
    output = typed(project, shown.commands[0], ok=False)
    (project / "params.yaml").write_bytes(before)
    assert list(map(shape, shown.printed)) == list(map(shape, output.splitlines()))


def test_a_model_is_used_in_python(project):
    image = np.random.default_rng(0).integers(0, 256, (40, 56, 3)).astype(np.uint8)
    Image.fromarray(image).save(project / "image.png")
    program = block("docs/models.md", "import mlflow").content + "print(classes.shape, classes.max() < 9)"
    assert run(project, sys.executable, "-W", "ignore", "-c", program).stdout.endswith("(40, 56) True\n")


def test_every_kind_of_remote_is_accepted_and_a_folder_takes_everything(project, tmp_path):
    folder, *others = block("docs/running.md", "dvc remote add").commands
    for command in others[:-1]:
        typed(project, command)
        if command is others[-2]:
            typed(project, others[-1])  # is about the one before
        typed(project, "dvc remote remove --local store")
    typed(project, folder.replace("/mnt/shared/icsd", str(tmp_path / "remote")))
    typed(project, "dvc push --run-cache")
    assert "in sync" in typed(project, "dvc status -c")


def test_links_to_the_cache_are_chosen(project):
    for command in block("docs/running.md", "dvc config").commands:
        typed(project, command)
    assert "up to date" in typed(project, "dvc status")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def answers(project, command, address):
    """Whether a server that the command starts answers; it is ended."""
    with subprocess.Popen(
        ["bash", "-c", f"exec {command}"],
        cwd=project,
        env=environment(project),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            until = time.monotonic() + 90
            while time.monotonic() < until and process.poll() is None:
                try:
                    with urllib.request.urlopen(f"{address}/health", timeout=5) as answer:  # noqa: S310
                        return answer.read() == b"OK"
                except OSError:
                    time.sleep(0.5)
            return False
        finally:
            os.killpg(process.pid, 15)


def test_mlflow_shows_the_store_of_the_checkout(project):
    port = free_port()
    [command] = block("docs/mlflow.md", "mlflow ui").commands
    assert answers(project, f"{command} --port {port}", f"http://127.0.0.1:{port}")


def test_a_server_is_started_so(project, tmp_path):
    """With SQLite for PostgreSQL, and on this machine alone."""
    [_, command] = block("docs/mlflow.md", "sudo").commands
    [address] = block("docs/mlflow.md", "export").commands
    port = free_port()
    variable, command = command.split(" ", 1)
    command = re.sub(r"postgresql\S+", f"sqlite:///{tmp_path}/mlflow.db", command)
    command = (
        command.replace("0.0.0.0", "127.0.0.1")  # noqa: S104
        .replace("5000", str(port))
        .replace("/srv/mlflow", str(tmp_path))
    )
    command = command.replace("tracking.example", f"127.0.0.1:{port}")
    url = address.partition("=")[2].replace("tracking.example", "127.0.0.1").replace("5000", str(port))
    assert answers(project, f"env {variable} {command}", url)
