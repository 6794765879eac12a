"""Experiments as people run them: in the workspace, alongside it, and several at a time."""

import csv
import json
import shutil
import time

import mlflow
import pytest
from tests.docs.blocks import block
from tests.project import run, stage

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def project(own_copy):
    return own_copy


def table(project):
    shown = stage(project, "experiments", "--csv").stdout
    rows = csv.DictReader(shown.splitlines())
    return {(row["experiment"], row["method"]): row for row in rows}


def groups(project):
    """DVC's experiment -> names of its runs, all of which have ended well."""
    client = mlflow.MlflowClient(f"sqlite:///{project}/mlflow.db")
    experiment = client.get_experiment_by_name("icsd-shapes")
    runs = client.search_runs([experiment.experiment_id])
    assert {each.info.status for each in runs} == {"FINISHED"}
    found: dict[str, list[str]] = {}
    for each in runs:
        group = each.data.tags["icsd.group"]
        dvc_name = group.rpartition("-")[0]
        name = dvc_name if each.info.run_name == group else each.info.run_name
        found.setdefault(dvc_name, []).append(name)
    return {group: sorted(names) for group, names in found.items()}


def test_several_changes_in_the_workspace_and_back(project):
    run(project, "dvc", "exp", "run", "-n", "both", "-S", "alw.decay=cosine", "-S", "alw.scope=teacher")
    row = table(project)["both", "aicsd"]
    assert row["changed"] == 'alw.decay="cosine"; alw.scope="teacher"'
    assert 0 <= float(row["miou"]) <= 1
    difference = run(project, "dvc", "metrics", "diff", "--all").stdout
    assert "resnet18.aicsd.miou" in difference
    changed = run(project, "dvc", "params", "diff").stdout
    assert "cosine" in changed
    run(project, "git", "checkout", "-q", "--", ".")
    run(project, "dvc", "checkout", "-q")
    assert "up to date" in run(project, "dvc", "status").stdout
    run(project, "dvc", "exp", "apply", "both")
    assert "decay: cosine" in (project / "params.yaml").read_text(encoding="utf-8")
    run(project, "git", "checkout", "-q", "--", ".")
    run(project, "dvc", "checkout", "-q")
    run(project, "dvc", "exp", "branch", "both", "keep-both")
    assert "keep-both" in run(project, "git", "branch", "--list").stdout


def test_results_of_another_machine_are_not_taken_for_a_parameters_doing(project):
    """The committed results are another machine's: their weights are in no cache here."""
    lock, before = project / "dvc.lock", (project / "dvc.lock").read_text(encoding="utf-8")
    at = before.index("- path: runs/shapes/none/resnet18-0\n", before.index("baselines@none"))
    at = before.index("md5: ", at) + len("md5: ")
    lock.write_text(before[:at] + "0" * 8 + before[at + 8 :], encoding="utf-8")
    run(project, "git", "commit", "-q", "-a", "-m", "results of another machine")
    run(project, "dvc", "exp", "run", "-n", "here", "-S", "alw.decay=cosine")
    rows = table(project)
    assert rows["here", "aicsd"]["elsewhere"] == "none/resnet18-0"
    assert "here ≠" in stage(project, "experiments").stdout
    # There is nothing to check out; what these parameters gave here comes from the run cache.
    run(project, "git", "restore", "params.yaml")
    run(project, "git", "diff", "--exit-code", "HEAD", "--", "params.yaml")
    done = run(project, "dvc", "repro").stdout
    assert "Running stage 'baselines" not in done
    assert "Running stage 'distill" not in done
    assert "up to date" in run(project, "dvc", "status").stdout
    run(project, "git", "commit", "-q", "-a", "-m", "the baseline of this machine")
    run(project, "dvc", "exp", "run", "-n", "again", "-S", "alw.decay=cosine")
    assert table(project)["again", "aicsd"]["elsewhere"] == ""
    run(project, "git", "restore", "params.yaml", "dvc.lock", "reports")
    run(project, "dvc", "checkout", "-q")
    assert "up to date" in run(project, "dvc", "status").stdout


def test_a_queue_runs_lists_and_ranges_side_by_side_into_one_store(project):
    before = (project / "params.yaml").read_bytes()
    queue, start, status = block("docs/experiments.md", "$ dvc exp run --queue").commands
    queued = run(project, "bash", "-c", queue)
    names = [
        line.split("'")[1] for line in queued.stdout.splitlines() if line.startswith("Queued experiment")
    ]
    assert len(names) == 4
    run(project, "dvc", "exp", "run", "--queue", "-n", "wrong", "-S", "alw.decay=cosin")
    run(project, "bash", "-c", start)
    assert run(project, "bash", "-c", status).stdout.split("\n")[0].split() == [
        "Task",
        "Name",
        "Created",
        "Status",
    ]
    states = finished(project, [*names, "wrong"])
    assert {name: states[name] for name in names} == dict.fromkeys(names, "Success"), logs(project, names)
    assert states["wrong"] == "Failed"
    assert "'cosin' is not a choice; did you mean 'cosine'" in logs(project, ["wrong"])
    assert (project / "params.yaml").read_bytes() == before
    rows = table(project)
    assert {rows[name, "aicsd"]["changed"] for name in names} == {
        *('alw.decay="step"; train.epochs=2', 'alw.decay="step"; train.epochs=3'),
        *('alw.decay="exponential"; train.epochs=2', 'alw.decay="exponential"; train.epochs=3'),
    }
    found = groups(project)
    for name in names:
        assert name in found[name], "every experiment has its parent run"
        assert "aicsd · resnet18 · seed 0" in found[name]
    assert not (project / ".dvc/tmp/exps").exists() or not list(project.glob(".dvc/tmp/exps/*/mlflow.db"))


def test_a_stage_from_the_run_cache_leads_to_the_run_that_trained_it(project):
    before = json.loads((project / "costs/shapes/kd/resnet18-0.json").read_text(encoding="utf-8"))
    shutil.rmtree(project / "runs/shapes/kd")
    (project / "costs/shapes/kd/resnet18-0.json").unlink()
    again = run(project, "dvc", "repro").stdout
    assert "is cached - skipping run" in again
    after = json.loads((project / "costs/shapes/kd/resnet18-0.json").read_text(encoding="utf-8"))
    assert after["mlflow"]["run_id"] == before["mlflow"]["run_id"] is not None


def test_the_plots_have_data_and_pictures(project):
    shown = json.loads(run(project, "dvc", "plots", "show", "--json").stdout)
    assert not shown.get("errors")
    assert {"Validation mIoU", "Weights of the loss terms", "Confusion in % of the true class"} <= set(
        shown["data"]
    )
    (curves,) = shown["data"]["Validation mIoU"]
    points = [point for point in curves["content"]["data"]["values"] if point["val_miou"]]
    assert {point["series"] for point in points} == {"Student alone", "KD", "AICSD"}
    pictures = [name for name in shown["data"] if name.endswith(".png")]
    assert any("ics_matrices" in name for name in pictures)
    both = json.loads(run(project, "dvc", "plots", "diff", "HEAD", "both", "--json").stdout)
    (weights,) = both["data"]["Weights of the loss terms"]
    assert {point["rev"] for point in weights["content"]["data"]["values"]} == {"HEAD", "both"}


def test_an_override_wins_over_the_preset_and_over_a_hand_edit_alike(project):
    done = run(
        project, "dvc", "exp", "run", "--temp", "-n", "wider", "-S", "networks.students.resnet18.width=0.25"
    )
    assert "distill@aicsd-resnet18-0" in done.stdout
    assert table(project)["wider", "aicsd"]["changed"] == "networks.students.resnet18.width=0.25"
    assert "wider" in groups(project)


def finished(project, names):
    """Wait for all experiments; name -> final state. DVC's list can be unreadable while it is written."""
    until = time.monotonic() + 400
    while time.monotonic() < until:
        done = run(project, "dvc", "queue", "status", ok=False)
        words = [line.split() for line in done.stdout.splitlines()]
        states = {row[1]: row[-1] for row in words if len(row) > 2 and row[1] in names}
        if (
            done.returncode == 0
            and len(states) == len(names)
            and set(states.values()) <= {"Success", "Failed"}
        ):
            return states
        time.sleep(2)
    raise AssertionError(f"the queue did not end: {done.stdout}")


def logs(project, names):
    shown = [run(project, "dvc", "queue", "logs", name, ok=False) for name in names]
    return "".join(done.stdout + done.stderr for done in shown)
