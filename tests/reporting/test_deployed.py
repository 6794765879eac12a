"""The report with exported files; without them, it is byte for byte the same as before."""

from pathlib import Path

import pytest
from tests.project import outputs
from tests.reporting.deployed import write_deployed
from tests.reporting.tree import CLASSES, PALETTE, Tree, write_json

from icsd.reporting.deployed import load_deployed
from icsd.reporting.report import write_report


def write(tree: Tree, destination: Path) -> dict[str, object]:
    results = tree.load()
    return write_report(
        results,
        destination=destination,
        classes=tree.classes,
        palette=PALETTE,
        resamples=100,
        seed=0,
        rope=0.5,
        deployed=load_deployed(tree.root, results),
    )


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Reports of one grid: never deployed, deployed without formats, and with two formats."""
    root = tmp_path_factory.mktemp("reports")
    tree = Tree(root, classes=CLASSES[:3], num_images=20).write()
    found = {name: root / name for name in ("never", "empty", "files")}
    summaries = [write(tree, found["never"])]
    write_json(root / "deployed/shapes/deployment.json", {"schema": 1, "dataset": "shapes", "students": []})
    summaries.append(write(tree, found["empty"]))
    write_deployed(tree, "aicsd", {"onnx": {}, "int8": {1: 60}})
    summaries.append(write(tree, found["files"]))
    assert summaries[0] == summaries[1] == summaries[2]
    return found


def test_without_formats_the_report_is_the_same_bytes(reports: dict[str, Path]):
    assert outputs(reports["empty"]) == outputs(reports["never"])
    page = (reports["never"] / "report.html").read_text()
    assert "deployment" not in page
    assert "As files" not in page


def test_with_files_the_page_and_the_readme_show_one_table_and_one_picture(reports: dict[str, Path]):
    page, readme = ((reports["files"] / name).read_text() for name in ("report.html", "README.md"))
    assert page.count('<h2 id="deployment-section">As files</h2>') == 1
    assert page.count('<table id="deployment-table"') == 1
    assert page.count('<figure id="deployment">') == 1
    assert page.index('<figure id="deployment">') < page.index('id="similarity-section"')
    assert "## As files" in readme
    assert "![mIoU against latency](figures/deployment.png)" in readme
    assert (reports["files"] / "figures/deployment.png").stat().st_size > 10_000
    added = outputs(reports["files"]).keys() - outputs(reports["never"]).keys()
    assert added == {*(f"deployment.{each}" for each in ("csv", "md", "tex")), "figures/deployment.png"}
    for text in (page, readme):
        assert not any(f">{gap}<" in text or f"| {gap} |" in text for gap in ("nan", "None"))


def test_a_file_that_loses_is_said_before_the_tables(reports: dict[str, Path]):
    readme = (reports["files"] / "README.md").read_text()
    answer = readme.split("## Comparison")[0]
    assert "**Files that are worse than their networks:**" in answer
    assert "int8 loses mIoU, and not by chance" in answer
    assert "ONNX" not in answer
