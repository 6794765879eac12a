import numpy as np
import pytest
from PIL import Image
from tests.commands.new_dataset.folders import in_folders, save, scene, write

from icsd.commands.new_dataset import run as module
from icsd.commands.new_dataset.run import new_dataset
from icsd.commands.new_dataset.settings import settings_for
from icsd.commands.new_dataset.survey import Pictures
from icsd.errors import UserError
from icsd.params import load_params
from icsd.yaml_files import read_yaml

PAIRS = in_folders("{split}/images/{n}.png", "{split}/masks/{n}.png", number=3)


def test_the_preset_is_accepted_and_says_what_to_run(described, project):
    preset, printed = described(PAIRS)
    params = (project / "params.yaml").read_text(encoding="utf-8")
    (project / "params.yaml").write_text(params.replace("dataset: shapes", "dataset: own"), encoding="utf-8")
    assert load_params(project).data.folder is not None
    assert preset["data"]["source"] == str(project.parent / "own")
    assert "next: dvc exp run -S dataset=own -S 'grid.students=[efficientnet_lite0]'" in printed
    assert "red, green, blue of 9 images: mean 12" in printed


def test_sizes_and_epochs_follow_the_images():
    def settings(sizes, num_train):
        return settings_for(Pictures(sizes, (), (), 0), num_train=num_train).tree

    large = settings({(1536, 2048): 5, (240, 320): 1}, 800)
    assert large["images"]["input_scale"] == 0.25
    assert large["images"]["crop"] == [384, 512]
    assert (large["teacher"]["batch"], large["teacher"]["epochs"]) == (8, 40)
    small = settings({(100, 90): 1}, 3)
    assert small["images"]["input_scale"] == 1.0
    assert small["images"]["crop"] == [96, 64]
    assert (small["train"]["batch"], small["train"]["epochs"]) == (3, 400)


def test_mean_and_deviation_are_those_of_the_pixels(described, tmp_path):
    write(tmp_path / "own", PAIRS)
    for image, _ in PAIRS:
        pixels = np.zeros((24, 32, 3))
        pixels[:12, :, 0], pixels[..., 2] = 100, 7
        save(tmp_path / "own" / image, pixels + scene(0)[0] * 0)
    _, printed = described_twice(described)
    assert "mean 50.0, 0.0, 7.0; standard deviation 50.0, 0.0, 0.0 (0 to 255)" in printed


def described_twice(described):
    """Run the command without the doctor, which refuses equal images."""
    original = module._examine
    module._examine = lambda *arguments: None
    try:
        return described()
    finally:
        module._examine = original


def test_an_existing_preset_is_replaced_by_force_alone(described, project, tmp_path, capsys):
    described(PAIRS)
    before = (project / "configs/datasets/own.yaml").read_bytes()
    with pytest.raises(UserError, match=r"configs/datasets/own\.yaml exists, and nothing was written"):
        described()
    assert (project / "configs/datasets/own.yaml").read_bytes() == before
    new_dataset(project, tmp_path / "own", name=None, ask=False, force=True)
    assert "replaced configs/datasets/own.yaml" in capsys.readouterr().out
    assert (project / "configs/datasets/own.yaml").read_bytes() == before


@pytest.mark.parametrize(("folder", "name"), [("Meine Straßen (2)", "meine_straen_2"), ("日本", "mine")])
def test_the_name_is_that_of_the_folder_in_plain_letters(project, tmp_path, folder, name):
    new_dataset(project, write(tmp_path / folder, PAIRS), name=None, ask=False, force=False)
    assert read_yaml(project / f"configs/datasets/{name}.yaml")["data"]["classes"] == 3


def test_a_name_that_is_none_is_refused(project, tmp_path):
    with pytest.raises(UserError, match=r"--name: '\.\./x' may contain only letters"):
        new_dataset(project, write(tmp_path / "own", PAIRS), name="../x", ask=False, force=False)


def test_what_the_doctor_finds_is_told_all_at_once(described, project, tmp_path):
    root = write(tmp_path / "own", PAIRS)
    save(root / "train/images/train0.png", scene(0, height=20)[0])
    (root / "test/images/test0.png").write_bytes((root / "val/images/val0.png").read_bytes())
    with pytest.raises(UserError) as caught:
        described()
    assert "own.yaml is written, but the data cannot be used yet" in str(caught.value)
    assert "train0: image (20, 32) and label (24, 32) differ in size" in str(caught.value)
    assert "validation and report share 1 identical images: val0 = test0" in str(caught.value)
    assert (project / "configs/datasets/own.yaml").is_file()
    assert not list((project / ".state/new-dataset").glob("own*"))


def test_links_are_followed(described, tmp_path):
    write(tmp_path / "elsewhere", PAIRS)
    (tmp_path / "own").mkdir()
    for split in ("train", "val", "test"):
        (tmp_path / "own" / split).symlink_to(tmp_path / "elsewhere" / split)
    assert "doctor: no errors" in described()[1]


def test_somebody_at_the_terminal_names_the_classes(project, tmp_path, monkeypatch):
    answers = iter(["road", "road", "car", ""])
    monkeypatch.setattr("click.prompt", lambda *_, default, **__: next(answers) or default)
    new_dataset(project, write(tmp_path / "own", PAIRS), name=None, ask=True, force=False)
    classes = read_yaml(project / "configs/datasets/own.yaml")["data"]["folder"]["classes"]
    assert classes == {"road": 0, "car": 1, "class_2": 2}


def test_somebody_at_the_terminal_chooses_the_masks(project, tmp_path, monkeypatch):
    root = write(tmp_path / "own", in_folders("images/{n}.png", "masks/{n}.png", number=6))
    for path in (root / "masks").iterdir():
        save(root / "labels" / path.name, np.array(Image.open(path)))
    monkeypatch.setattr("click.prompt", lambda question, *, default, **_: 2 if default == 1 else default)
    new_dataset(project, root, name=None, ask=True, force=False)
    assert read_yaml(project / "configs/datasets/own.yaml")["data"]["folder"]["masks"] == "masks/{stem}"


@pytest.mark.parametrize("installed", [True, False])
def test_networks_are_those_whose_extras_are_installed(monkeypatch, installed):
    monkeypatch.setattr("icsd.commands.new_dataset.settings.find_spec", lambda name: installed or None)
    made = settings_for(Pictures({(64, 64): 9}, (), (), 0), num_train=9)
    networks = made.tree["networks"]
    assert networks["teacher"]["architecture"] == ("smp:unet/resnet34" if installed else None)
    assert networks["students"]["efficientnet_lite0"]["pretrained"] is installed
    reasons = [reason for reason in made.why.values() if "is not installed" in reason]
    assert len(reasons) == (0 if installed else 2)
