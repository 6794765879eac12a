"""A user's own folder of images, from a preset to a report."""

import pytest
from tests.project import commit, make_project, reproduce, write_yaml
from tests.stages.test_dataset import block_of_docs, photograph

from icsd.yaml_files import read_yaml

pytestmark = pytest.mark.slow


def test_a_folder_of_images_and_masks_becomes_a_report(tmp_path):
    photograph(tmp_path / "photos", number=6)
    project = make_project(tmp_path / "project", dataset="mine", data={"source": str(tmp_path / "photos")})
    presets = project / "configs/datasets"
    write_yaml(presets / "mine.yaml", read_yaml(presets / "shapes.yaml") | block_of_docs())
    commit(project)
    reproduce(project)
    text = (project / "reports/mine/report.html").read_text(encoding="utf-8")
    assert all(name in text for name in ("ground", "building", "vehicle"))
