"""docs/deploy.md, typed in a tiny project, prints what the page says."""

import re
import shlex
import shutil

import numpy as np
import pytest
from PIL import Image
from tests.camvid import NEEDS_CAMVID, camvid_archive
from tests.docs.blocks import block
from tests.docs.test_blocks import DEPLOYED
from tests.docs.test_serving import SERVED, asked, served
from tests.docs.test_transcripts import typed
from tests.project import commit, make_project, reproduce, run

from icsd.data.prepared import REPORT, PreparedData
from icsd.datasets import DATASETS
from icsd.datasets.reading.masks import read_ids

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(reproduced, tmp_path_factory):
    """A copy of the reproduced project with the page's photographs."""
    folder = tmp_path_factory.mktemp("deploy") / "project"
    shutil.copytree(reproduced, folder, symlinks=True, ignore=shutil.ignore_patterns(".state"))
    (folder / "photos").mkdir()
    split = PreparedData(folder / "data/shapes/processed").split(REPORT)
    for number in range(4):
        Image.fromarray(split[number][0]).save(folder / f"photos/{number}.png")
    return folder


def shape(line):
    """A line without numbers, their signs and the spaces that align columns."""
    return re.sub(r"\s+", " ", re.sub(r"[+-]?\d+(\.\d+)?(e[+-]\d+)?|–", "<number>", line))


def test_the_page_prints_what_it_says_in_its_order(project):
    for start in DEPLOYED:
        shown = block("docs/deploy.md", f"$ python -m pipeline {start}")
        printed = typed(project, shown.commands[0])
        assert [shape(line) for line in printed.splitlines()] == [shape(line) for line in shown.printed]
    program = block("docs/deploy.md", "import json").content
    printed = run(project, "python", "-c", program).stdout
    assert printed.startswith(str(list(DATASETS["shapes"].classes[:2])))
    masks = [np.asarray(Image.open(project / f"masks/masks/{number}.png")) for number in range(4)]
    assert max(mask.max() for mask in masks) < len(DATASETS["shapes"].classes)


def test_the_table_of_times_has_the_lines_and_columns_that_the_page_shows(project):
    shown = block("docs/deploy.md", "$ python -m pipeline bench")
    printed = run(project, "bash", "-c", shown.commands[0]).stdout.splitlines()
    machine, *table = shown.printed
    assert re.findall(r", (\w+) [\d.]+", printed[0]) == re.findall(r", (\w+) [\d.]+", machine)
    assert [shape(line) for line in printed[1:]] == [shape(line) for line in table]


@pytest.fixture(scope="module")
def on_camvid(tmp_path_factory):
    """A finished grid on CamVid with barely trained networks, and photographs."""
    network = {"width": 0.25, "head_width": 0.0625, "pretrained": False}
    short = {"subset": 4, "epochs": 1, "batch": 2, "validate_every": 1}
    project = make_project(
        tmp_path_factory.mktemp("camvid") / "project",
        dataset="camvid",
        data={"source": str(camvid_archive())},
        grid={"students": ["efficientnet_lite0"], "baselines": ["none"], "distilled": []},
        images={"crop": [64, 64]},
        networks={
            "teacher": {"backbone": "resnet18", **network},  # tracing an EfficientNet takes a minute
            "students": {"efficientnet_lite0": network},
        },
        teacher=short,
        train=short,
        monitor={"similarity_every": 0},
        report={"clips": "[^_]+_f?[0-9][0-9]"},
        tracking={"models": True},
    )
    commit(project)
    reproduce(project)
    (project / "street").mkdir()
    split = PreparedData(project / "data/camvid/processed").split(REPORT)
    for number in range(3):
        Image.fromarray(split[number][0]).save(project / f"street/{number}.png")
    return project


@NEEDS_CAMVID
def test_the_whole_way_on_camvid_prints_what_the_page_says(on_camvid):
    shown = block("docs/deploy.md", "$ python -m pipeline export models:")
    printed = [
        line
        for command in shown.commands
        for line in run(on_camvid, "bash", "-c", command).stdout.splitlines()
    ]
    assert [shape(line) for line in printed if ", load " not in line] == [
        shape(line) for line in shown.printed if ", load " not in line
    ], "but for the machine"
    run(on_camvid, "python", "-W", "ignore", "-c", block("docs/deploy.md", '"""A folder').content)
    with served(on_camvid, shlex.split(block("docs/deploy.md", SERVED).commands[0])) as port:
        classes = asked(on_camvid, port, "street/0.png")
    assert (classes == read_ids(on_camvid / "masks/masks/0.png")).mean() > 0.999
