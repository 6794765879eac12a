"""dvc.yaml against the code: a stage lists what can change its result, and nothing else."""

import ast
import configparser
from itertools import product
from pathlib import Path

import pytest
from tests.imports import ROOT, SOURCE

from icsd.core.weighting import DECAYS, NUMBERS
from icsd.params import PRESET_ONLY, Params, merge
from icsd.stages.code import REGISTRIES, RESULT_ROOMS, file_of, files_behind
from icsd.stages.inputs import inputs_of_stages
from icsd.yaml_files import read_yaml

STAGES = read_yaml(ROOT / "dvc.yaml")["stages"]
PARAMS = read_yaml(ROOT / "params.yaml")
TRAIN = {"distill", "baselines"}
EVALUATE = {"evaluate_teacher", "evaluate_distilled", "evaluate_baselines"}
# Stage -> the module that its work starts from.
START = {
    **{stage: f"stages.{stage}" for stage in ("validate", "download", "preprocess", "report")},
    "deploy": "stages.deploy.run",
    **dict.fromkeys(["train_teacher", *sorted(TRAIN)], "stages.training.run"),
    **dict.fromkeys(sorted(EVALUATE), "stages.evaluation.run"),
}
# Stage -> the rooms that can change its result, where they are others than a network's.
ROOMS = {
    # Its outputs say that the parameters are right, and hold the digests of the methods' files.
    "validate": (
        "core",
        "methods",
        "models",
        "params",
        "stages.chosen_weights",
        "stages.code",
        "stages.exports",
        "stages.grid",
        "stages.initial_weights",
        "stages.inputs",
        "stages.networks",
        "stages.own_modules",
        "stages.own_weights",
        "stages.paces",
        "stages.registered",
        "stages.tuned_weights",
        "stages.validate",
    ),
    "download": (*RESULT_ROOMS, "stages.download"),
    "preprocess": (*RESULT_ROOMS, "stages.preprocess"),
    "report": ("core", "reporting", "stages.report"),
    # What is in its files, how they are measured, and which network is champion; not how the report words it.
    "deploy": (
        *("core", "data", "deployment", "models", "programs", "stages.deploy"),
        *(f"reporting.{name}" for name in ("champion", "differences", "reading", "results", "statistics")),
    ),
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
    """But for the stages' own files, and some of rooms on which the result otherwise does not depend."""
    files = {path.relative_to(SOURCE / "icsd").as_posix() for path in listed_code(stage) if path.is_file()}
    single = {path for path in files if not path.startswith("stages/")}
    data = {"data/manifest.py", "data/prepared.py", "data/shards.py"}
    datasets = {"archives", "file_kinds", "findings", "members", "source"}
    reporting = {f"reporting/{name}.py" for name in ("champion", "differences", "reading", "results")}
    assert single <= data | reporting | {f"datasets/{name}.py" for name in datasets} | {"programs.py"}


@pytest.mark.parametrize("room", ["monitoring", "reporting", "stages/recording", "tracking"])
def test_what_watches_records_or_shows_makes_no_network_stale(room):
    files = [path for path in (SOURCE / "icsd" / room).rglob("*") if path.is_file()]
    assert files
    stale = {stage for stage in STAGES if any(lies_in(path, listed_code(stage)) for path in files)}
    assert stale == ({"deploy", "report"} if room == "reporting" else set())


def test_how_the_report_looks_and_words_things_concerns_no_file():
    for place in ("figures", "page", "tables", "style.py", "report.py"):
        assert not lies_in(SOURCE / "icsd/reporting" / place, listed_code("deploy"))


def test_a_package_that_runs_code_is_imported_by_its_name():
    """Importing a module runs the packages above it: one that is not followed for itself must do nothing."""
    followed = set().union(*map(code_behind, STAGES))
    for room in RESULT_ROOMS:
        for file in SOURCE.joinpath("icsd", *room.split(".")).rglob("__init__.py"):
            module = ".".join(file.parent.relative_to(SOURCE).parts)
            is_docstring = len(ast.parse(file.read_text(encoding="utf-8")).body) == 1
            assert is_docstring or file in followed or module in REGISTRIES, module


def test_validate_reads_the_methods_files_of_which_students_have_the_digests():
    assert "src/icsd/methods" in STAGES["validate"]["deps"]


def test_tuned_weights_reach_students_through_validate_alone():
    listing = {stage for stage in STAGES if "configs/tuned" in str(STAGES[stage])}
    assert listing == {"validate"}


def test_paces_reach_students_through_validate_alone():
    listing = {stage for stage in STAGES if "configs/pace" in str(STAGES[stage])}
    assert listing == {"validate"}


@pytest.mark.parametrize("stage", STAGES)
def test_every_dependency_exists(stage):
    for dep in STAGES[stage].get("deps", []):
        if dep.startswith(("src/", "pipeline/")) and "${" not in dep:
            assert (ROOT / dep).exists(), dep


VALIDATED = "data/${dataset}/validated/"
METHODS = {
    alw: [name for name, block in PARAMS["methods"].items() if bool(block["alw"]) == alw] for alw in (0, 1)
}
TREE = merge(
    merge(read_yaml(ROOT / "configs/datasets/shapes.yaml"), PARAMS),
    {
        "grid": {
            "baselines": METHODS[0],
            "distilled": METHODS[1],
            "students": list(PARAMS["networks"]["students"]),
        }
    },
)
"""Every value as it is used, and a grid of everything that there is."""


def test_validate_depends_on_all_parameters_and_no_other_stage_on_any_by_itself():
    assert STAGES["validate"]["params"] == [{"params.yaml": None}, {"configs/datasets/${dataset}.yaml": None}]
    assert [name for name, stage in STAGES.items() if "params" in stage] == ["validate"]


def items():
    """(stage, matrix values without the seed) -> the file of parameters that it depends on."""
    found = {}
    for name, stage in STAGES.items():
        files = [dep.removeprefix(VALIDATED) for dep in stage.get("deps", []) if dep.startswith(VALIDATED)]
        assert len(files) == (name != "validate"), f"{name} depends on one file of parameters"
        matrix = {key: values for key, values in stage.get("matrix", {}).items() if key != "seed"}
        lists = [TREE["grid"][values.removeprefix("${grid.").removesuffix("}")] for values in matrix.values()]
        for choice in product(*lists) if files else ():
            file = files[0]
            for key, value in zip(matrix, choice, strict=True):
                file = file.replace("${item." + key + "}", value)
            found[(name, *choice)] = file
    return found


ITEMS = items()


NETWORKS = ["teacher", *TREE["grid"]["students"]]


PACES = {
    (method, student): 1.4
    for method, block in PARAMS["methods"].items()
    if block["weights"]
    for student in TREE["grid"]["students"]
}
"""As if all had been measured."""


def files_of(tree):
    """Every stage's file of parameters under ``tree``."""
    params = Params.model_validate(tree)
    of_methods: dict[str, dict[str, object]] = {name: {"code": {}} for name in params.grid.methods}
    return {
        file.as_posix(): content
        for file, content in inputs_of_stages(
            params,
            of_methods=of_methods,
            initial_weights=dict.fromkeys(NETWORKS),
            of_networks={},
            paces=PACES if params.train.budget == "seconds" else {},
        ).items()
    }


def stale(tree, other):
    """The items that run again when the parameters change from ``tree`` to ``other``."""
    before, after = files_of(tree), files_of(other)
    return {item for item, file in ITEMS.items() if before[file] != after.get(file)}


def test_validate_writes_the_files_that_stages_depend_on_and_no_others():
    assert set(files_of(TREE)) == set(ITEMS.values())


def leaves(tree, prefix=""):
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def with_value(tree, key, value):
    block, _, rest = key.partition(".")
    return {**tree, block: with_value(tree[block], rest, value) if rest else value}


def value_at(tree, key):
    for part in key.split("."):
        tree = tree[part]
    return tree


OTHER = {
    "alw.decay": "cosine",
    "alw.scope": "teacher",
    "data.folder": {
        **{"images": "*", "masks": "{stem}", "lists": "{split}", "fractions": None, "seed": 0},
        **{"classes": {"no": 0, "yes": 1}, "ignore": [], "unlabelled": False},
    },
    "data.source": "elsewhere.tar",
    "data.sources": [{"url": "https://example.org/a.tar", "sha256": None}],
    "data.splits.validation": None,
    "methods.aicsd_cosine.alw.decay": "step",
    "methods.aicsd_decay.alw.scope": "paper",
    "methods.aicsd_teacher.alw.scope": "paper",
    "methods.kd_decay.alw.scope": "paper",
    "networks.output_stride": 8,
    "networks.dropout": 0.25,
    **{
        f"networks.{place}.{key}": value
        for place in ("teacher", "students.resnet18")
        for key, value in {
            "architecture": "smp:unet/resnet18",
            "backbone": "resnet50",
            "head_width": 0.5,
            "normalisation": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
            "output_stride": 8,
            "taps": {"decoder": "decoder.blocks"},
        }.items()
    },
    "networks.students.efficientnet_lite0.head_width": 0.5,
    "networks.teacher.load": "unwrap",
    "networks.teacher.classes": {"background": 1},
    "teacher.optimizer": "sgd",
    "teacher.subset": 32,
    "teacher.class_weights": "median",
    "teacher.auxiliary_loss": "dice",
    "train.optimizer": "sgd",
    "train.subset": 32,
    "train.unlabelled": 16,
    "train.budget": "seconds",
    "train.class_weights": "median",
    "train.auxiliary_loss": "dice",
    "runtime.accelerator": "cpu",
    "runtime.devices": 2,
    "runtime.max_batch_per_device": 2,
    "runtime.mode": "fast",
    "runtime.precision": "bf16-mixed",
    "runtime.channels_last": True,
    "runtime.fold_teacher": True,
    "runtime.fused_optimizer": True,
    "runtime.teacher_cache": "off",
    "cluster.scratch": "/scratch",
    "deploy.formats": ["onnx"],
    "deploy.preprocessing": "inside",
    "cluster.slurm": {"partition": "gpu"},
    "teacher.select": "best_val",
    "train.select": "best_val",
    "tuning.epochs": 3,
    "weights": "tuned",
}
"""Another value, where none can be made from the present one."""


def another(key):
    """An allowed value that differs from the current one."""
    value = value_at(TREE, key)
    if key in OTHER:
        return OTHER[key]
    if key.startswith("grid."):
        return value[:-1]
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1 if isinstance(value, int) else value / 2 + 0.01
    if isinstance(value, list):
        return [2 * number for number in value]
    return {"kd": 1.0} if value == {} else f"{value}_"


# Block (the longest that matches) -> the stages that go stale when a key in it changes, besides `validate`.
STALE = {
    "grid.students": {"evaluate_distilled", "evaluate_baselines", "report", *TRAIN},
    "grid.seeds": {"evaluate_distilled", "evaluate_baselines", "report"},
    "grid.baselines": {"baselines", "report"},
    "grid.distilled": {"distill", "report"},
    "data.reader": {"download", "preprocess", "train_teacher", *TRAIN},
    "data.source": {"download"},
    "data.sources": {"download"},
    "data.classes": {"preprocess", "train_teacher", *TRAIN},
    "data.splits": {"preprocess", "train_teacher", *TRAIN},
    "data.holdout": {"preprocess", "train_teacher", *TRAIN},
    "data.generated": {"preprocess", "train_teacher", *TRAIN},
    "data.folder": {"download", "preprocess", "train_teacher", *TRAIN},
    "images": {"train_teacher", *TRAIN},
    "images.input_scale": {"train_teacher", *TRAIN, *EVALUATE},
    "networks.output_stride": {"train_teacher", *TRAIN},
    "networks.dropout": {"train_teacher", *TRAIN},
    "networks.pretrained": {"train_teacher", *TRAIN},
    "networks.teacher": {"train_teacher"},
    "networks.teacher.load": set(),  # of `weights`, where there are any
    "networks.teacher.classes": set(),
    "networks.students": TRAIN,
    "teacher": {"train_teacher"},
    "train": TRAIN,
    "monitor": set(),
    "weights": set(),  # what it chooses reaches students through the methods' blocks
    "methods": TRAIN,
    "alw": {"distill"},
    "evaluation": EVALUATE,
    "report": {"report"},
    "deploy": {"deploy"},
    "tuning": set(),
    "runtime": set(),
    "cluster": set(),
    "tracking": set(),
}


OF_SGD = {"momentum", "nesterov"}
"""What AdamW does not read."""


def expected(key):
    """The items that a change of ``key`` should make stale, restricted to its method or student."""
    block, _, name = key.partition(".")
    if name in OF_SGD and TREE[block]["optimizer"] == "adamw":
        return set()
    blocks = [block for block in STALE if key == block or key.startswith(f"{block}.")]
    found = {item for item in ITEMS if item[0] in STALE[max(blocks, key=len)]}
    room, *path = key.split(".")
    if room == "methods":
        return {item for item in found if item[1] == path[0]}
    if key == "train.budget":  # the student alone is what the others' time is measured against
        return {item for item in found if item[1] != "none"}
    if room == "networks" and path[0] == "students":
        return {item for item in found if item[2] == path[1]}
    if room == "alw":  # only what a schedule reads
        common = {name for name in METHODS[1] if path[0] not in own_schedule(name)}
        used = {"decay", "scope", *DECAYS[TREE["alw"]["decay"]].numbers}
        return {item for item in found if item[1] in common and path[0] in used}
    if room == "grid" and path[0] in ("students", "baselines", "distilled"):
        gone = TREE["grid"][path[0]][-1]
        return {item for item in found if item[0] not in TRAIN or gone in item}
    return found


@pytest.mark.parametrize("block", ["teacher", "train"])
@pytest.mark.parametrize("name", sorted(OF_SGD))
def test_what_the_optimiser_reads_makes_its_networks_stale(block, name):
    tree = with_value(TREE, f"{block}.optimizer", "sgd")
    other = with_value(tree, f"{block}.{name}", another(f"{block}.{name}"))
    assert {item[0] for item in stale(tree, other)} == STALE[block]


def own_schedule(method):
    own = PARAMS["methods"][method]["alw"]
    return own if isinstance(own, dict) else {}


@pytest.mark.parametrize("key", [key for key in leaves(TREE) if key != "dataset"])
def test_a_key_makes_the_right_stages_stale(key):
    other = with_value(TREE, key, another(key))
    assert other != TREE
    assert stale(TREE, other) == expected(key)


DEPLOYING = with_value(TREE, "deploy.formats", ["onnx", "int8"])


@pytest.mark.parametrize("key", list(leaves(TREE["deploy"], "deploy.")))
def test_what_is_deployed_makes_nothing_but_deploy_stale(key):
    assert stale(DEPLOYING, with_value(DEPLOYING, key, another(key))) == {("deploy",)}


@pytest.mark.parametrize(
    ("key", "chooses"),
    [
        *((f"report.{name}", True) for name in ("resamples", "seed", "clips")),
        *((f"grid.{name}", True) for name in ("students", "seeds", "baselines", "distilled")),
        *(("report.rope", False), ("train.lr", False), ("evaluation.panels", False)),
    ],
)
def test_with_files_what_chooses_the_champion_makes_deploy_stale(key, chooses):
    """Trained and measured otherwise, networks and results are other files, on which it depends as well."""
    assert (("deploy",) in stale(DEPLOYING, with_value(DEPLOYING, key, another(key)))) == chooses


def test_how_weights_are_loaded_makes_the_teacher_stale_where_there_are_any():
    tree = with_value(TREE, "networks.teacher.weights", "w.pth")
    for key in ("networks.teacher.load", "networks.teacher.classes"):
        assert stale(tree, with_value(tree, key, OTHER[key])) == {("train_teacher",)}


def test_how_a_teacher_would_be_trained_does_not_make_one_stale_that_is_not():
    tree = with_value(with_value(TREE, "networks.teacher.weights", "w.pth"), "teacher.train", False)
    for key in leaves(tree["teacher"], "teacher."):
        expected = {("train_teacher",)} if key in ("teacher.train", "teacher.seed") else set()
        assert (
            stale(tree, with_value(tree, key, another(key) if key != "teacher.train" else True)) == expected
        )


def test_another_dataset_makes_every_stage_stale():
    preset = merge(read_yaml(ROOT / "configs/datasets/camvid.yaml"), PARAMS)
    assert stale(TREE, merge(preset, {"dataset": "camvid", "grid": TREE["grid"]})) == set(ITEMS)


@pytest.mark.parametrize("decay", DECAYS)
def test_the_numbers_that_a_decay_reads_make_its_students_stale_and_the_others_nothing(decay):
    tree = with_value(TREE, "alw.decay", decay)
    for number in NUMBERS:
        common = {name for name in METHODS[1] if "decay" not in own_schedule(name)}
        read = number in DECAYS[decay].numbers
        other = with_value(tree, f"alw.{number}", value_at(tree, f"alw.{number}") * 2)
        assert {item[1] for item in stale(tree, other)} == (common if read else set())


def test_writing_out_what_the_preset_says_makes_nothing_stale():
    preset = read_yaml(ROOT / "configs/datasets/shapes.yaml")
    nulls = [key for key in leaves(PARAMS) if value_at(PARAMS, key) is None and has(preset, key)]
    assert len(nulls) > 25
    written = PARAMS
    for key in nulls:
        written = with_value(written, key, value_at(preset, key))
    assert (
        stale(merge(preset, PARAMS) | {"grid": TREE["grid"]}, merge(preset, written) | {"grid": TREE["grid"]})
        == set()
    )


def has(tree, key):
    return key in set(leaves(tree))


def test_every_block_has_its_row():
    assert {block.split(".")[0] for block in STALE} | {"dataset"} == set(Params.model_fields)


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


def test_no_link_to_the_cache_can_be_written_through():
    """A hard or symbolic link is the object in DVC's cache itself, and root may write to it."""
    config = configparser.ConfigParser()
    config.read_string((ROOT / ".dvc/config").read_text(encoding="utf-8"))
    types = config["cache"]["type"].strip('"').split(",")
    assert types[-1] == "copy"
    assert set(types) <= {"reflink", "copy"}
