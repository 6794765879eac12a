"""dvc.yaml against the code: a stage lists what can change its result, and nothing else."""

import ast
from pathlib import Path

import pytest
from tests.imports import ROOT, SOURCE

from icsd.params import PRESET_ONLY, Params
from icsd.stages.code import REGISTRIES, RESULT_ROOMS, file_of, files_behind
from icsd.yaml_files import read_yaml

STAGES = read_yaml(ROOT / "dvc.yaml")["stages"]
PARAMS = read_yaml(ROOT / "params.yaml")
PRESET = "configs/datasets/${dataset}.yaml"
TRAIN = {"distill", "baselines"}
EVALUATE = {"evaluate_teacher", "evaluate_distilled", "evaluate_baselines"}
# Stage -> the module that its work starts from.
START = {
    **{stage: f"stages.{stage}" for stage in ("validate", "download", "preprocess", "report")},
    **dict.fromkeys(["train_teacher", *sorted(TRAIN)], "stages.training.run"),
    **dict.fromkeys(sorted(EVALUATE), "stages.evaluation.run"),
}
# Stage -> the rooms that can change its result, where they are others than a network's.
ROOMS = {
    # Its outputs say that the parameters are right, and hold the digests of the methods' files.
    "validate": (
        "core",
        "methods",
        "params",
        "stages.chosen_weights",
        "stages.code",
        "stages.tuned_weights",
        "stages.validate",
    ),
    "download": (*RESULT_ROOMS, "stages.download"),
    "preprocess": (*RESULT_ROOMS, "stages.preprocess"),
    "report": ("core", "reporting", "stages.report"),
}


def code_behind(stage):
    """Files whose code can change the stage's result, from the imports."""
    modules = [f"icsd.{START[stage]}"]
    if stage == "validate":
        modules += [f"icsd.methods.{path.stem}" for path in (SOURCE / "icsd/methods").glob("*.py")]
    return files_behind(modules, rooms=ROOMS.get(stage, RESULT_ROOMS))


def listed_code(stage):
    """Source files and folders among the stage's dependencies."""
    return [ROOT / dep for dep in STAGES[stage].get("deps", []) if dep.startswith(("src/", "pipeline/"))]


def lies_in(path, places):
    return any(path.is_relative_to(place) for place in places)


def test_every_stage_has_its_start():
    assert set(START) == set(STAGES)
    assert all(file_of(f"icsd.{module}") for module in START.values())


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lists_the_code_that_can_change_its_result(stage):
    unlisted = [path for path in code_behind(stage) if not lies_in(path, listed_code(stage))]
    assert not unlisted, f"{stage} runs code that it does not list"


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lists_no_code_that_it_does_not_run(stage):
    used = code_behind(stage)
    unused = [place for place in listed_code(stage) if not any(lies_in(path, [place]) for path in used)]
    assert not unused, f"{stage} lists code that it does not run"


@pytest.mark.parametrize("stage", STAGES)
def test_code_is_listed_by_folder(stage):
    """But for the stages' own files, and two of rooms on which the result otherwise does not depend."""
    files = {path.relative_to(SOURCE / "icsd").as_posix() for path in listed_code(stage) if path.is_file()}
    single = {path for path in files if not path.startswith("stages/")}
    assert single <= {"data/shards.py", "datasets/archives.py"}


@pytest.mark.parametrize("room", ["monitoring", "reporting", "stages/recording", "tracking"])
def test_what_watches_records_or_shows_makes_no_network_stale(room):
    files = [path for path in (SOURCE / "icsd" / room).rglob("*") if path.is_file()]
    assert files
    stale = {stage for stage in STAGES if any(lies_in(path, listed_code(stage)) for path in files)}
    assert stale == ({"report"} if room == "reporting" else set())


def test_a_package_that_runs_code_is_imported_by_its_name():
    """Importing a module runs the packages above it: one that is not followed for itself must do nothing."""
    followed = set().union(*map(code_behind, STAGES))
    for room in RESULT_ROOMS:
        for file in SOURCE.joinpath("icsd", *room.split(".")).rglob("__init__.py"):
            module = ".".join(file.parent.relative_to(SOURCE).parts)
            is_docstring = len(ast.parse(file.read_text(encoding="utf-8")).body) == 1
            assert is_docstring or file in followed or module in REGISTRIES, module


def test_a_run_depends_on_its_own_method_through_the_digests_of_its_files():
    assert "src/icsd/methods" in STAGES["validate"]["deps"]
    for stage in TRAIN:
        assert "data/${dataset}/validated/methods/${item.method}.json" in STAGES[stage]["deps"]


def test_tuned_weights_reach_students_through_validate_alone():
    listing = {stage for stage in STAGES if "configs/tuned" in str(STAGES[stage])}
    assert listing == {"validate"}


@pytest.mark.parametrize("stage", STAGES)
def test_every_dependency_exists(stage):
    for dep in STAGES[stage].get("deps", []):
        if dep.startswith(("src/", "pipeline/")) and "${" not in dep:
            assert (ROOT / dep).exists(), dep


def params_of(stage):
    """Dotted keys that a stage depends on, in params.yaml and in the preset."""
    keys: dict[str, set[str]] = {"params.yaml": set(), PRESET: set()}
    for item in STAGES[stage].get("params", []):
        if isinstance(item, str):
            keys["params.yaml"].add(item)
        else:
            for file, names in item.items():
                keys[file] |= set(names) if names else {""}
    return keys


def leaves(tree, prefix=""):
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def covers(listed, key):
    concrete = {
        name.replace("${item.method}", method).replace("${item.student}", student)
        for name in listed
        for method in PARAMS["methods"]
        for student in PARAMS["networks"]["students"]
    }
    return any(key == name or key.startswith(f"{name}.") or name == "" for name in concrete)


# Block (the longest that matches) -> the stages that go stale when a key in it changes, besides `validate`.
STALE = {
    "dataset": set(STAGES) - {"validate"},
    "grid.students": {"evaluate_distilled", "evaluate_baselines", "report"},
    "grid.seeds": {"evaluate_distilled", "evaluate_baselines", "report"},
    "grid.baselines": {"report"},
    "grid.distilled": {"report"},
    "data.reader": {"download", "preprocess"},
    "data.source": {"download"},
    "data.sources": {"download"},
    "data.classes": {"preprocess"},
    "data.splits": {"preprocess"},
    "data.holdout": {"preprocess"},
    "data.generated": {"preprocess"},
    "images": {"train_teacher", *TRAIN},
    "images.input_scale": {"train_teacher", *TRAIN, *EVALUATE},
    "networks.output_stride": {"train_teacher", *TRAIN},
    "networks.pretrained": {"train_teacher", *TRAIN},
    "networks.teacher": {"train_teacher"},
    "networks.students": TRAIN,
    "teacher": {"train_teacher"},
    "train": TRAIN,
    "monitor": set(),
    "weights": set(),  # what it chooses reaches students through the output of `validate`
    "methods": TRAIN,
    "alw": {"distill"},
    "evaluation": EVALUATE,
    "report": {"report"},
    "tuning": set(),
    "runtime": set(),
    "tracking": set(),
}


def expected(key):
    blocks = [block for block in STALE if key == block or key.startswith(f"{block}.")]
    return STALE[max(blocks, key=len)]


@pytest.mark.parametrize(
    ("file", "key"),
    [("params.yaml", key) for key in leaves(PARAMS)]
    + [(PRESET, key) for key in leaves(read_yaml(ROOT / "configs/datasets/shapes.yaml"))],
)
def test_a_key_makes_the_right_stages_stale(file, key):
    stale = {stage for stage in STAGES if covers(params_of(stage)[file], key)}
    assert stale - {"validate"} == expected(key)
    assert "validate" in stale


def test_every_block_has_its_row():
    assert {block.split(".")[0] for block in STALE} == set(Params.model_fields)


def test_a_key_of_the_preset_can_be_overridden():
    written = set(leaves(PARAMS))
    fixed = tuple(f"data.{key}" for key in PRESET_ONLY)  # what the dataset is
    for preset in Path(ROOT / "configs/datasets").glob("*.yaml"):
        for key in leaves(read_yaml(preset)):
            block = key.rsplit(".", 1)[0]
            assert key in written or block in written or key.startswith(fixed), (
                f"{preset.name}: {key} has no null in params.yaml"
            )


def test_outputs_are_named_after_the_dataset():
    for stage in STAGES.values():
        for out in stage["outs"]:
            assert "${dataset}" in (next(iter(out)) if isinstance(out, dict) else out)
