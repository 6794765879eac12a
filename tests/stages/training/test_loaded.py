"""A user's own teacher: loaded and tested before students learn from it, or refused with advice."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.libraries import write_segformer
from tests.project import change, outputs

from icsd.core.labels import IGNORE
from icsd.data.prepared import PreparedData
from icsd.data.transforms import prepare
from icsd.errors import UserError
from icsd.models.class_map import class_map_of
from icsd.models.deeplab import build_network
from icsd.models.weights import load_network
from icsd.records import CostRecord, TrainRecord, read_record
from icsd.stages.evaluation.run import evaluate_students, evaluate_teacher
from icsd.stages.training import loaded
from icsd.stages.training.admission import AdmissionRecord
from icsd.stages.training.run import train_student, train_teacher
from icsd.stages.validate import validate
from icsd.yaml_files import parse_yaml

CLASSES = 9
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


@pytest.fixture(scope="module")
def good(prepared_once):
    return by_heart(prepared_once)


def by_heart(project, seen=lambda images: images):
    """The weights of a network that overfits a tiny project's validation images, as ``seen`` shows them."""
    data = PreparedData(project / "data/shapes/processed")
    pairs = [data.split("validation")[index] for index in range(4)]
    images = torch.stack([prepare(image) for image, _ in pairs])
    labels = torch.from_numpy(np.stack([label for _, label in pairs])).long()
    torch.set_num_threads(1)  # as in every stage; more only wait for one another
    torch.manual_seed(0)
    network = build_network("resnet18", num_classes=CLASSES, width=0.25, dropout=0.0)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for _ in range(50):
        logits = torch.nn.functional.interpolate(
            network(seen(images))["logits"], labels.shape[-2:], mode="bilinear", align_corners=True
        )
        loss = torch.nn.functional.cross_entropy(logits, labels, ignore_index=IGNORE)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.fixture
def own(project, good, tmp_path):
    """Writes weights derived from the good ones, and makes the project use them for its teacher."""

    def use(changed=None, **block):
        path = tmp_path / "own.safetensors"
        save_file({**good, **(changed or {})}, path)
        change(project, teacher={"train": False}, networks={"teacher": {"weights": str(path), **block}})
        return path

    return use


def rows(good, order):
    """The classifier with its channels in another order."""
    return {name: good[name][list(order)].clone() for name in ("classifier.weight", "classifier.bias")}


def trained_on(good, scale, shift):
    """Weights that map x to what the good ones map scale · x + shift to; both have a value per channel."""
    kernel = good["backbone.conv1.weight"]
    constant = (kernel * shift.view(1, 3, 1, 1)).sum((1, 2, 3))
    return {
        "backbone.conv1.weight": (kernel * scale.view(1, 3, 1, 1)).contiguous(),
        "backbone.bn1.running_mean": good["backbone.bn1.running_mean"] - constant,
    }


def test_a_teacher_is_loaded_and_written_as_a_trained_one(project, own, good, capsys):
    own()
    train_teacher(project)
    folder = project / "runs/shapes/teacher"
    assert sorted(path.name for path in folder.iterdir()) == [
        *("admission.json", "history.csv", "teacher.safetensors", "train.json")
    ]
    state = load_network(folder / "teacher.safetensors").state_dict()
    assert all(torch.equal(state[name], value) for name, value in good.items())
    record = read_record(folder / "train.json", TrainRecord)
    assert (record.loaded, record.epochs, record.selected_epoch) == ("own.safetensors", 0, 0)
    assert record.provenance.weights is not None
    assert record.params["training"] == {"train": False}
    admission = read_record(folder / "admission.json", AdmissionRecord)
    assert (admission.split, admission.num_images) == ("validation", 4)
    assert admission.miou > admission.chance + 0.05
    assert "admitted: mIoU" in capsys.readouterr().out
    cost = read_record(project / "costs/shapes/teacher.json", CostRecord)
    assert (cost.seconds_training, cost.seconds_per_epoch) == (0, None)


def test_students_learn_from_it_and_both_are_measured(project, own):
    own()
    train_teacher(project)
    train_student(project, method="kd", student="resnet18", seed=0)
    evaluate_teacher(project)
    evaluate_students(project, method="kd")
    metrics = json.loads((project / "results/shapes/kd/resnet18-0/metrics.json").read_text())
    assert metrics["agreement"] is not None


def test_the_same_file_is_the_same_teacher(project, own):
    own()
    train_teacher(project)
    first = outputs(project / "runs/shapes/teacher")
    train_teacher(project)
    assert outputs(project / "runs/shapes/teacher") == first


def test_swapped_classes_are_refused_with_the_map_that_then_works(project, own, good):
    own(rows(good, [1, 0, *range(2, CLASSES)]))
    with pytest.raises(UserError, match="its classes are in another order") as caught:
        train_teacher(project)
    assert not (project / "runs/shapes/teacher").exists()
    assert "{background: 1, disc striped: 0, disc checked: 2," in str(caught.value)
    names = load_classes(project)
    own(rows(good, [1, 0, *range(2, CLASSES)]), classes=dict(zip(names, [1, 0, *range(2, 9)], strict=True)))
    train_teacher(project)
    mapped = load_network(project / "runs/shapes/teacher/teacher.safetensors").eval()
    plain = build_network("resnet18", num_classes=CLASSES, width=0.25).eval()
    plain.load_state_dict(good)
    image = torch.randn(1, 3, 32, 32)
    assert torch.equal(mapped(image)["logits"], plain(image)["logits"])


def load_classes(project):
    return PreparedData(project / "data/shapes/processed").sized_split("train").classes


def test_a_teacher_of_other_classes_teaches_those_of_the_dataset(project, own, good):
    """Eleven channels: one is left out, and the background has two."""
    weight, bias = good["classifier.weight"], good["classifier.bias"]
    extra = {
        "classifier.weight": torch.cat([weight * 0, weight, weight[:1]]),
        "classifier.bias": torch.cat([bias * 0 + 9, bias - torch.log(torch.tensor(1.0)), bias[:1]]),
    }
    extra = {name: torch.cat([value[:1], value[CLASSES:]]).contiguous() for name, value in extra.items()}
    own(extra)
    with pytest.raises(UserError, match=r"has 11 classes, and the dataset has 9"):
        train_teacher(project)
    names = load_classes(project)
    own(extra, classes={name: [1, 10] if name == "background" else 1 + i for i, name in enumerate(names)})
    validate(project, show=False)
    train_teacher(project)
    network = load_network(project / "runs/shapes/teacher/teacher.safetensors")
    assert class_map_of(network)[0] == (1, 10)
    train_student(project, method="aicsd", student="resnet18", seed=0)
    evaluate_teacher(project)
    metrics = json.loads((project / "results/shapes/teacher/metrics.json").read_text())
    assert len(metrics["iou_per_class"]) == CLASSES


@pytest.mark.parametrize(
    ("name", "scale", "shift"),
    [
        ("0 to 1, without mean", 1 / STD, -MEAN / STD),
        ("0 to 255", 1 / STD / 255, -MEAN / STD),
        (r"\(x - 127\) / 128", 128 / 255 / STD, (127 / 255 - MEAN) / STD),
    ],
)
def test_another_normalisation_is_recognised(project, own, good, name, scale, shift):
    own(trained_on(good, scale, shift))
    with pytest.raises(UserError, match=rf"normalised in another way: {name}") as caught:
        train_teacher(project)
    setting = str(caught.value).rpartition("networks.teacher.normalisation: ")[2].rstrip("`")
    own(trained_on(good, scale, shift), normalisation=parse_yaml(setting.encode(), project))
    train_teacher(project)


def test_a_normalisation_that_is_set_by_mistake_is_recognised(project, own):
    own(normalisation={"mean": [0.0, 0.0, 0.0], "std": [0.004, 0.004, 0.004]})
    with pytest.raises(UserError, match=r"ImageNet's mean .* set `networks\.teacher\.normalisation: null`"):
        train_teacher(project)


def test_a_teacher_of_bgr_images_is_recognised(project, own):
    """It sees nothing but red minus blue, which the other order negates: no rounding decides."""
    difference = torch.tensor([1.0, 0.0, -1.0]).view(3, 1, 1)
    weights = by_heart(project, lambda images: (images * difference).sum(1, keepdim=True).repeat(1, 3, 1, 1))
    filters = weights["backbone.conv1.weight"].sum(1, keepdim=True) * difference
    own(weights | {"backbone.conv1.weight": filters.flip(1).contiguous()})
    with pytest.raises(UserError, match="normalised in another way: BGR instead of RGB"):
        train_teacher(project)


def test_a_teacher_that_knows_nothing_is_refused(project, own):
    torch.manual_seed(3)
    own(build_network("resnet18", num_classes=CLASSES, width=0.25).state_dict())
    with pytest.raises(UserError, match=r"not clearly better than chance on 4 validation images: mIoU"):
        train_teacher(project)


def test_logits_that_are_not_finite_are_refused(project, own, good):
    own({"classifier.weight": good["classifier.weight"] * 1e38})
    with pytest.raises(UserError, match="logits are not finite"):
        train_teacher(project)


def test_a_loaded_teacher_can_be_trained_on(project, own, good, capsys):
    own(rows(good, range(5)), load="partial")
    change(project, teacher={"train": True, "epochs": 1})
    train_teacher(project)
    assert "left out: classifier.weight ([5, 64, 1, 1] in the file" in capsys.readouterr().out
    record = read_record(project / "runs/shapes/teacher/train.json", TrainRecord)
    assert (record.loaded, record.epochs) == ("own.safetensors", 1)


def test_a_student_can_start_from_a_whole_network(project, own, good, tmp_path):
    own()
    train_teacher(project)
    path = tmp_path / "student.pth"
    torch.manual_seed(4)
    state = build_network("resnet18", num_classes=CLASSES, width=0.125).state_dict()
    torch.save(state, path)
    change(
        project,
        train={"epochs": 1, "lr": 1e-9},
        networks={"students": {"resnet18": {"weights": str(path)}}},
    )
    train_student(project, method="none", student="resnet18", seed=0)
    folder = project / "runs/shapes/none/resnet18-0"
    assert read_record(folder / "train.json", TrainRecord).loaded == "student.pth"
    trained = load_network(folder / "student.safetensors").state_dict()
    assert torch.allclose(trained["classifier.weight"], state["classifier.weight"], atol=1e-6)


def test_a_model_of_transformers_is_its_own_file(project, tmp_path):
    """Its folder holds the classifier, too, and weights of random numbers are not admitted."""
    torch.manual_seed(0)
    architecture = write_segformer(tmp_path / "segformer", num_labels=CLASSES)
    teacher = {"architecture": architecture, "pretrained": False}
    change(project, teacher={"train": False}, networks={"teacher": teacher})
    with pytest.raises(
        UserError, match=r"of a model of transformers, set networks\.teacher\.pretrained: true"
    ):
        train_teacher(project)
    change(project, networks={"teacher": {"pretrained": True}})
    validate(project, show=False)
    with pytest.raises(UserError, match=r"networks\.teacher\.architecture: hf:.*segformer: "):
        train_teacher(project)


def test_an_admitted_model_of_transformers_says_where_it_came_from(project, tmp_path, monkeypatch):
    architecture = write_segformer(tmp_path / "segformer", num_labels=CLASSES)
    teacher = {"architecture": architecture, "pretrained": True}
    change(project, teacher={"train": False}, networks={"teacher": teacher})
    passed = AdmissionRecord(
        split="validation", num_images=4, miou=0.5, chance=0.1, best_order=0.5, normalisations={}
    )
    monkeypatch.setattr(loaded, "admit", lambda run, network: passed)
    train_teacher(project)
    record = read_record(project / "runs/shapes/teacher/train.json", TrainRecord)
    assert record.loaded == "hf:segformer"
    written = load_network(project / "runs/shapes/teacher/teacher.safetensors").state_dict()
    own = load_file(tmp_path / "segformer/model.safetensors")
    assert torch.equal(written["network.decode_head.classifier.bias"], own["decode_head.classifier.bias"])
