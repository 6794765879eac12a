"""Weights of whole networks: checked before anything runs, and an input like any other."""

import pytest
import torch
from safetensors.torch import load_file
from tests.project import change
from tests.stages.test_initial_weights import changed, project, validated  # noqa: F401 - a fixture

from icsd.errors import UserError
from icsd.models.deeplab import build_network
from icsd.params import load_params
from icsd.stages.grid import teacher_key
from icsd.stages.initial_weights import LINKS
from icsd.stages.own_weights import initial_network
from icsd.stages.registered import pinned
from icsd.stages.validate import validate
from icsd.tracking.store import open_client, store_lock

# MLflow 3.17's own queries use a loader that SQLAlchemy 2.1 deprecates.
MLFLOW_DEPRECATION = "ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"
pytestmark = pytest.mark.filterwarnings(MLFLOW_DEPRECATION)
OF_STUDENTS = {f"students/{name}/resnet18.json" for name in ("none", "kd", "aicsd")}


def weights(path, *, classes=9, width=0.25, seed=0):
    torch.manual_seed(seed)
    torch.save(build_network("resnet18", num_classes=classes, width=width).state_dict(), path)
    return str(path)


def of_teacher(project, *, train=False, **block):  # noqa: F811
    change(project, teacher={"train": train}, networks={"teacher": block})


def test_a_replaced_file_concerns_its_network_alone(project, tmp_path):  # noqa: F811
    before = validated(project)
    of_teacher(project, weights=weights(tmp_path / "t.pth"))
    first = validated(project)
    assert changed(before, first) == {"teacher.json"}
    weights(tmp_path / "t.pth", seed=1)
    assert changed(first, validated(project)) == {"teacher.json"}
    links = {path.resolve() for path in (project / LINKS).iterdir() if path.is_symlink()}
    assert links == {tmp_path / "t.pth"}
    student = {"resnet18": {"weights": weights(tmp_path / "s.pth", width=0.125)}}
    second = validated(project)
    change(project, networks={"students": student})
    assert changed(second, validated(project)) == OF_STUDENTS


@pytest.mark.parametrize(
    ("block", "train", "words"),
    [
        ({}, False, r"teacher\.train: false needs a teacher: name its file in networks\.teacher\.weights"),
        ({"weights": "gone.pth"}, False, r"networks\.teacher\.weights: there is no file .*gone\.pth"),
        ({"weights": "a\0b.pth"}, False, r"networks\.teacher\.weights: "),
        ({"weights": f"{'long' * 100}.pth"}, False, r"networks\.teacher\.weights: "),
        ({"weights": ""}, False, r"networks\.teacher\.weights: .* is a folder"),
        ({"weights": "w.pth", "load": "partial"}, False, r"networks\.teacher\.load: partial leaves layers"),
        ({"weights": "w.pth", "load": "loose"}, True, r"networks\.teacher\.load: 'loose' is not a choice"),
        ({"classes": {"background": 0}}, True, r"networks\.teacher\.classes: .* there are none"),
        (
            {"weights": "w.pth", "classes": {"a": 0, "b": [1, 0]}},
            True,
            r"classes: 0 stands for more than one",
        ),
        ({"weights": "models:/x"}, True, r"networks\.teacher\.weights: models:/x is no address"),
        ({"weights": "models:/x/latest"}, True, r"models:/x/latest is no address"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(project, block, train, words):  # noqa: F811
    of_teacher(project, train=train, **block)
    with pytest.raises(UserError, match=words):
        validate(project, show=False)
    assert not (project / "data/shapes/validated").exists()


def test_a_map_needs_every_class_and_no_other(project, tmp_path):  # noqa: F811
    path = weights(tmp_path / "t.pth", classes=12)
    of_teacher(project, weights=path, classes={"background": 0, "dics striped": [1, 2]})
    with pytest.raises(UserError) as caught:
        validate(project, show=False)
    first, second = str(caught.value).splitlines()
    assert "there is no class 'dics striped'; did you mean 'disc striped'?" in first
    assert second.startswith("networks.teacher.classes: lacks disc striped, disc checked,")


def test_the_network_of_a_student_has_the_students_name_in_messages(project, tmp_path):  # noqa: F811
    path = weights(tmp_path / "s.pth", classes=4, width=0.125)
    change(project, networks={"students": {"resnet18": {"weights": path}}})
    with pytest.raises(UserError, match=r"^networks\.students\.resnet18\.weights: .* has 4 classes"):
        validate(project, show=False)


@pytest.fixture
def registered(project, empty_store, tmp_path):  # noqa: F811
    """Puts weights into the project's registry, as a version with an alias."""
    import shutil

    shutil.copy(empty_store, project / "mlflow.db")

    def put(file):
        with store_lock(project):
            client = open_client(project)
        known = client.get_experiment_by_name("icsd")
        place = (tmp_path / "artifacts").as_uri()
        experiment = (
            known.experiment_id if known else client.create_experiment("icsd", artifact_location=place)
        )
        run = client.create_run(experiment)
        if file is not None:
            client.log_artifact(run.info.run_id, file)
        if not client.search_registered_models("name = 'own'"):
            client.create_registered_model("own")
        version = client.create_model_version("own", run.info.artifact_uri, run.info.run_id)
        client.set_registered_model_alias("own", "best", version.version)
        return version.version

    return put


def test_a_registered_network_is_looked_up_once_and_then_kept(project, registered, tmp_path):  # noqa: F811
    from safetensors.torch import save_file

    files = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        files.append(tmp_path / f"{seed}.safetensors")
        save_file(build_network("resnet18", num_classes=9, width=0.25).state_dict(), files[-1])
    registered(files[0])
    of_teacher(project, weights="models:/own@best")
    before = validated(project)
    params = load_params(project)
    network = initial_network(project, params, teacher_key(params))
    first = load_file(files[0])["classifier.weight"]
    assert torch.equal(network.state_dict()["classifier.weight"], first)
    registered(files[1])  # the alias moves: no stage sees it before `validate` runs again
    assert torch.equal(load_file(pinned("models:/own@best"))["classifier.weight"], first)
    after = validated(project)
    assert changed(before, after) == {"teacher.json"}
    of_teacher(project, weights="models:/own/1")
    validate(project, show=False)
    assert torch.equal(load_file(pinned("models:/own/1"))["classifier.weight"], first)


def test_a_registered_network_without_a_file_of_weights_is_refused(project, registered):  # noqa: F811
    registered(None)
    of_teacher(project, weights="models:/own@best")
    with pytest.raises(UserError, match=r"its run has 0 \.safetensors files"):
        validate(project, show=False)
    of_teacher(project, weights="models:/own/7")
    with pytest.raises(UserError, match="models:/own/7 cannot be had from MLflow"):
        validate(project, show=False)
