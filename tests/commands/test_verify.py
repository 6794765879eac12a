"""Verification of rows that are right, and of rows with every kind of fault."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch
from tests.project import change, make_project, outputs

from icsd.commands.verify.checks import differences_of
from icsd.commands.verify.run import verify
from icsd.errors import UserError
from icsd.models.weights import load_network, save_weights

ROW = "kd · resnet18 · seed 0"
RESULTS = "results/shapes/kd/resnet18-0"
RUN = "runs/shapes/kd/resnet18-0"


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A tiny project with a teacher and one student, measured and reported; no student of ``aicsd``."""
    from icsd.stages.download import download
    from icsd.stages.evaluation.run import evaluate_students, evaluate_teacher
    from icsd.stages.preprocess import preprocess
    from icsd.stages.training.run import train_student, train_teacher

    folder = make_project(
        tmp_path_factory.mktemp("verify") / "project", tracking={"enabled": False}, grid={"baselines": ["kd"]}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("DVC_ROOT", str(folder))
        download(folder)
        preprocess(folder)
        train_teacher(folder)
        train_student(folder, method="kd", student="resnet18", seed=0)
        evaluate_teacher(folder)
        evaluate_students(folder, method="kd")
    write_report(folder)
    return folder


def write_report(folder):
    """Write the columns of the report's tables in which rows are looked up."""
    records = [
        json.loads((folder / path / "metrics.json").read_text())
        for path in ("results/shapes/teacher", RESULTS)
    ]
    (folder / "reports/shapes").mkdir(parents=True)
    for name, values in (
        ("comparison", [{"miou_mean": f"{100 * row['miou']:.6g}"} for row in records]),
        ("provenance", [{"seed": row["seed"], "weights_sha256": row["weights_sha256"]} for row in records]),
    ):
        with (folder / f"reports/shapes/{name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, ["student", "method", *values[0]])
            writer.writeheader()
            for row, value in zip(records, values, strict=True):
                writer.writerow({"student": row["student"], "method": row["method"], **value})


@pytest.fixture
def project(measured, tmp_path, monkeypatch):
    folder = tmp_path / "project"
    shutil.copytree(measured, folder, ignore=shutil.ignore_patterns("src", "pipeline", ".state"))
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def check(project, capsys):
    """Verify rows: exit code, {subject: (state, details)} and the last line."""

    def check(method="kd", student="resnet18", seed=0):
        code = verify(project, method=method, student=student, seed=seed)
        lines = capsys.readouterr().out.splitlines()
        checks = {}
        for line in lines:
            if line.startswith("  ") and line[2] != " ":
                state, subject, text = line.split(maxsplit=2)
                checks[subject] = (state, text)
            elif line.startswith("   "):
                checks[subject] = (state, f"{checks[subject][1]}\n{line.strip()}")
        return code, checks, lines[-1]

    return check


def edit_json(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_what_nobody_touched_holds_and_is_not_touched(project, check):
    before = outputs(project)
    code, checks, last = check()
    assert (code, last) == (0, f"{ROW}: holds")
    assert list(checks) == ["code", "parameters", "data", "teacher", "weights", "report", "numbers"]
    assert {state for state, _ in checks.values()} == {"ok"}
    assert checks["weights"][1].endswith("as in metrics.json, reports/shapes/provenance.csv")
    assert outputs(project) == before


def test_the_teacher_has_a_row_too(check):
    code, checks, last = check("teacher")
    assert (code, last) == (0, "teacher · resnet18 · seed 0: holds")
    assert "teacher" not in checks


def test_parameters_that_differ_are_named_with_both_values(project, check):
    change(project, train={"lr": 0.5})
    code, checks, last = check()
    assert (code, last) == (1, f"{ROW}: does not hold: parameters")
    assert checks["parameters"][1] == "training.lr: 0.1 recorded, 0.5 now"


def test_another_methods_parameters_are_none_of_the_row(project, check):
    change(project, methods={"icsd": {"temperature": 3.0}}, alw={"decay": "cosine"})
    assert check()[0] == 0


def test_source_files_that_differ_are_named(project, check):
    path = project / RUN / "train.json"
    provenance = json.loads(path.read_text())["provenance"]
    provenance["code"]["icsd/methods/kd.py"] = "0" * 64
    edit_json(path, provenance=provenance)
    code, checks, last = check()
    assert (code, last) == (1, f"{ROW}: does not hold: code")
    assert checks["code"][1].startswith("icsd/methods/kd.py: 000000000000 recorded, ")


def test_other_data_is_told_from_damaged_data(project, check):
    manifest = project / "data/shapes/processed/manifest.json"
    edit_json(manifest)  # other bytes
    code, checks, last = check()
    assert (code, last) == (1, f"{ROW}: does not hold: data")
    assert "\n" not in checks["data"][1]
    assert checks["data"][1].startswith("manifest.json: ")


def test_a_changed_shard_is_found_by_the_manifest(project, check):
    path = project / "data/shapes/processed/train-00000.images"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.unlink()
    path.write_bytes(content)
    _, checks, last = check()
    assert last == f"{ROW}: does not hold: data"
    assert "train-00000.images is not what preprocess wrote" in checks["data"][1]


def other_weights(path):
    network = load_network(path)
    with torch.no_grad():
        bias = list(network.parameters())[-1]
        bias.add_(
            1000 * torch.eye(len(bias))[-1]
        )  # the last class everywhere, however large the others' logits
    save_weights(network, path)


def test_another_teacher_changes_the_agreement(project, check):
    other_weights(project / "runs/shapes/teacher/teacher.safetensors")
    code, checks, last = check()
    assert (code, last) == (1, f"{ROW}: does not hold: teacher, numbers")
    assert "train.json: " in checks["teacher"][1]
    assert "metrics.json: " in checks["teacher"][1]
    assert "agreement.kl: " in checks["numbers"][1]
    assert "confusion.npz" not in checks["numbers"][1]


def test_another_network_changes_the_numbers(project, check):
    other_weights(project / RUN / "student.safetensors")
    code, checks, last = check()
    assert (code, last) == (1, f"{ROW}: does not hold: weights, numbers")
    assert "reports/shapes/provenance.csv: " in checks["weights"][1]
    assert "are predicted differently, in " in checks["numbers"][1]
    assert f"trained with torch {torch.__version__} on cpu, now torch" in checks["numbers"][1]


def test_the_last_digit_of_a_score_counts(project, check):
    path = project / RESULTS / "metrics.json"
    agreement = json.loads(path.read_text())["agreement"]
    agreement["kl"] = float(np.nextafter(agreement["kl"], 1))
    edit_json(path, agreement=agreement)
    _, checks, last = check()
    assert last == f"{ROW}: does not hold: numbers"
    assert checks["numbers"][1].startswith("agreement.kl: ")


def test_one_pixel_in_a_stored_confusion_matrix_counts(project, check):
    path = project / RESULTS / "confusion.npz"
    arrays = dict(np.load(path))
    truth, predicted = np.argwhere(arrays["confusion"][2])[0]
    arrays["confusion"][2, truth, predicted] -= 1
    arrays["confusion"][2, truth, (predicted + 1) % 9] += 1
    np.savez_compressed(path, **arrays)
    _, checks, _ = check()
    assert "confusion.npz: confusion: at least 1 of 5,120 pixels" in checks["numbers"][1]
    assert "in 1 of 5 images" in checks["numbers"][1]


@pytest.mark.parametrize(
    ("confusion", "said"),
    [(np.array("x"), "shape"), (np.full((5, 9, 9), "x"), "<U1 recorded, int64 now"), (None, "shape unknown")],
)
def test_arrays_of_another_kind_differ(project, check, confusion, said):
    path = project / RESULTS / "confusion.npz"
    with np.load(path) as stored:
        arrays = dict(stored) | {"confusion": confusion}
    path.unlink()
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    _, checks, last = check()
    assert last == f"{ROW}: does not hold: numbers"
    assert said in checks["numbers"][1]


@pytest.mark.parametrize(
    ("number", "said"),
    [("12.3457", "12.3457 %"), ("", "no number"), ("x", "nan %")],
    ids=["another number", "a gap", "no number"],
)
def test_the_report_must_say_what_the_results_say(project, check, number, said):
    path = project / "reports/shapes/comparison.csv"
    rows = path.read_text().splitlines()
    path.write_text("\n".join([*rows[:2], f"resnet18,kd,{number}"]))
    _, checks, last = check()
    assert last == f"{ROW}: does not hold: report"
    assert checks["report"][1].startswith(f"reports/shapes/comparison.csv: {said}; the results of seed 0: ")


@pytest.mark.parametrize(
    "content", [b"", b"student\n", b"\xff\xfe\0", b"student,method,seed\nresnet18,kd,0\n"]
)
def test_a_damaged_table_of_the_report_is_a_finding_and_not_a_crash(project, check, content):
    for name in ("comparison", "provenance"):
        (project / f"reports/shapes/{name}.csv").write_bytes(content)
    _, checks, last = check()
    assert "does not hold" in last
    assert checks["report"][1].startswith("reports/shapes/comparison.csv: no number; the results of seed 0: ")


@pytest.mark.parametrize(
    ("file", "subject"),
    [
        (f"{RUN}/student.safetensors", "weights, numbers"),
        (f"{RUN}/train.json", "files"),
        (f"{RESULTS}/metrics.json", "files"),
        (f"{RESULTS}/ics.npz", "numbers"),
    ],
)
def test_a_damaged_file_is_a_finding_and_not_a_crash(project, check, file, subject):
    path = project / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    code, _, last = check()
    assert (code, last) == (1, f"{ROW}: does not hold: {subject}")


@pytest.mark.parametrize(
    "file",
    [
        "data/shapes/processed/report-00000.labels",
        "data/shapes/processed/manifest.json",
        "runs/shapes/teacher/teacher.safetensors",
        f"{RUN}/student.safetensors",
        f"{RESULTS}/confusion.npz",
    ],
)
def test_what_is_missing_is_named_with_what_to_do(project, check, file):
    (project / file).unlink()
    code, checks, last = check()
    assert code == 2
    assert checks == {"files": ("missing", file)}
    assert "`dvc checkout`" in last


def test_without_a_report_the_row_is_not_said_to_hold(project, check):
    shutil.rmtree(project / "reports")
    code, checks, _ = check()
    assert code == 2
    assert checks["report"] == ("missing", "reports/shapes/comparison.csv")
    assert checks["numbers"][0] == "ok"


@pytest.mark.parametrize("older", [{}, {"provenance": None}])
def test_a_run_without_recorded_provenance_is_not_said_to_hold(project, check, older):
    path = project / RUN / "train.json"
    content = json.loads(path.read_text())
    del content["provenance"]
    path.write_text(json.dumps(content | older))
    code, checks, _ = check()
    assert code == 2
    assert checks["provenance"][0] == "missing"
    assert checks["numbers"][0] == "ok"


def test_all_rows_are_checked_and_a_difference_weighs_more_than_a_gap(project, check):
    change(project, teacher={"lr": 0.5})
    code, _, last = check(None, None, None)
    assert code == 1
    assert last == (
        "1 of 3 rows hold; teacher · resnet18 · seed 0 (does not hold: parameters); "
        "aicsd · resnet18 · seed 0 (undecided, missing: files)"
    )


def test_a_row_outside_the_grid_is_answered_with_the_grid(check):
    with pytest.raises(
        UserError, match="no such row; methods: teacher, kd, aicsd; students: resnet18; seeds: 0"
    ):
        check("dk")


def test_differences_name_keys_that_only_one_side_has():
    assert list(differences_of({"a": 1, "b": {"c": [1, 2]}}, {"b": {"c": [1, 3]}, "d": None})) == [
        "a: 1 recorded, nothing now",
        "b.c.1: 2 recorded, 3 now",
        "d: nothing recorded, null now",
    ]


def test_a_student_that_diverged_has_no_score_to_check(project, check):
    shutil.rmtree(project / RESULTS)
    (project / RESULTS).mkdir()
    (project / RESULTS / "diverged.json").write_text("{}")
    code, checks, _ = check()
    assert code == 2
    assert checks == {"numbers": ("missing", "the training diverged: there is no score to check")}
