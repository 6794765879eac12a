import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from pipeline.cli import cli
from tests.deployed import CLASSES, picture, write_pictures, write_run
from tests.imports import ROOT

from icsd.core.predictions import predicted_classes
from icsd.data.transforms import prepare
from icsd.datasets import DATASETS
from icsd.datasets.reading.images import read_image
from icsd.datasets.reading.masks import read_ids
from icsd.errors import UserError
from icsd.models.weights import load_network
from icsd.tracking.store import open_client, store_lock

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def images(tmp_path):
    return write_pictures(tmp_path / "images", (48, 64), (48, 64), (40, 70), (48, 64))


def typed(*words, code=0):
    """Run the command in this process; return its output, or an error's message."""
    done = CliRunner().invoke(cli, ["predict", *map(str, words)])
    if isinstance(done.exception, UserError):
        assert code == 2, done.exception
        return str(done.exception)
    assert done.exit_code == code, done.output + repr(done.exception)
    return done.output


def expected(run, image, *, input_scale=1.0):
    """The classes that the evaluation predicts, [H, W]."""
    network = load_network(run / "student.safetensors").eval()
    with torch.no_grad():
        logits = network(prepare(np.array(image), input_scale=input_scale)[None])["logits"]
    return predicted_classes(logits, image.shape[:2])[0].numpy()


def same(one, other):
    return (one == other).mean()


@pytest.mark.parametrize("input_scale", [1.0, 0.5])
def test_masks_are_the_predictions_of_the_evaluation(tmp_path, images, input_scale):
    run = write_run(tmp_path, input_scale=input_scale)
    assert "4 masks written" in typed(run, images, "--out", tmp_path / "out", "--batch", 2)
    found = []
    for file in sorted(images.iterdir()):
        mask = read_ids(tmp_path / "out/masks" / file.name, colours=DATASETS["camvid"].palette)
        found += np.unique(mask).tolist()
        assert same(mask, expected(run, read_image(file), input_scale=input_scale)) > 0.999
    assert len(set(found)) > 3, "the network tells classes apart"


def test_a_viewer_shows_the_classes_colours(tmp_path, run_folder, images):
    typed(run_folder, images / "0.png", "--out", tmp_path / "out", "--overlay")
    mask = Image.open(tmp_path / "out/masks/0.png")
    assert mask.mode == "P"
    colours = np.array(DATASETS["camvid"].palette)[np.asarray(mask)]
    assert (np.asarray(mask.convert("RGB")) == colours).all()
    overlay = np.asarray(Image.open(tmp_path / "out/overlays/0.jpg")).astype(float)
    middle = (read_image(images / "0.png").astype(float) + colours) / 2
    assert abs(overlay - middle).mean() < 6


def test_probabilities_are_in_255ths_and_belong_to_the_mask(tmp_path, run_folder, images):
    for tile in ((), ("--tile", 32)):
        out = tmp_path / f"out{len(tile)}"
        typed(run_folder, images / "0.png", "--out", out, "--probabilities", *tile)
        with np.load(out / "probabilities/0.npz", allow_pickle=False) as file:
            values, classes = file["probabilities"], file["classes"]
        assert values.shape == (CLASSES, 48, 64)
        assert values.dtype == np.uint8
        assert tuple(classes) == DATASETS["camvid"].classes
        assert abs(values.sum(0, dtype=int) - 255).max() <= CLASSES / 2
        likeliest = np.take_along_axis(values, read_ids(out / "masks/0.png")[None].astype(int), 0)[0]
        assert (likeliest == values.max(0)).all()


def test_a_tile_that_holds_the_image_changes_nothing(tmp_path, run_folder):
    images = write_pictures(tmp_path / "images", (96, 128))
    for tile in (0, 128, 64):
        typed(run_folder, images, "--out", tmp_path / str(tile), *(("--tile", tile) if tile else ()))
    whole, one, several = (read_ids(tmp_path / str(tile) / "masks/0.png") for tile in (0, 128, 64))
    assert (one == whole).all()
    assert several.shape == whole.shape
    assert not (several == whole).all(), "it was divided"


def test_what_is_finished_is_skipped_until_it_is_forced(tmp_path, run_folder, images):
    out = tmp_path / "out"
    typed(run_folder, images, "--out", out)
    before = (out / "masks/1.png").stat().st_mtime_ns
    (out / "masks/2.png").unlink()
    assert "1 mask written" in typed(run_folder, images, "--out", out)
    assert (out / "masks/2.png").is_file()
    assert (out / "masks/1.png").stat().st_mtime_ns == before
    assert "0 masks written" in typed(run_folder, images, "--out", out)
    assert "4 masks written" in typed(run_folder, images, "--out", out, "--overlay")
    assert "4 masks written" in typed(run_folder, images, "--out", out, "--force")


def test_a_killed_process_leaves_whole_files_only(tmp_path, run_folder, images, monkeypatch):
    out = tmp_path / "out"
    written = []
    replace = os.fsync

    def dies(descriptor):
        written.append(descriptor)
        if len(written) > 3:  # the note and two masks
            raise KeyboardInterrupt
        replace(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", dies)
        typed(run_folder, images, "--out", out, "--batch", 1, code=1)
    assert sorted(file.name for file in (out / "masks").iterdir()) == ["0.png", "1.png"]
    assert "2 masks written" in typed(run_folder, images, "--out", out)


def test_predictions_of_two_models_do_not_mix(tmp_path, run_folder, images):
    out, other = tmp_path / "out", write_run(tmp_path, seed=1)
    typed(run_folder, images, "--out", out)
    assert "another model" in typed(other, images / "0.png", "--out", out, code=2)
    assert "another model" in typed(run_folder, images, "--out", out, "--tile", 32, code=2)
    typed(other, images / "0.png", "--out", out, "--force")
    assert [file.name for file in (out / "masks").iterdir()] == ["0.png"]


def test_somebody_elses_masks_are_never_taken_for_predictions(tmp_path, run_folder, images):
    (tmp_path / "data/masks").mkdir(parents=True)
    (tmp_path / "data/masks/0.png").write_bytes(b"a label")
    message = typed(run_folder, images, "--out", tmp_path / "data", "--force", code=2)
    assert "not predictions" in message
    assert (tmp_path / "data/masks/0.png").read_bytes() == b"a label"


def test_the_mask_of_another_image_of_the_same_name_is_replaced_with_all_that_belongs_to_it(
    tmp_path, run_folder, images
):
    out = tmp_path / "out"
    typed(run_folder, images, "--out", out, "--overlay", "--probabilities")
    untouched = (out / "masks/0.png").stat().st_mtime_ns
    Image.fromarray(picture(30, 50, seed=9)).save(images / "1.png")
    output = typed(run_folder, images, "--out", out)
    assert "1 mask written" in output
    assert "1 in place of another image's, 3 already there" in output
    assert same(read_ids(out / "masks/1.png"), expected(run_folder, picture(30, 50, seed=9))) > 0.999
    assert not (out / "overlays/1.jpg").exists()
    assert not (out / "probabilities/1.npz").exists()
    assert (out / "overlays/0.jpg").is_file()
    assert (out / "masks/0.png").stat().st_mtime_ns == untouched
    other = write_pictures(tmp_path / "other", (20, 20))
    assert "1 in place of" in typed(run_folder, other, "--out", out)
    assert read_ids(out / "masks/0.png").shape == (20, 20)


def test_a_mask_that_does_not_say_of_which_image_it_is_stays(tmp_path, run_folder, images):
    out = tmp_path / "out"
    typed(run_folder, images, "--out", out)
    drawn = Image.fromarray(np.full((48, 64), 3, np.uint8))
    drawn.save(out / "masks/0.png")  # by hand, in an editor
    assert "0 masks written" in typed(run_folder, images, "--out", out)
    assert (read_ids(out / "masks/0.png") == 3).all()


def test_a_file_of_the_notes_name_that_is_none_is_never_replaced(tmp_path, run_folder, images):
    (tmp_path / "out").mkdir()
    note = tmp_path / "out/predictions.json"
    note.write_text('{"mine": 1}')
    for force in ((), ("--force",)):
        message = typed(run_folder, images, "--out", tmp_path / "out", *force, code=2)
        assert f"{note}: " in message
        assert note.read_text() == '{"mine": 1}'
        assert not (tmp_path / "out/masks").exists()


def test_masks_may_lie_beside_their_images(tmp_path, run_folder, images, monkeypatch):
    before = {file: file.read_bytes() for file in images.iterdir()}
    assert "4 masks written" in typed(run_folder, images, "--out", images, "--overlay")
    assert "0 masks written" in typed(run_folder, images, "--out", images, "--overlay")
    assert all(file.read_bytes() == content for file, content in before.items())
    assert len(masks_in(images)) == 4
    monkeypatch.chdir(images)
    assert "4 masks written" in typed(run_folder, tmp_path / "images", "--out", tmp_path)
    message = typed(run_folder, images / "masks", "--out", images, code=2)
    assert "lies where predictions are written" in message


def test_an_output_that_is_no_folder_is_named(tmp_path, run_folder, images):
    (tmp_path / "file").write_text("mine")
    assert "is no folder" in typed(run_folder, images, "--out", tmp_path / "file", code=2)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/masks").write_text("mine")
    message = typed(run_folder, images, "--out", tmp_path / "out", "--force", code=2)
    assert f"{tmp_path / 'out/masks'}: is no folder" in message


def test_masks_go_where_a_link_leads_and_are_forced_there(tmp_path, run_folder, images):
    room = tmp_path / "room"
    room.mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/masks").symlink_to(room)
    typed(run_folder, images, "--out", tmp_path / "out")
    other = write_run(tmp_path, seed=1)
    typed(other, images / "0.png", "--out", tmp_path / "out", "--force")
    assert [file.name for file in room.iterdir()] == ["0.png"]


def test_links_to_folders_are_followed_but_not_in_circles(tmp_path, run_folder):
    images = write_pictures(tmp_path / "images", (40, 40))
    (images / "more").symlink_to(write_pictures(tmp_path / "elsewhere", (40, 40)))
    (images / "more/back").symlink_to(images)
    (images / "gone.png").symlink_to(tmp_path / "nowhere.png")
    assert "2 masks written" in typed(run_folder, images, "--out", tmp_path / "out")
    assert (tmp_path / "out/masks/more/0.png").is_file()


def test_empty_names_are_no_names(tmp_path, run_folder, images, monkeypatch):
    monkeypatch.chdir(images)
    assert "an empty name" in typed(run_folder, "", "--out", tmp_path / "out", code=2)
    assert "MODEL: is empty" in typed("", images, "--out", tmp_path / "out", code=2)


def test_broken_images_are_named_and_the_rest_goes_on(tmp_path, run_folder, images):
    (images / "1.png").write_bytes((images / "1.png").read_bytes()[:200])
    (images / "5.jpg").write_text("no image")
    clear = np.zeros((20, 20, 4), np.uint8)
    Image.fromarray(clear).save(images / "6.png")
    output = typed(run_folder, images, "--out", tmp_path / "out", code=1)
    assert "3 masks written" in output
    assert "3 of the images could not be predicted" in output
    assert all(f"{images / name}: cannot read image {name}" in output for name in ("1.png", "5.jpg", "6.png"))
    assert len(list((tmp_path / "out/masks").iterdir())) == 3
    assert "0 masks written" in typed(run_folder, images, "--out", tmp_path / "out", code=1)


def test_images_are_read_as_in_training(tmp_path, run_folder):
    folder = tmp_path / "images"
    folder.mkdir()
    pixels = picture(40, 56)
    grey = pixels[..., 0]
    exif = Image.Exif()
    exif[0x0112] = 6  # held upright: turned by a viewer
    Image.fromarray(pixels).save(folder / "exif.png", exif=exif)
    Image.fromarray(grey).save(folder / "grey.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(folder / "deep.png")
    opaque = np.dstack([pixels, np.full(grey.shape, 255, np.uint8)])
    Image.fromarray(opaque).save(folder / "alpha.png")
    Image.fromarray(pixels).save(folder / "plain.png")
    typed(run_folder, folder, "--out", tmp_path / "out")
    masks = {file.stem: read_ids(file) for file in (tmp_path / "out/masks").iterdir()}
    assert masks["exif"].shape == (56, 40)
    assert (masks["grey"] == masks["deep"]).all()
    assert (masks["alpha"] == masks["plain"]).all()
    turned = expected(run_folder, np.rot90(pixels, -1).copy())
    assert same(masks["exif"], turned) > 0.999


def test_folders_patterns_and_names(tmp_path, run_folder, images, monkeypatch):
    monkeypatch.chdir(tmp_path)
    deep = write_pictures(tmp_path / "images/a/b", (40, 40))
    shutil.copy(deep / "0.png", images / "a/0.png")
    Image.fromarray(picture(40, 40)).save(images / "a/0.bmp")
    (images / ".hidden.png").write_bytes(b"")
    (images / "notes.txt").write_text("no image")
    typed(run_folder, "images", "--out", "images/out")
    masks = {file.relative_to("images/out/masks").as_posix() for file in masks_in("images/out")}
    assert masks == {*(f"{n}.png" for n in range(4)), "a/b/0.png", "a/0.png.png", "a/0.bmp.png"}
    assert "0 masks written" in typed(run_folder, "images", "--out", "images/out")
    typed(run_folder, "images/[01].png", "--out", "few")
    assert {file.name for file in masks_in("few")} == {"0.png", "1.png"}
    typed(run_folder, "images/**/0.png", "--out", "all")
    assert len(masks_in("all")) == 3
    assert "no file like it" in typed(run_folder, "nowhere/*.png", "--out", "none", code=2)
    (tmp_path / "empty").mkdir()
    assert "no images there" in typed(run_folder, "empty", "--out", "none", code=2)
    assert "same output" in typed(run_folder, "images/0.png", "images/a/b/0.png", "--out", "none", code=2)


def test_images_that_differ_in_their_suffix_alone_have_outputs_of_their_own(tmp_path, run_folder):
    images = tmp_path / "images"
    images.mkdir()
    for number, name in enumerate(("a.bmp", "a.png", "a.bmp.png")):
        Image.fromarray(picture(20 + number, 30)).save(images / name)
    typed(run_folder, images, "--out", tmp_path / "out")
    heights = {file.name: len(read_ids(file)) for file in masks_in(tmp_path / "out")}
    assert heights == {"a.bmp.png": 20, "a.png.png": 21, "a.bmp.png.png": 22}


def test_a_name_that_is_too_long_for_an_output_is_said_and_the_rest_goes_on(tmp_path, run_folder, images):
    (images / "1.png").rename(images / f"{250 * '1'}.png")
    output = typed(run_folder, images, "--out", tmp_path / "out", code=1)
    assert "3 masks written" in output
    assert "its name is too long for the files" in output


def masks_in(folder):
    return [file for file in (Path(folder) / "masks").rglob("*") if file.is_file()]


def test_weights_alone_need_the_preset_that_they_were_trained_with(tmp_path, run_folder, images, monkeypatch):
    monkeypatch.chdir(ROOT)
    alone = shutil.copy(run_folder / "student.safetensors", tmp_path / "mine.safetensors")
    assert "give --dataset" in typed(alone, images, "--out", tmp_path / "out", code=2)
    assert "did you mean 'camvid'" in typed(
        alone, images, "--out", tmp_path / "out", "--dataset", "camvit", code=2
    )
    assert "has 11 classes, and voc2012 has 21" in typed(
        alone, images, "--out", tmp_path / "out", "--dataset", "voc2012", code=2
    )
    typed(alone, images, "--out", tmp_path / "out", "--dataset", "camvid")
    assert json.loads((tmp_path / "out/predictions.json").read_text())["classes"][0] == "sky"
    assert "trained on camvid" in typed(
        run_folder, images, "--out", tmp_path / "out2", "--dataset", "voc2012", code=2
    )


def test_a_preset_that_does_not_say_how_images_are_scaled_is_named(tmp_path, run_folder, images, monkeypatch):
    preset = tmp_path / "configs/datasets/camvid.yaml"
    preset.parent.mkdir(parents=True)
    text = (ROOT / "configs/datasets/camvid.yaml").read_text()
    assert "  input_scale:" in text
    preset.write_text(text.replace("  input_scale:", "  size:"))
    monkeypatch.chdir(tmp_path)
    alone = shutil.copy(run_folder / "student.safetensors", tmp_path / "mine.safetensors")
    message = typed(alone, images, "--out", tmp_path / "out", "--dataset", "camvid", code=2)
    assert "camvid.yaml: images.input_scale: is not there" in message


def test_a_folder_with_exported_files_is_answered_with_one_of_them(tmp_path, images):
    (tmp_path / "deployed").mkdir()
    (tmp_path / "deployed/int8.onnx").write_bytes(b"")
    message = typed(tmp_path / "deployed", images, "--out", tmp_path / "out", code=2)
    assert f"did you mean {tmp_path / 'deployed/int8.onnx'}?" in message


def test_a_model_that_is_none_is_refused_in_words(tmp_path, run_folder, images):
    out = ("--out", tmp_path / "out")
    assert "there is no such model" in typed(tmp_path / "nothing", images, *out, code=2)
    assert "did you mean" in typed(run_folder.parents[1], images, *out, code=2)
    assert "is none of" in typed(images / "0.png", images, *out, code=2)
    assert "there is no file" in typed(tmp_path / "no.onnx", images, *out, code=2)
    assert "no address of a registered model" in typed("models:/a/b/c", images, *out, code=2)
    damaged = write_run(tmp_path / "damaged")
    shutil.copy(write_run(tmp_path, seed=1) / "student.safetensors", damaged)
    assert "another digest" in typed(damaged, images, *out, code=2)
    diverged = write_run(tmp_path / "diverged", diverged=True)
    assert "diverged" in typed(diverged, images, *out, code=2)
    assert not (tmp_path / "out").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_registered_model_is_found_by_its_address(tmp_path, run_folder, images, empty_store, monkeypatch):
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with store_lock(tmp_path):
        client = open_client(tmp_path)
    experiment = client.create_experiment("icsd", artifact_location=(tmp_path / "artifacts").as_uri())
    run = client.create_run(experiment)
    for name in ("student.safetensors", "train.json"):
        client.log_artifact(run.info.run_id, run_folder / name)
    client.create_registered_model("own")
    version = client.create_model_version("own", run.info.artifact_uri, run.info.run_id)
    client.set_registered_model_alias("own", "champion", version.version)
    typed("models:/own@champion", images, "--out", tmp_path / "out")
    typed(run_folder, images, "--out", tmp_path / "out2")
    for name in ("0.png", "2.png"):
        assert (tmp_path / "out/masks" / name).read_bytes() == (tmp_path / "out2/masks" / name).read_bytes()
