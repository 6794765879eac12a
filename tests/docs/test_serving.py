"""The server of docs/deploy.md answers with the network's predictions; deploy/Dockerfile runs the same."""

import json
import os
import re
import shlex
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest
from PIL import Image
from tests.docs.blocks import block
from tests.docs.test_transcripts import free_port
from tests.imports import ROOT
from tests.project import environment, run

from icsd.data.prepared import REPORT, PreparedData
from icsd.datasets.reading.masks import read_ids

PAGE = "docs/deploy.md"
SERVED = "mlflow models serve --model-uri served"
REGISTERED = "mlflow models serve --model-uri models:"


def recipe():
    """The instructions of the Dockerfile with their arguments; continued lines are joined."""
    text = (ROOT / "deploy/Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [tuple(line.split(" ", 1)) for line in lines]


def container_command():
    """The command that a container runs."""
    [words] = [json.loads(rest) for instruction, rest in recipe() if instruction == "CMD"]
    return words


def test_a_container_runs_the_documented_command_on_the_port_that_it_shows():
    [documented] = block(PAGE, SERVED).commands
    words = container_command()
    options = dict(zip(words[3::2], words[4::2], strict=True))
    assert words[:3] == ["mlflow", "models", "serve"]
    assert options.pop("--host") == "0.0.0.0"  # noqa: S104 - inside a container
    assert shlex.join(
        [*words[:3], *(word for pair in options.items() for word in pair)]
    ) == documented.replace("--model-uri served", "--model-uri /model")
    instructions = dict(recipe())
    assert options["--port"] == instructions["EXPOSE"]
    assert f"127.0.0.1:{options['--port']}/ping" in instructions["HEALTHCHECK"]
    build, start = block(PAGE, "docker build").commands
    assert shlex.split(build)[:4] == ["docker", "build", "-f", "deploy/Dockerfile"]
    assert f"-p {options['--port']}:{options['--port']}" in start


def test_the_recipe_is_in_an_order_that_docker_takes():
    instructions = [instruction for instruction, _ in recipe()]
    assert instructions[:2] == ["ARG", "FROM"]
    assert set(instructions) <= {
        *("ARG", "FROM", "COPY", "RUN", "USER", "WORKDIR", "EXPOSE"),
        "HEALTHCHECK",
        "CMD",
    }
    assert instructions[-1] == "CMD"
    users = [rest for instruction, rest in recipe() if instruction == "USER"]
    made = [rest.split()[-1] for instruction, rest in recipe() if rest.startswith("useradd")]
    assert users == made
    health = dict(recipe())["HEALTHCHECK"].partition("CMD ")[2]
    assert json.loads(health)[:2] == ["python", "-c"]
    compile(json.loads(health)[2], "HEALTHCHECK", "exec")


def copied():
    """The files that the Dockerfile copies from its build context."""
    return [rest.split()[0] for instruction, rest in recipe() if instruction == "COPY"]


@pytest.fixture(scope="module")
def project(reproduced, tmp_path_factory):
    """A copy of the reproduced project with a photograph, and its registered networks."""
    folder = tmp_path_factory.mktemp("serving") / "project"
    shutil.copytree(reproduced, folder, symlinks=True, ignore=shutil.ignore_patterns(".state"))
    (folder / "photos").mkdir()
    split = PreparedData(folder / "data/shapes/processed").split(REPORT)
    Image.fromarray(split[0][0]).save(folder / "photos/0.png")
    return folder


@contextmanager
def served(project, words):
    """Start a server with a command, and yield the port at which it answers; end it afterwards."""
    port = free_port()
    words = [str(port) if word == "5001" else word for word in words]
    with (
        (project / "server.log").open("w+") as log,
        subprocess.Popen(
            words, cwd=project, env=environment(project), start_new_session=True, stdout=log, stderr=log
        ) as process,
    ):
        try:
            until = time.monotonic() + 240
            while not _is_up(port):
                assert process.poll() is None, (project / "server.log").read_text()
                assert time.monotonic() < until, (project / "server.log").read_text()
                time.sleep(0.5)
            yield port
        finally:
            os.killpg(process.pid, 15)


def _is_up(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def asked(project, port, image="photos/0.png"):
    """The classes that the page's client writes for an image."""
    client = block(PAGE, '"""Send an image').content
    program = client.replace("5001", str(port)).replace("photos/0.png", image)
    printed = run(project, "python", "-c", program).stdout
    classes = read_ids(project / "classes.png")
    assert printed.startswith(f"{classes.shape} [")
    return classes


def predicted(project, model, out):
    """The classes that the command ``predict`` writes."""
    run(project, "python", "-m", "pipeline", "predict", model, "photos/0.png", "--out", out)
    return read_ids(project / out / "masks/0.png")


def refused(port, body):
    """The status of the answer to a request that is not an image."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"}
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=60)  # noqa: S310
    with caught.value as answer:
        return answer.code


@pytest.mark.slow
def test_a_registered_network_answers_as_the_evaluation_predicts(project):
    [command] = block(PAGE, REGISTERED).commands
    champion = re.search(r"models:\S+", command)[0]
    with served(project, shlex.split(command)) as port:
        classes = asked(project, port)
        bodies = (b"{}", b"nonsense", b'{"inputs": [[1, 2]]}', b'{"inputs": [[[[300, 1, 2]]]]}')
        assert [refused(port, body) for body in bodies] == [400, 400, 400, 400]
        assert (asked(project, port) == classes).all(), "and goes on"
    assert (classes == predicted(project, champion, "of_champion")).mean() > 0.999


@pytest.mark.slow
def test_a_file_in_8_bits_is_served_as_in_the_container(project, tmp_path):
    [export] = block(PAGE, "python -m pipeline export").commands
    run(project, *shlex.split(export))
    run(project, "python", "-W", "ignore", "-c", block(PAGE, '"""A folder').content)
    there = project / "served"
    assert {*copied()} == {"requirements.txt", "."}
    assert all((there / name).exists() for name in copied())
    assert [line.split("==")[0] for line in (there / "requirements.txt").read_text().splitlines()] == [
        *("mlflow", "onnx", "onnxruntime")
    ]
    shutil.copytree(there, tmp_path / "model")
    changes = {"/model": str(tmp_path / "model"), "0.0.0.0": "127.0.0.1"}  # noqa: S104
    with served(project, [changes.get(word, word) for word in container_command()]) as port:
        classes = asked(project, port)
        assert refused(port, b"{}") == 400
    assert (classes == predicted(project, "served.onnx", "of_file")).mean() > 0.999


@pytest.mark.slow
def test_a_registered_network_can_be_copied_into_a_container(project):
    [command] = re.findall(r"`(mlflow artifacts download [^`]+)`", (ROOT / PAGE).read_text())
    run(project, *shlex.split(command))
    assert all((project / "champion" / name).exists() for name in copied())
    assert "torch==" in (project / "champion/requirements.txt").read_text()
