"""Rows of a real report, by the command that people type."""

import hashlib
import shutil

import pytest
from tests.project import run, stage

pytestmark = pytest.mark.slow


def test_every_row_holds_after_a_repro_and_nothing_is_written(reproduced):
    done = stage(reproduced, "verify")
    lines = done.stdout.splitlines()
    assert lines[-1] == "4 of 4 rows hold"
    assert {"aicsd · resnet18 · seed 0: holds", "DVC: holds", "MLflow: holds"} <= set(lines)
    assert not any(line.startswith("  ") and not line.startswith(("  ok ", "   ")) for line in lines)
    assert run(reproduced, "git", "status", "--porcelain").stdout == ""
    assert "up to date" in run(reproduced, "dvc", "status").stdout


def test_editing_a_method_ends_its_own_rows(reproduced):
    path = reproduced / "src/icsd/methods/kd.py"
    source = path.read_text(encoding="utf-8")
    path.write_text(source + "# a comment is a change\n", encoding="utf-8")
    kd, alone = (stage(reproduced, "verify", "--method", method, ok=False) for method in ("kd", "none"))
    path.write_text(source, encoding="utf-8")
    assert (kd.returncode, alone.returncode) == (1, 0)
    assert "DIFFERS  code       icsd/methods/kd.py: " in kd.stdout
    assert kd.stdout.endswith("kd · resnet18 · seed 0: does not hold: code\n")


def test_what_the_cache_holds_is_asked_for_by_its_command(reproduced):
    shutil.rmtree(reproduced / "results")
    row = ("verify", "--method", "kd", "--student", "resnet18", "--seed", "0")
    gone = stage(reproduced, *row, ok=False)
    run(reproduced, "dvc", "checkout", "-q")
    assert gone.returncode == 2
    assert "missing  files      results/shapes/kd/resnet18-0/metrics.json" in gone.stdout
    assert "`dvc checkout`" in gone.stdout
    assert stage(reproduced, *row).stdout.endswith("kd · resnet18 · seed 0: holds\n")


def test_a_damaged_cache_and_store_are_found_and_mended_as_it_says(reproduced, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(reproduced, copy, symlinks=True)
    weights = copy / "runs/shapes/kd/resnet18-0/student.safetensors"
    digest = hashlib.md5(weights.read_bytes(), usedforsecurity=False).hexdigest()
    stored = copy / f".dvc/cache/files/md5/{digest[:2]}/{digest[2:]}"
    for path in (stored, weights):
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.unlink()
        path.write_bytes(content)
    done = stage(copy, "verify", ok=False)
    assert done.returncode == 1
    assert (
        f"{stored.relative_to(copy)}: damaged, part of runs/shapes/kd/resnet18-0; delete it and"
        in done.stdout
    )
    assert (
        "runs/shapes/kd/resnet18-0/student.safetensors: not what baselines@kd-resnet18-0 wrote" in done.stdout
    )
    stored.unlink()
    shutil.rmtree(weights.parent)
    run(copy, "dvc", "repro")
    assert "DVC: holds" in stage(copy, "verify", ok=False).stdout.splitlines()
