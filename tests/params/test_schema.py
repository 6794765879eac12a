import copy
import shutil

import pytest
from tests.imports import ROOT

from icsd.core.weighting import NUMBERS
from icsd.errors import UserError
from icsd.models.catalogue import BACKBONES
from icsd.params import Params, load_params, merge, parse_params
from icsd.params.alw import AlwParams
from icsd.yaml_files import read_yaml

WRITTEN = read_yaml(ROOT / "params.yaml")
PRESETS = {path.stem: read_yaml(path) for path in (ROOT / "configs/datasets").glob("*.yaml")}


def parse(preset="shapes", **changes):
    """The project's own tree with dotted keys changed; ``__`` stands for the dot."""
    written = copy.deepcopy(WRITTEN)
    for path, value in changes.items():
        *blocks, key = path.split("__")
        block = written
        for name in blocks:
            block = block[name]
        block[key] = value
    return parse_params(merge(PRESETS[preset], written), "params.yaml")


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_valid(preset):
    assert isinstance(parse(preset), Params)


@pytest.mark.parametrize("role", ["baselines", "distilled"])
def test_a_grid_may_leave_one_list_of_methods_empty(role: str):
    assert parse(**{f"grid__{role}": []}).grid.methods


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"alw__dekay": "cosine"}, ["alw.dekay", "unknown key", "did you mean 'decay'"]),
        ({"alw__decay": "cosin"}, ["alw.decay", "'cosin'", "did you mean 'cosine'", "exponential"]),
        ({"train__epochs": 0}, ["train.epochs", "greater than or equal to 1", "got 0"]),
        ({"train__epochs": "ten"}, ["train.epochs", "integer", "'ten'"]),
        ({"train__epochs": 2.5}, ["train.epochs", "integer", "2.5"]),
        ({"train__lr": "fast"}, ["train.lr", "number", "'fast'"]),
        ({"train__lr": float("nan")}, ["train.lr"]),
        ({"train__momentum": None}, ["train.momentum", "null here and in the preset"]),
        ({"grid__students": ["resnet19"]}, ["networks.students.resnet19", "did you mean 'resnet18'"]),
        ({"grid__students": []}, ["grid.students", "at least 1"]),
        (
            {"grid__baselines": [], "grid__distilled": []},
            ["neither baselines nor distilled", "nothing to train"],
        ),
        ({"grid__seeds": [0, 0]}, ["grid.seeds", "twice"]),
        ({"grid__seeds": [-1]}, ["grid.seeds.0", "greater than or equal to 0"]),
        ({"grid__baselines": ["none", "kdd"]}, ["grid.baselines", "methods.kdd", "did you mean 'kd'"]),
        ({"grid__baselines": ["aicsd"]}, ["methods.aicsd.alw", "grid.distilled"]),
        ({"grid__distilled": ["kd"]}, ["methods.kd.alw", "grid.baselines"]),
        ({"networks__output_stride": 12}, ["networks.output_stride", "8, 16"]),
        ({"images__crop": [64]}, ["images.crop", "at least 2"]),
        ({"images__scale": [2.0, 0.5]}, ["images", "[smallest, largest]"]),
        ({"alws": {}}, ["alws", "did you mean 'alw'"]),
        ({"weights": "tune"}, ["weights", "did you mean 'tuned'", "untuned"]),
        ({"tuning__factor": 1.0}, ["tuning.factor", "greater than 1"]),
        ({"tuning__trials": 0}, ["tuning.trials", "greater than or equal to 1"]),
        ({"runtime__devices": 0}, ["runtime.devices"]),
        ({"methods__kd__weights": {"kd": -1.0}}, ["methods.kd.weights.kd", "greater than or equal to 0"]),
        ({"methods__aicsd__alw": {"dekay": "step"}}, ["methods.aicsd.alw.dekay", "did you mean 'decay'"]),
        ({"methods__aicsd__alw": {"decay": "stp"}}, ["methods.aicsd.alw.decay", "did you mean 'step'"]),
        ({"deploy__formats": ["onx"]}, ["deploy.formats.0", "'onx'", "did you mean 'onnx'"]),
        ({"deploy__formats": "onnx"}, ["deploy.formats", "list", "'onnx'"]),
        ({"deploy__formats": ["onnx", "onnx"]}, ["deploy.formats", "twice"]),
        ({"deploy__gate": True}, ["deploy.gate", "deploy.formats makes none", "set gate to false"]),
        ({"deploy__calibration": 0}, ["deploy.calibration", "greater than or equal to 1"]),
        ({"deploy__preprocessing": "in"}, ["deploy.preprocessing", "did you mean 'inside'"]),
        ({"grid__baselines": ["aicsd_cosine"]}, ["methods.aicsd_cosine.alw", "grid.distilled"]),
    ],
)
def test_a_mistake_is_named_with_its_path_and_what_is_allowed(changes, words):
    with pytest.raises(UserError) as caught:
        parse(**changes)
    for word in words:
        assert word in str(caught.value)


def test_all_mistakes_are_named_at_once():
    with pytest.raises(UserError) as caught:
        parse(alw__decay="cosin", train__epochs=0)
    assert "alw.decay" in str(caught.value)
    assert "train.epochs" in str(caught.value)


@pytest.mark.parametrize("role", ["baselines", "distilled"])
def test_a_grid_may_lack_either_kind_of_method(role):
    assert getattr(parse(**{f"grid__{role}": []}).grid, role) == []


def test_a_dead_first_epoch_is_refused():
    """With scope paper and no term kd, every weight of the first epoch would be zero."""
    with pytest.raises(UserError, match=r"alw.scope: paper .* methods.icsd has none"):
        parse(grid__distilled=["icsd"], grid__baselines=["none"], methods__icsd__alw=True)
    assert parse(
        grid__distilled=["icsd"], grid__baselines=["none"], methods__icsd__alw=True, alw__scope="teacher"
    )


def test_a_methods_own_schedule_changes_what_it_names():
    params = parse(alw__steps=7, methods__aicsd__alw={"decay": "step"})
    own = params.methods["aicsd"].schedule(params.alw)
    assert (own.decay, own.steps, own.scope) == ("step", 7, params.alw.scope)
    assert params.methods["kd_alw"].schedule(params.alw) == params.alw
    assert params.methods["kd"].schedule(params.alw) is None


def test_a_methods_own_scope_counts_for_the_dead_first_epoch():
    own = {"scope": "teacher"}
    assert parse(grid__distilled=["icsd"], grid__baselines=["none"], methods__icsd__alw=own)


def test_a_holdout_beside_a_validation_split_is_refused():
    with pytest.raises(UserError, match=r"data.holdout: shapes has a validation split"):
        parse(data__holdout=5)


def test_what_a_dataset_is_cannot_be_overridden_where_no_stage_looks(tmp_path):
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    text = (ROOT / "params.yaml").read_text(encoding="utf-8").replace("data:\n", "data:\n  classes: 9\n", 1)
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"data.classes: .* configs/datasets/shapes.yaml"):
        load_params(tmp_path)


def test_selection_needs_images_that_are_not_reported():
    with pytest.raises(UserError, match=r"train.select: best_val .* data.holdout"):
        parse("voc2012", train__select="best_val")
    assert parse("voc2012", train__select="best_val", data__holdout=64).data.holdout == 64
    assert parse("shapes", train__select="best_val").train.select == "best_val"


def test_null_takes_the_presets_value_and_anything_else_wins():
    assert parse().train.epochs == PRESETS["shapes"]["train"]["epochs"]
    assert parse(train__epochs=3).train.epochs == 3
    assert parse(images__flip=0.0).images.flip == 0.0


def test_the_tree_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        parse().train.epochs = 3


def test_where_it_runs_does_not_change_what_it_is():
    assert parse(runtime__workers=4, tracking__enabled=False).digest() == parse().digest()
    assert parse(train__epochs=3).digest() != parse().digest()


OF_MODE = {"precision", "channels_last", "fold_teacher", "fused_optimizer"}


def of_mode(**changes):
    runtime = parse(**{f"runtime__{key}": value for key, value in changes.items()}).runtime
    return runtime.model_dump(include=OF_MODE)


def test_a_mode_gives_what_is_left_empty_and_a_written_key_wins():
    exact = {
        "precision": "32-true",
        "channels_last": False,
        "fold_teacher": False,
        "fused_optimizer": False,
    }
    fast = {"precision": "bf16-mixed", "channels_last": True, "fold_teacher": True, "fused_optimizer": True}
    assert of_mode() == exact
    assert of_mode(mode="fast") == fast
    assert of_mode(mode="fast", precision="32-true", fold_teacher=False) == fast | {
        "precision": "32-true",
        "fold_teacher": False,
    }
    assert of_mode(channels_last=True) == exact | {"channels_last": True}


@pytest.mark.parametrize("mode", ["quick", None, ["fast"]])
def test_an_unknown_mode_is_the_only_mistake(mode):
    with pytest.raises(UserError, match=r"^params\.yaml:\n  runtime\.mode: [^\n]+$"):
        parse(runtime__mode=mode)


def test_an_unknown_dataset_is_answered_with_the_known_ones(tmp_path):
    (tmp_path / "configs/datasets").mkdir(parents=True)
    for name in PRESETS:
        (tmp_path / f"configs/datasets/{name}.yaml").write_text("data: {}\n")
    (tmp_path / "params.yaml").write_text("dataset: camvit\n")
    with pytest.raises(UserError, match=r"no preset 'camvit'; did you mean 'camvid'\? Allowed: camvid, city"):
        load_params(tmp_path)


def test_a_missing_file_says_where_to_be(tmp_path):
    with pytest.raises(UserError, match="run from the root of the repository"):
        load_params(tmp_path)


@pytest.mark.parametrize("key", ["health_steps", "similarity_every", "similarity_images"])
def test_a_key_that_moved_is_answered_with_its_place(key):
    with pytest.raises(UserError, match=rf"train\.{key}: is called monitor\.{key} now"):
        parse(**{f"train__{key}": 1})


def test_the_numbers_of_alw_are_those_of_the_decays():
    assert set(AlwParams.model_fields) == {"decay", "scope", *NUMBERS}
    assert set(WRITTEN["alw"]) == set(AlwParams.model_fields)


def test_every_student_in_params_yaml_is_a_backbone():
    assert set(WRITTEN["networks"]["students"]) <= set(BACKBONES)


def test_nesterov_is_sgds_alone():
    with pytest.raises(UserError, match=r"teacher\.nesterov: only SGD has it; set teacher\.optimizer to sgd"):
        parse(teacher__nesterov=True, teacher__momentum=0.9, teacher__optimizer="adamw")


def test_images_without_labels_need_a_subset_and_room_in_the_batch():
    with pytest.raises(UserError, match=r"train\.unlabelled: every training image has a label") as caught:
        parse(train__subset="all", train__unlabelled=5, train__batch=1)
    assert "train.batch: half of it are images without labels" in str(caught.value)


def test_nesterov_without_momentum_is_refused_before_the_teacher_trains():
    with pytest.raises(UserError, match=r"train\.nesterov: needs a momentum above 0"):
        parse(train__optimizer="sgd", train__nesterov=True, train__momentum=0.0)
