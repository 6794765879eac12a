"""Tuned weights in use."""

import json

import pytest
from tests.project import change, outputs, write_yaml

from icsd.commands.tune.run import tune
from icsd.errors import UserError
from icsd.methods.kd import KD
from icsd.params import load_params
from icsd.stages.chosen_weights import chosen_params
from icsd.stages.training.run import train_student
from icsd.stages.tuned_weights import read_tuned
from icsd.stages.validate import validate
from icsd.yaml_files import read_yaml

FILES = ("configs/tuned/shapes.yaml", "configs/tuned/shapes.csv")


def described(project, method):
    train_student(project, method=method, student="resnet18", seed=0)
    return json.loads((project / f"runs/shapes/{method}/resnet18-0/train.json").read_text(encoding="utf-8"))


def test_students_are_trained_with_the_tuned_weights_where_that_is_asked_for(project):
    change(project, weights="tuned")
    for method, entry in read_tuned(project, "shapes").items():
        record = described(project, method)
        assert record["params"]["method"]["weights"] == entry.weights
        assert record["weights_source"] == "tuned (3 trials on validation, seed 1000)"
    assert described(project, "none")["weights_source"] is None


def test_weights_tuned_on_another_student_say_so(project):
    change(project, weights="tuned", networks={"students": {"resnet34": {"width": 0.125}}})
    train_student(project, method="kd", student="resnet34", seed=0)
    record = json.loads((project / "runs/shapes/kd/resnet34-0/train.json").read_text(encoding="utf-8"))
    assert record["weights_source"] == "tuned (3 trials of resnet18 on validation, seed 1000)"


@pytest.mark.parametrize(
    ("published", "words"),
    [({"kd": 1.0001}, "published"), ({"kd": 10.0}, "set by hand"), ({}, "set by hand")],
)
def test_given_weights_are_the_published_ones_or_not(project, monkeypatch, published, words):
    monkeypatch.setattr(KD, "published", published)
    assert described(project, "kd")["weights_source"] == words


def test_the_tuned_weights_are_checked_before_they_are_used(project):
    change(project, weights="tuned")
    assert (
        chosen_params(project, load_params(project)).methods["kd"].weights
        == read_tuned(project, "shapes")["kd"].weights
    )

    change(project, grid={"seeds": [1000]})
    with pytest.raises(UserError, match=r"grid.seeds: 1000 is the seed"):
        chosen_params(project, load_params(project))

    change(project, grid={"seeds": [0], "baselines": ["none", "kd", "icsd"]})
    with pytest.raises(UserError, match=r"not tuned yet: icsd; run `python -m pipeline tune icsd`"):
        chosen_params(project, load_params(project))


def test_a_block_that_was_changed_after_the_search_is_refused(project):
    change(project, weights="tuned", methods={"kd": {"temperature": 4.0}})
    with pytest.raises(UserError, match=r"methods.kd .* changed .*temperature: 1.0 then, 4.0 now"):
        chosen_params(project, load_params(project))


def test_other_budgets_for_other_methods_are_refused(project):
    tune(project, methods=["kd"], trials=1, student=None)
    change(project, weights="tuned")
    with pytest.raises(UserError, match=r"trials differs among the methods \(kd 1, aicsd 3\)"):
        chosen_params(project, load_params(project))


def test_a_file_of_tuned_weights_that_was_edited_badly_is_named(project):
    path = project / FILES[0]
    path.write_text(path.read_text(encoding="utf-8").replace("trials: 3", "trials: three"), encoding="utf-8")
    with pytest.raises(UserError, match=r"configs/tuned/shapes.yaml.*\n.*methods.aicsd.search.trials"):
        read_tuned(project, "shapes")


def test_tuning_a_method_concerns_its_own_students_and_only_where_tuned_weights_are_used(project):
    def validated():
        validate(project, show=False)
        return outputs(project / "data/shapes/validated")

    def tune_kd_to(weight):
        entries = read_yaml(project / FILES[0])
        entries["methods"]["kd"]["weights"]["kd"] = weight
        write_yaml(project / FILES[0], entries)

    given = validated()
    tune_kd_to(0.5)
    assert validated() == given
    change(project, weights="tuned")
    first = validated()
    assert {name for name in given if given[name] != first[name]} == {
        *("params.json", "students/aicsd/resnet18.json", "students/kd/resnet18.json")
    }
    tune_kd_to(0.25)
    second = validated()
    assert {name for name in given if first[name] != second[name]} == {"students/kd/resnet18.json"}
