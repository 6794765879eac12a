import json
import os

from tests.project import change, outputs

from icsd.records import CostRecord, TrainRecord, read_record
from icsd.stages.training.outputs import history_csv
from icsd.stages.training.run import train_student

OUTPUTS = ("runs/shapes/kd/resnet18-0", "costs/shapes/kd")


def test_a_history_has_the_columns_of_all_rows_in_the_order_of_their_first_appearance():
    rows = [{"epoch": 1, "loss/ce": 0.5}, {"epoch": 2, "loss/ce": 0.25, "val/miou": 0.1}]
    assert history_csv(rows) == b"epoch,loss/ce,val/miou\n1,0.5,\n2,0.25,0.1\n"


def test_a_history_without_a_row_has_the_column_of_the_epoch():
    assert history_csv([]) == b"epoch\n"


def test_description_and_cost_are_records_that_can_be_read_again(taught):
    train_student(taught, method="kd", student="resnet18", seed=0)
    path = taught / "runs/shapes/kd/resnet18-0/train.json"
    record = read_record(path, TrainRecord)
    assert (record.kind, record.method, record.selected_epoch) == ("student", "kd", 3)
    assert record.crop == (32, 32)
    assert (record.num_train_images, record.num_validation_images) == (12, 4)
    assert record.provenance is not None
    assert "icsd/training/loop.py" in record.provenance.code
    assert json.loads(path.read_text()) == record.model_dump(mode="json", by_alias=True)
    cost = read_record(taught / "costs/shapes/kd/resnet18-0.json", CostRecord)
    assert cost.resumed == 0
    assert cost.extra_parameters == 0
    assert cost.processor_seconds is not None
    assert 0 < cost.processor_seconds <= 1.1 * cost.seconds_training * (os.cpu_count() or 1)


def test_a_former_trainings_files_do_not_stay(taught):
    train_student(taught, method="none", student="resnet18", seed=0)
    folder = taught / "runs/shapes/none/resnet18-0"
    assert (folder / "similarity.npz").exists()
    change(taught, monitor={"similarity_every": 0}, train={"epochs": 1})
    train_student(taught, method="none", student="resnet18", seed=0)
    assert {path.name for path in folder.iterdir()} == {"student.safetensors", "history.csv", "train.json"}


def test_no_output_is_opened_in_place(taught):
    """DVC may hard-link its cache into the workspace: writing into a file would damage the cache."""
    train_student(taught, method="kd", student="resnet18", seed=0)
    cache = taught / "cache"
    for folder in OUTPUTS:
        for path in (taught / folder).iterdir():
            (cache / folder).mkdir(parents=True, exist_ok=True)
            os.link(path, cache / folder / path.name)
    before = outputs(cache)
    assert len(before) == 5
    change(taught, train={"lr": 0.3})
    train_student(taught, method="kd", student="resnet18", seed=0)
    assert outputs(cache) == before
    for folder in OUTPUTS:
        assert all(
            path.read_bytes() != before[f"{folder}/{path.name}"] for path in (taught / folder).iterdir()
        )
