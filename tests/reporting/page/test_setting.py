import pytest
from tests.reporting.tree import Tree

from icsd.reporting.page.setting import setting

GRID = "Dataset shapes, reported on 12 images of the split test; 2 methods, 1 student network, 2 seeds."


def edit_students(tree: Tree, **changes: object) -> None:
    for method in tree.methods:
        for seed in tree.seeds:
            tree.edit_training(method, "resnet18", seed, changes)


def test_where_all_learn_from_as_many_images_the_grid_is_all_there_is_to_say(tree: Tree):
    assert setting(tree.load()) == [GRID]


def test_a_teacher_with_more_labels_is_said(tree: Tree):
    edit_students(tree, num_train_images=90)
    assert setting(tree.load()) == [
        GRID,
        "Students learn from 90 labelled images; the teacher learned from 480.",
    ]


@pytest.mark.parametrize("labelled", [480, 90])
def test_images_without_labels_are_said_and_that_the_student_alone_has_no_use_for_them(
    tree: Tree, labelled: int
):
    edit_students(tree, num_train_images=labelled, num_unlabelled_images=390)
    [_, said] = setting(tree.load())
    assert said.startswith(f"Students learn from {labelled} labelled images")
    assert "They also see 390 images without labels, half of every batch" in said
    assert "the student alone only BatchNorm statistics." in said


def test_a_teacher_that_was_loaded_learnt_from_nothing_here(tree: Tree):
    tree.edit_training("teacher", None, 0, {"epochs": 0, "num_train_images": 0})
    assert setting(tree.load()) == [GRID]
