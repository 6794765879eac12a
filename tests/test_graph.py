"""dvc.yaml against the code: a stage lists what can change its result, and nothing else."""

import re
from functools import cache
from pathlib import Path

import pytest
from tests.imports import ROOT, SOURCE, reached_from

from icsd.datasets import DATASETS
from icsd.methods.sources import sources_of
from icsd.params import PRESET_ONLY, Params, read_yaml

STAGES = read_yaml(ROOT / "dvc.yaml")["stages"]
PARAMS = read_yaml(ROOT / "params.yaml")
PRESET = "configs/datasets/${dataset}.yaml"
# Code that carries numbers and makes none; a change there makes no result stale.
CARRIERS = {
    "src/icsd/__init__.py",
    "src/icsd/assembly/__init__.py",
    "src/icsd/assembly/device.py",
    "src/icsd/assembly/origin.py",
    "src/icsd/assembly/pictures.py",
    "src/icsd/assembly/registry.py",
    "src/icsd/assembly/grid.py",
    "src/icsd/assembly/tuned.py",
    "src/icsd/assembly/validate.py",
    "src/icsd/data/__init__.py",
    "src/icsd/files.py",
    "src/icsd/methods/__init__.py",
    "src/icsd/methods/blocks.py",
    "src/icsd/methods/sources.py",
    "src/icsd/params.py",
    "src/icsd/runs.py",
    "pipeline/__init__.py",
}
CARRIER_FILES = frozenset({ROOT / name for name in CARRIERS} | set((SOURCE / "icsd/tracking").glob("*.py")))
READERS = {f"src/icsd/data/{name}.py" for name in DATASETS}


def relative(paths):
    return {str(path.relative_to(ROOT)) for path in paths}


def listed_code(stage):
    """Source files that a stage lists one by one, and those in folders that it lists; no templates."""
    paths = [ROOT / dep for dep in STAGES[stage].get("deps", []) if "${" not in dep]
    paths = [path for path in paths if path.is_relative_to(SOURCE) or path.is_relative_to(ROOT / "pipeline")]
    folders = [path for path in paths if path.is_dir()]
    return relative(set(paths) - set(folders)), relative(
        file for folder in folders for file in folder.rglob("*.py")
    )


@cache
def entry_of(stage):
    return ROOT / (re.search(r"-m (pipeline\.\w+)", STAGES[stage]["cmd"])[1].replace(".", "/") + ".py")


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lists_the_code_that_it_runs(stage):
    used = relative({entry_of(stage)} | reached_from(entry_of(stage), stop=CARRIER_FILES))
    single, in_folders = listed_code(stage)
    if stage == "validate":
        # Its outputs never depend on more: the parameters are right, and these are the methods' files.
        used = {"pipeline/validate.py", "src/icsd/params.py", "src/icsd/similarity.py"}
    elif stage == "preprocess":
        used |= READERS  # reached through the dict of datasets, which is not followed
    assert not used - single - in_folders, f"{stage} runs code that it does not list"
    assert not single - used, f"{stage} lists code that it does not run"


def test_a_run_depends_on_its_own_method_through_the_digests_of_its_files():
    assert "src/icsd/methods" in STAGES["validate"]["deps"]
    for stage in ("distill", "baselines"):
        assert "data/${dataset}/validated/methods/${item.method}.json" in STAGES[stage]["deps"]


def test_tuned_weights_reach_students_through_validate_alone():
    listing = {stage for stage in STAGES if "configs/tuned" in str(STAGES[stage])}
    assert listing == {"validate"}


@pytest.mark.parametrize("name", PARAMS["methods"])
def test_the_digests_cover_all_that_a_method_imports(name):
    block = PARAMS["methods"][name]
    own = f"src/icsd/methods/{block.get('method', name)}.py"
    files = {own} | relative(reached_from(ROOT / own, stop=CARRIER_FILES))
    if "kd" in block["weights"]:
        files.add("src/icsd/methods/kd.py")
    found = {f"src/{path}" for path in sources_of(name, block)}
    assert files <= found
    assert found <= files | {"src/icsd/methods/base.py", "src/icsd/similarity.py"}  # which KD may bring


@pytest.mark.parametrize("stage", STAGES)
def test_every_dependency_exists(stage):
    for dep in STAGES[stage].get("deps", []):
        if dep.startswith(("src/", "pipeline/")) and "${" not in dep:
            assert (ROOT / dep).exists(), dep


def params_of(stage):
    """Dotted keys that a stage depends on, in params.yaml and in the preset."""
    keys = {"params.yaml": set(), PRESET: set()}
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
TRAIN = {"distill", "baselines"}
EVALUATE = {"evaluate_teacher", "evaluate_distilled", "evaluate_baselines"}
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
