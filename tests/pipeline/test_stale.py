"""What makes results stale in a reproduced project, and what does not."""

import pytest
import torch
from tests.project import change, outputs, run, stale_stages

from icsd.models.deeplab import build_network

pytestmark = pytest.mark.slow


@pytest.fixture
def edited(reproduced):
    """Appends a comment to source files of the project, which are as they were after the test."""
    before = {}

    def edit(*folders):
        for folder in folders:
            for path in (reproduced / "src/icsd" / folder).rglob("*.py"):
                before[path] = path.read_text(encoding="utf-8")
                path.write_text(f"{before[path]}# a comment is a change\n", encoding="utf-8")
        assert before
        return stale_stages(reproduced)

    yield edit
    for path, source in before.items():
        path.write_text(source, encoding="utf-8")


def test_what_records_watches_or_is_typed_makes_nothing_stale(edited):
    assert edited("tracking", "monitoring", "stages/recording", "commands") == set()


def test_what_shows_makes_only_the_report_stale(edited):
    assert edited("reporting/figures", "reporting/page", "reporting/tables") == {"report"}
    assert edited("reporting/statistics") == {"deploy", "report"}  # it decides which network is champion


def test_an_edit_of_the_training_makes_every_network_stale(edited):
    """So the tests above can fail."""
    assert edited("training") == {
        *("train_teacher", "baselines@none-resnet18-0", "baselines@kd-resnet18-0", "distill@aicsd-resnet18-0")
    }


def test_what_is_watched_makes_no_network_stale(reproduced):
    before = (reproduced / "params.yaml").read_bytes()
    change(reproduced, monitor={"health_steps": 0, "similarity_every": 1, "similarity_images": 3})
    run(reproduced, "dvc", "repro", "validate")
    stale = stale_stages(reproduced)
    (reproduced / "params.yaml").write_bytes(before)
    run(reproduced, "dvc", "repro", "validate")
    assert stale == set()


def test_a_file_of_initial_weights_replaced_under_its_name_concerns_its_networks(reproduced, tmp_path):
    before = (reproduced / "params.yaml").read_bytes()
    change(reproduced, networks={"students": {"resnet18": {"pretrained": str(tmp_path / "w.pth")}}})

    def inputs_with_weights_of(seed):
        torch.manual_seed(seed)
        state = build_network("resnet18", num_classes=2, width=0.125).backbone.state_dict()
        torch.save(state, tmp_path / "w.pth")
        run(reproduced, "dvc", "repro", "validate")
        return outputs(reproduced / "data/shapes/validated")

    first, second = inputs_with_weights_of(0), inputs_with_weights_of(1)
    assert {name.split("/")[0] for name in first if first[name] != second[name]} == {"students"}
    (reproduced / "params.yaml").write_bytes(before)
    run(reproduced, "dvc", "repro", "validate")
    assert stale_stages(reproduced) == set()


@pytest.mark.parametrize("role", ["distilled", "baselines"])
def test_a_grid_may_lack_either_kind_of_method(reproduced, role):
    before = (reproduced / "params.yaml").read_bytes()
    change(reproduced, grid={role: []})
    run(reproduced, "dvc", "repro", "validate")
    stale = stale_stages(reproduced)
    listed = run(reproduced, "dvc", "stage", "list", "--name-only").stdout.split()
    (reproduced / "params.yaml").write_bytes(before)
    run(reproduced, "dvc", "repro", "validate")
    assert stale == {"report"}
    stage = "distill" if role == "distilled" else role
    assert not [name for name in listed if name.split("@")[0] in (stage, f"evaluate_{role}")]
    assert "report" in listed
