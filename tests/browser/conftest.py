"""Fixtures for Debian's Chromium on the output of a small pipeline; no request leaves this machine."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from urllib.error import URLError
from urllib.request import urlopen

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def pytest_collection_modifyitems(items):
    for item in items:
        if "browser" in item.path.parts:
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.filterwarnings("ignore::DeprecationWarning"))


@pytest.fixture(scope="session")
def browser():
    """A headless browser; skips the test if there is none."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as running:
        # As root, and without the connections that the browser makes for itself.
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        started = running.chromium.launch(executable_path=program, args=options)
        yield started
        started.close()


@pytest.fixture
def page(browser):
    """A page that may only send requests to this machine; ``page.refused`` lists all others."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    refused = []

    def answer(route):
        if route.request.url.startswith(("http://127.0.0.1:", "file:", "data:", "blob:")):
            route.continue_()
        else:
            refused.append(route.request.url)
            route.abort()

    context.route("**/*", answer)
    # MLflow's assistant opens over the page on the first visit.
    context.add_init_script(
        "localStorage.setItem('mlflow.assistant.panelOpen_v1', 'false');"
        "localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true');"
    )
    opened = context.new_page()
    opened.set_default_timeout(60_000)
    opened.refused, opened.messages = refused, []
    opened.on("console", lambda message: opened.messages.append(message.text))
    opened.on("pageerror", lambda error: opened.messages.append(str(error)))
    yield opened
    context.close()


@pytest.fixture(scope="session")
def viewer(reproduced, tmp_path_factory):
    """Address of MLflow's pages, started as docs/mlflow.md says, beside a copy of the database.

    The artifacts' addresses in the copy still lead to the original, which is only read.
    """
    folder = tmp_path_factory.mktemp("viewer")
    shutil.copy(reproduced / "mlflow.db", folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "ui", "-w", "1", "--port", str(port)]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    inherited = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=inherited | quiet, stdout=log, stderr=log, start_new_session=True
        )
    address = f"http://127.0.0.1:{port}"
    until = time.monotonic() + 120
    while not answers(f"{address}/health"):
        running = process.poll() is None and time.monotonic() < until
        assert running, (folder / "log").read_text()
        time.sleep(0.3)
    yield address
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(30)


def answers(address):
    try:
        with urlopen(address, timeout=5) as reply:  # noqa: S310 - our own server
            return reply.status == 200
    except (URLError, OSError):
        return False
