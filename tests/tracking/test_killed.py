"""A training that is killed anywhere and started again leaves each point once, in one run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import icsd
from icsd.tracking.run import find_runs
from icsd.tracking.store import open_client

pytestmark = pytest.mark.slow  # twenty processes
EPOCHS = 4
POINTS = [
    "run made",
    "half a line",
    "journal written",
    "sending announced",
    "sent",
    "delivery noted",
    "before checkpoint",
    "after checkpoint",
    "end recorded",
    "run ended",
]
# Each scenario: a training that kills itself at the named point (in epoch 2 if it can), then a second
# process that runs to the end. They are forked from one that has imported MLflow.
TRAINING = """
import os, signal, sys, warnings
from pathlib import Path
from icsd.tracking import delivery, run as runs, open_tracker
from icsd.tracking.journal import Journal

warnings.simplefilter("ignore")
delivery.PUSH_EVERY = 0.0
EPOCHS = int(sys.argv[2])

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def is_epoch_2(record):
    items = record.get("items", ())
    return record.get("step") == 2 or any(kind == "metric" and value["step"] == 2 for kind, value in items)

def arm(point):
    append, attach, take, deliver, send = (
        Journal.append, Journal.attach, Journal.take, Journal.deliver, delivery.send
    )
    seen = {"sent": False}

    def dying_append(journal, record):
        if is_epoch_2(record) and point == "half a line":
            with (journal.folder / "journal.jsonl").open("ab") as file:
                file.write(b'[123, {"kind": "metr')
            die()
        append(journal, record)
        if is_epoch_2(record) and point == "journal written":
            die()
        if point == "end recorded" and record["kind"] == "end":
            die()

    def dying_attach(journal, *arguments, **options):
        if point == "run made":
            die()
        attach(journal, *arguments, **options)

    def dying_take(journal):
        lines = take(journal)
        if point == "sending announced" and any(is_epoch_2(line.record) for line in lines):
            die()
        return lines

    def dying_send(client, run_id, record, folder):
        send(client, run_id, record, folder)
        seen["sent"] = seen["sent"] or is_epoch_2(record)
        if seen["sent"] and point == "sent":
            die()

    def dying_deliver(journal, *arguments, **options):
        deliver(journal, *arguments, **options)
        if seen["sent"] and point == "delivery noted":
            die()

    Journal.append, Journal.attach, Journal.take, Journal.deliver = (
        dying_append, dying_attach, dying_take, dying_deliver
    )
    delivery.send = dying_send

def train(root, point, checkpoint):
    done, run_id = checkpoint.read_text().split() if checkpoint.exists() else (0, None)
    done = int(done)
    tracker = open_tracker(
        root=root, experiment="icsd-shapes", group="workspace-1", name=point, tags={},
        state=root / ".state" / point, run_id=run_id,
    )
    with tracker:
        tracker.rewind(done)
        for epoch in range(done + 1, EPOCHS + 1):
            tracker.log({"loss": 1 / epoch, "miou": epoch / 10}, epoch)
            if epoch == 2 and "checkpoint" in point and not (root / (point + " killed")).exists():
                (root / (point + " killed")).touch()
                if point == "after checkpoint":
                    checkpoint.write_text(f"{epoch} {tracker.run_id}")
                die()
            checkpoint.write_text(f"{epoch} {tracker.run_id}")
    if point == "run ended" and done == 0:
        die()

def in_process(work):
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1]

root = Path(sys.argv[1])
warm = runs.RunDescription("warm", "up", "child", "", {})
runs.attach(root / "warm", warm)  # another store: this process only loads what its children need
for point in sys.argv[3:]:
    checkpoint = root / (point + ".checkpoint")
    first = in_process(lambda: (arm(point), train(root, point, checkpoint)))
    assert os.WIFSIGNALED(first), f"{point}: not killed ({first})"
    second = in_process(lambda: train(root, point, checkpoint))
    assert second == 0, f"{point}: the second process failed"
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    root = tmp_path_factory.mktemp("killed")
    for folder in (root, root / "warm"):
        folder.mkdir(exist_ok=True)
        shutil.copy(empty_store, folder)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "MLFLOW_"))}
    done = subprocess.run(
        [sys.executable, "-c", TRAINING, str(root), str(EPOCHS), *POINTS],
        capture_output=True,
        text=True,
        check=False,
        env={**environment, "PYTHONPATH": str(Path(icsd.__path__[0]).parent)},
    )
    assert done.returncode == 0, done.stderr
    return root


@pytest.mark.parametrize("point", POINTS)
def test_each_point_is_there_once(killed: Path, point: str) -> None:
    client = open_client(killed)
    experiment = client.get_experiment_by_name("icsd-shapes")
    assert experiment is not None
    runs = find_runs(client, experiment.experiment_id, {"mlflow.runName": point})
    assert [run.info.status for run in runs] == ["FINISHED"]
    for key, value in (("loss", lambda epoch: 1 / epoch), ("miou", lambda epoch: epoch / 10)):
        history = client.get_metric_history(runs[0].info.run_id, key)
        points = sorted((metric.step, metric.value) for metric in history)
        assert points == [(epoch, pytest.approx(value(epoch))) for epoch in range(1, EPOCHS + 1)]
    memory = client.get_metric_history(runs[0].info.run_id, "system/process_memory_megabytes")
    assert sorted(metric.step for metric in memory) == list(range(1, EPOCHS + 1))
