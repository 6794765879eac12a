"""Faulty tracking servers on loopback: slow, refusing, dying, or never answering."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

Refusal = tuple[int, str]
"""Status and body."""


class Store:
    """In-memory fake of the parts of MLflow's REST interface that this project's records need.

    Attributes:
        points: Run id -> set of (key, step, value, time).
        uploads: Paths of the accepted artifacts.
        delay: Seconds before each answer.
        refuse: Function from method and path to an error to answer with; None to accept.
    """

    def __init__(self, delay: float = 0.0) -> None:
        self.delay = delay
        self.refuse: Callable[[str, str], Refusal | None] = lambda method, path: None
        self.runs: dict[str, dict[str, Any]] = {}
        self.points: dict[str, set[tuple[str, int, float, int]]] = {}
        self.uploads: list[str] = []
        self.requests = 0
        self._guard = threading.Lock()

    def answer(self, method: str, path: str, body: dict[str, Any]) -> Refusal:
        """The status and body of an answer."""
        time.sleep(self.delay)
        if refusal := self.refuse(method, path):
            return refusal
        with self._guard:
            self.requests += 1
            if "mlflow-artifacts" in path:
                self.uploads.append(path.rpartition("/artifacts/")[2])
                return 200, "{}"
            name = path.partition("?")[0].partition("/mlflow/")[2].replace("/", "_").replace("-", "_")
            return 200, json.dumps(getattr(self, f"_{name}", lambda body: {})(body | _query(path)))

    def _experiments_get_by_name(self, body: dict[str, Any]) -> dict[str, Any]:
        kind = {"key": "mlflow.experimentKind", "value": "custom_model_development"}
        where = "mlflow-artifacts:/1"
        experiment = {
            "experiment_id": "1",
            "name": "e",
            "lifecycle_stage": "active",
            "artifact_location": where,
        }
        return {"experiment": {**experiment, "tags": [kind]}}

    def _experiments_search(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"experiments": []}

    def _runs_search(self, body: dict[str, Any]) -> dict[str, Any]:
        wanted = [part.split(" = ") for part in body.get("filter", "").split(" and ") if part]
        found = [
            run
            for run in self.runs.values()
            if all(
                {"key": key.removeprefix("tags.").strip("`"), "value": value.strip("'\"")}
                in run["data"]["tags"]
                for key, value in wanted
            )
        ]
        return {"runs": found}

    def _runs_create(self, body: dict[str, Any]) -> dict[str, Any]:
        run_id = uuid4().hex
        info = {
            "run_id": run_id,
            "run_uuid": run_id,
            "experiment_id": "1",
            "run_name": body.get("run_name", ""),
            "status": "RUNNING",
            "start_time": body.get("start_time", 0),
            "lifecycle_stage": "active",
            "artifact_uri": f"mlflow-artifacts:/1/{run_id}/artifacts",
        }
        self.runs[run_id] = {
            "info": info,
            "data": {"tags": body.get("tags", []), "params": [], "metrics": []},
        }
        self.points[run_id] = set()
        return {"run": self.runs[run_id]}

    def _runs_get(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"run": self.runs[body["run_id"]]}

    def _runs_update(self, body: dict[str, Any]) -> dict[str, Any]:
        info = self.runs[body["run_id"]]["info"]
        info.update({key: body[key] for key in ("status", "end_time") if key in body})
        return {"run_info": info}

    def _runs_log_batch(self, body: dict[str, Any]) -> dict[str, Any]:
        for metric in body.get("metrics", ()):
            point = (
                metric["key"],
                int(metric.get("step", 0)),
                float(metric["value"]),
                int(metric["timestamp"]),
            )
            self.points[body["run_id"]].add(point)
        return {}

    @property
    def ended(self) -> list[str]:
        """The status of the runs of networks."""
        child = {"key": "icsd.role", "value": "child"}
        return [run["info"]["status"] for run in self.runs.values() if child in run["data"]["tags"]]

    def steps(self, key: str) -> list[int]:
        """The steps of a metric in all runs, each as often as it was recorded."""
        return sorted(step for points in self.points.values() for name, step, *_ in points if name == key)


def _query(path: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in path.partition("?")[2].split("&") if "=" in pair)


@contextmanager
def serving(store: Store, port: int = 0) -> Iterator[str]:
    """The address at which a store answers."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                body = json.loads(content)
            except ValueError:
                body = {}
            status, text = store.answer(self.command, self.path, body if isinstance(body, dict) else {})
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:  # the client went away
            pass

    with Server(("127.0.0.1", port), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


@contextmanager
def black_hole() -> Iterator[str]:
    """An address that accepts connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def nobody() -> Iterator[str]:
    """An address where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    yield f"http://127.0.0.1:{port}"
