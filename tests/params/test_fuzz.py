"""Any params.yaml either gives a tree from which networks and optimisers can be built, or a message."""

import copy
import datetime
import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.imports import ROOT

from icsd.core.weighting import term_weights
from icsd.errors import UserError
from icsd.methods import build_method
from icsd.models.contract import Architecture, Network
from icsd.models.networks import new_network
from icsd.params import merge, parse_params
from icsd.stages.grid import student_keys, teacher_key
from icsd.stages.inputs import inputs_of_stages, schedule_of
from icsd.stages.networks import description_of, networks_of_grid
from icsd.stages.training.job import student_job, teacher_job
from icsd.stages.validate import check_tree
from icsd.training.optim import build_optimizer
from icsd.yaml_files import parse_yaml, read_yaml, yaml_text

PRESET = read_yaml(ROOT / "configs/datasets/shapes.yaml")
WRITTEN = read_yaml(ROOT / "params.yaml")
GRID = ["none", "kd", "icsd", "aicsd"]
TREE = merge(PRESET, {**WRITTEN, "methods": {name: WRITTEN["methods"][name] for name in GRID}})
ENDLESS: list[object] = []
ENDLESS.append(ENDLESS)
LAUGHS: list[object] = ["ha"]
for _ in range(40):
    LAUGHS = [LAUGHS] * 10
VALUES = [
    *(
        None,
        True,
        False,
        "yes",
        "no",
        "on",
        "0.1",
        "1e-3",
        "",
        " ",
        "x",
        "a\0b",
        "..",
        "long" * 3000,
        "ä",
        "\u202e",
    ),
    *(-1, 0, 1, 2, 3, 17, 255, 1024, 100_000, 10**9, 2**31, 2**32, 2**64, 16**5000, -(10**400)),
    *(0.0, -0.0, 0.001, 0.5, 1.0, 2.5, 1e-308, 1e308, float("inf"), float("nan")),
    *([], [[]], [0], [1, 1], ["resnet18"], [None], {}, {"a": {}}, {1: 2}, {None: 1}, {(1, 2): 3}),
    *(datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1), b"bytes", {1, 2}, ENDLESS, LAUGHS),
]


def places(tree, path=()):
    """The path of every value and block."""
    for key, value in tree.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from places(value, (*path, key))


PLACES = list(places(TREE))


def mutated(number: int) -> dict[str, Any]:
    """The tree with one to three of its places changed."""
    draw = random.Random(number)
    tree = copy.deepcopy(TREE)
    for _ in range(draw.choice([1, 1, 2, 3])):
        *blocks, key = draw.choice(PLACES)
        block: Any = tree
        for name in blocks:
            block = block.get(name) if isinstance(block, dict) else None
        if not isinstance(block, dict):
            continue
        what = draw.choice(["value", "value", "value", "scaled", "gone", "typo", "added", "moved"])
        old = block.get(key)
        if what == "scaled" and isinstance(old, int | float) and not isinstance(old, bool):
            block[key] = type(old)(old * draw.choice([0, 0.5, 2, 10, 1000, -1]))
        elif what == "scaled" and isinstance(old, list) and old:
            block[key] = [*old, draw.choice([*old, *VALUES])]
        elif what == "gone":
            block.pop(key, None)
        elif what == "typo" and key in block:
            block[str(key) + draw.choice("x_- ")] = block.pop(key)
        elif what == "added":
            block[draw.choice(["", "new", "a b", "epochs", 7, None])] = draw.choice(VALUES)
        elif what == "moved":
            block[key] = copy.deepcopy(draw.choice(list(block.values())))
        else:
            block[key] = draw.choice(VALUES)
    return tree


BUILT: dict[str, Network] = {}


def network(described):
    """Build a network once for all trees that have it."""
    name = json.dumps(described, sort_keys=True)
    with torch.device("meta"):
        BUILT[name] = BUILT.get(name) or new_network(Architecture(**described))
    return BUILT[name]


def build(params):
    """Build everything that a training builds before its first step."""
    built = {name: network(description_of(params, key)) for name, key in networks_of_grid(params).items()}
    for key in (teacher_key(params), *student_keys(params, params.grid.methods)):
        job = teacher_job(params) if key.is_teacher else student_job(params, key)
        student, method = built["teacher" if key.is_teacher else key.network], None
        if not key.is_teacher:
            with torch.device("meta"):
                method = build_method(
                    key.method,
                    job.block,
                    student_channels=student.channels,
                    teacher_channels=built["teacher"].channels,
                    num_classes=params.data.classes,
                )
        names = ("lr", "head_lr_factor", "momentum", "nesterov", "weight_decay")
        build_optimizer(
            student,
            method,
            name=job.training.optimizer,
            **{name: getattr(job.training, name) for name in names},
        )
        epochs = job.training.epochs
        for epoch in {0, epochs // 2, epochs - 1}:
            weights = term_weights(
                epoch,
                epochs=epochs,
                terms=list(job.block["weights"]),
                weights=job.block["weights"],
                alw=schedule_of(params, key),
                label_terms=job.training.label_terms,
            )
            assert all(0 <= weight < float("inf") for weight in weights.values())
    of_methods: dict[str, dict[str, object]] = {name: {} for name in params.grid.methods}
    files = inputs_of_stages(
        params, of_methods=of_methods, initial_weights=dict.fromkeys(built), of_networks={}
    )
    json.dumps({file.as_posix(): content for file, content in files.items()}, allow_nan=False)


def test_a_tree_is_good_to_build_from_or_refused_with_a_message(tmp_path):
    outcomes, longest = {"valid": 0, "refused": 0}, 0
    for number in range(400):
        tree = mutated(number)
        try:
            params = check_tree(tmp_path, tree, "params.yaml")
        except UserError as refusal:
            outcomes["refused"] += 1
            longest = max(longest, *map(len, str(refusal).splitlines()))
        else:
            outcomes["valid"] += 1
            build(params)
    assert min(outcomes.values()) > 25, outcomes
    assert longest < 1000


SNIPPETS = [
    *(
        b"\t",
        b"\xef\xbb\xbf",
        b"\x00",
        b"\xff\xfe",
        b"\xc3",
        b"&a ",
        b"*a",
        b"<<: *a\n",
        b"!!python/object:os.system ",
        b"- ",
    ),
    *(
        b"? ",
        b": ",
        b"{",
        b"}",
        b"[",
        b"]",
        b"\n",
        b"\r\n",
        b"\r",
        b"#",
        b"\x85",
        b"|\n",
        b">-\n",
        b"%YAML 1.1\n",
        b"---\n",
        b"...",
    ),
    *(
        b"&x [*x]",
        b"{a: &y {b: *y}}",
        b"0x" + b"f" * 4000,
        b"1" * 5000,
        b"1e999",
        b"-.inf",
        b".nan",
        b"2020-01-01",
        b"12:30",
    ),
    *(
        b"!!set {1, 2}",
        b"!!binary AAA",
        b"!!omap [a: 1]",
        b"!!float x",
        b"'",
        b'"\\x',
        b"@",
        b"`",
        b"~",
        b"\xf0\x9f\x98\x80",
    ),
]


def test_a_file_holds_parameters_or_is_refused_with_a_message():
    lines = (
        yaml_text({**TREE, "methods": {"none": TREE["methods"]["none"]}}).encode().splitlines(keepends=True)
    )
    content = [line for line in lines if draw_line(line)]
    refused = []
    for number in range(250):
        draw = random.Random(number)
        changed = list(content)
        for _ in range(draw.choice([1, 1, 2])):
            line = draw.randrange(len(changed))
            at = draw.randrange(len(changed[line]) + 1)
            changed[line] = changed[line][:at] + draw.choice([*SNIPPETS, *content]) + changed[line][at:]
        try:
            tree = merge(PRESET, parse_yaml(b"".join(changed), Path("params.yaml")))
            parse_params(tree, "params.yaml")
        except UserError as refusal:
            refused.append(str(refusal))
    assert len(refused) > 50
    assert all(message.startswith(("params.yaml: ", "params.yaml:\n")) for message in refused)


def draw_line(line):
    """Whether to use a line: a third of the indented ones is enough, and takes a third of the time."""
    return not line.startswith(b" ") or hash(bytes(line)) % 3 == 0


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("data: 5", r"data: Input should be a valid dictionary.*got 5"),
        ("images: []", r"images: Input should be a valid dictionary.*got \[\]"),
        ("grid:", r"grid: null here and in the preset"),
        ("images: {crop: [100000, 100000]}", r"images\.crop\.0: .*less than or equal to 8192, got 100000"),
        (
            "images: {crop: [8192, 8192]}\ntrain: {batch: 64}",
            r"train\.batch: 64 crops of 8192 × 8192 are 52 GB",
        ),
        ("images: {input_scale: 0.001}", r"images\.input_scale: .*greater than or equal to 0\.02"),
        ("images: {input_scale: 0.1}", r"images\.input_scale: 0\.1 leaves 6\.4 of 64 pixels"),
        ("train: {lr: 1e308}", r"train\.lr: .*less than or equal to 10+, got 1e\+308"),
        ("train: {lr: .inf}", r"train\.lr: .*finite"),
        ("train: {lr: .nan}", r"train\.lr: "),
        ("train: {lr: '0.1'}", r"train\.lr: .*a number has no quotes"),
        ("train: {nesterov: yes}", r"train\.nesterov: .*write true or false"),
        ("train: {batch: 0}", r"train\.batch: "),
        ("train: {batch: 1000000000}", r"train\.batch: "),
        ("train: {epochs: 1000000000}", r"train\.epochs: "),
        ("runtime: {threads: 1000000000}", r"runtime\.threads: "),
        ("runtime: {workers: 1000000000}", r"runtime\.workers: "),
        ("cluster: {memory: 1e9}", r"cluster\.memory: "),
        ("cluster: {scratch: scratch}", r"cluster\.scratch: "),
        ("report: {resamples: 1000000000}", r"report\.resamples: "),
        ("grid: {seeds: [4294967296]}", r"grid\.seeds\.0: "),
        (
            "methods: {teacher: {method: kd, alw: false, weights: {kd: 1.0}}}",
            r"methods\.teacher: .*choose another",
        ),
        ("methods: {kd: {temperature: .inf}}", r"methods\.kd\.temperature: "),
        ("methods: {ickd: {grid: 1000000000}}", r"methods\.ickd\.grid: must be at most"),
        ("trian: {}", r"trian: unknown key; did you mean 'train'"),
        ("alw: {decay: &a {b: *a}}", r"nested too deeply"),
        ("alw: {decay: &a [*a]}", r"nested too deeply"),
    ],
)
def test_a_slip_is_named(tmp_path, line, words):
    other = parse_yaml(line.encode(), Path("params.yaml"))
    tree = merge(merge(PRESET, WRITTEN), other)
    tree |= {key: value for key, value in other.items() if value is None}
    with pytest.raises(UserError, match=words):
        check_tree(tmp_path, tree, "params.yaml")
