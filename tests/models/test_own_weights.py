"""Files of whole networks: loaded as they are, unwrapped, in part, or refused with what to set."""

from collections import OrderedDict
from dataclasses import replace
from functools import partial
from importlib import import_module

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.libraries import of_library, write_own, write_segformer

from icsd.errors import UserError
from icsd.models.class_map import class_map_of, map_classes
from icsd.models.deeplab import build_network
from icsd.models.networks import new_network
from icsd.models.own_weights import load_own, unwrapped
from icsd.models.weights import save_weights

NAMES = ("ground", "house", "tree")
BUILD = partial(build_network, "resnet18", width=0.125)


def build(num_classes):
    return BUILD(num_classes=num_classes)


def load(path, *, how="strict", classes=None, block="networks.teacher", make=build):
    torch.manual_seed(5)
    return load_own(make, path, num_classes=3, load=how, classes=classes, names=NAMES, block=block)


@pytest.fixture
def state():
    torch.manual_seed(1)
    return build(3).state_dict()


@pytest.fixture
def saved(tmp_path):
    def save(content, name="w.pth"):
        torch.save(content, tmp_path / name)
        return tmp_path / name

    return save


def same(network, state):
    own = network.state_dict()
    return all(torch.equal(own[name], value) for name, value in state.items())


def prefixed(state, prefix="module."):
    return OrderedDict((prefix + name, value) for name, value in state.items())


def test_a_plain_state_is_loaded_as_it_is(state, saved, tmp_path):
    network, left_out = load(saved(state))
    assert same(network, state)
    assert not left_out
    save_file(state, tmp_path / "w.safetensors")
    assert same(load(tmp_path / "w.safetensors")[0], state)
    old = {name: value for name, value in state.items() if "num_batches" not in name}
    assert same(load(saved(old))[0], old)


@pytest.mark.parametrize(
    "wrap",
    [
        prefixed,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"epoch": 3, "model": {"model_state_dict": prefixed(prefixed(state, "model."))}},
        lambda state: {"state_dict": prefixed(state, "_orig_mod."), "optimizer": {"lr": 0.1}},
    ],
)
def test_wrapping_is_undone_only_when_that_is_said(state, saved, wrap):
    path = saved(wrap(state))
    with pytest.raises(UserError, match=r"^networks\.teacher\.weights: .*`networks\.teacher\.load: unwrap`"):
        load(path)
    network, left_out = load(path, how="unwrap")
    assert same(network, state)
    assert not left_out


def test_names_are_left_alone_where_only_some_have_the_prefix():
    content = {"module.a": torch.zeros(1), "b": torch.zeros(1)}
    assert unwrapped(content) is content


def test_the_first_of_each_difference_is_named_with_the_setting_to_choose(state, saved):
    wider = torch.zeros(8, 3, 5, 5)
    broken = {name: value for name, value in state.items() if name != "backbone.bn1.weight"}
    broken |= {"head.weight": torch.zeros(1), "backbone.conv1.weight": wider}
    with pytest.raises(UserError) as caught:
        load(saved(broken))
    text = str(caught.value)
    assert "1 missing (backbone.bn1.weight); 1 unexpected (head.weight); 1 of another shape" in text
    assert "backbone.conv1.weight: [8, 3, 5, 5] in the file, [8, 3, 7, 7] in the network" in text
    assert "`networks.teacher.load: partial`" in text
    assert "`teacher.train: true`" in text


def test_another_network_is_not_to_be_loaded_in_part(saved):
    other = build_network("mobilenetv2", num_classes=3, width=0.25).state_dict()
    with pytest.raises(
        UserError, match=r"another network: compare the block networks\.students\.a"
    ) as caught:
        load(saved(other), block="networks.students.a")
    assert "partial" not in str(caught.value)
    with pytest.raises(UserError, match=r"nothing in .* fits"):
        load(saved({"a": torch.zeros(2)}), how="partial")


def test_what_fits_is_loaded_in_part_and_the_rest_stays_and_is_named(saved):
    torch.manual_seed(1)
    other = build(7).state_dict()
    network, left_out = load(saved(prefixed(other)), how="partial")
    torch.manual_seed(5)
    fresh = build(3)
    assert torch.equal(network.backbone.conv1.weight, other["backbone.conv1.weight"])
    assert torch.equal(network.classifier.weight, fresh.classifier.weight)
    assert [line.split(" ")[0] for line in left_out] == ["classifier.weight", "classifier.bias"]
    assert "[7, 32, 1, 1] in the file, [3, 32, 1, 1] in the network" in left_out[0]
    assert class_map_of(network) is None


def test_another_number_of_classes_needs_a_map(saved):
    torch.manual_seed(1)
    path = saved(build(5).state_dict())
    with pytest.raises(
        UserError, match=r"has 5 classes, and the dataset has 3: say in `networks\.teacher\.cl"
    ):
        load(path)
    with pytest.raises(
        UserError, match=r"has 5 classes, and the dataset has 3: `networks\.students\.a\.load: p"
    ):
        load(path, block="networks.students.a")
    network, _ = load(path, classes=[(4,), (0, 1), (2,)])
    assert class_map_of(network) == ((4,), (0, 1), (2,))
    assert network(torch.zeros(2, 3, 32, 32))["logits"].shape[1] == 3
    with pytest.raises(UserError, match=r"networks\.teacher\.classes\.house: is channel 5, but .* 0 to 4"):
        load(path, classes=[(4,), (0, 5), (2,)])


def test_a_file_of_this_project_says_what_it_holds(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(build_network("resnet18", num_classes=3, width=0.25, output_stride=8), path)
    words = r"set `networks\.teacher\.width: 0\.25` \(it is 0\.125\), `networks\.teacher\.output_stride: 8`"
    with pytest.raises(UserError, match=words):
        load(path)


def test_a_map_in_the_file_is_kept_and_can_be_mapped_again(tmp_path):
    network = build(5)
    map_classes(network, [(4,), (0, 1), (2,)])
    save_weights(network, tmp_path / "w.safetensors")
    assert class_map_of(load(tmp_path / "w.safetensors")[0]) == ((4,), (0, 1), (2,))
    swapped, _ = load(tmp_path / "w.safetensors", classes=[(1,), (0,), (2,)])
    assert class_map_of(swapped) == ((0, 1), (4,), (2,))


def test_nothing_is_drawn_that_the_network_itself_does_not_draw(state, saved):
    load(saved(state))
    after = torch.get_rng_state()
    torch.manual_seed(5)
    build(3)
    assert torch.equal(after, torch.get_rng_state())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1, 2], "does not hold a plain dictionary of tensors but a list"),
        (
            {"epoch": 3, "who": "x"},
            r"but the keys epoch \(int\), who \(str\)\. `networks\.teacher\.load: unwrap`",
        ),
    ],
)
def test_what_holds_no_tensors_is_refused(saved, content, words):
    with pytest.raises(UserError, match=words):
        load(saved(content))
    with pytest.raises(UserError, match="does not hold a plain dictionary"):
        load(saved(content), how="unwrap")


def test_weights_that_are_not_finite_are_refused(state, saved):
    state["classifier.bias"][0] = float("nan")
    with pytest.raises(UserError, match=r"holds NaN or infinity, in classifier\.bias"):
        load(saved(state))


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "w.pth").write_bytes(b"PK\x03\x04 no")
    for path, words in (
        (tmp_path, "is a folder"),
        (tmp_path / "gone.pth", "there is no file"),
        (tmp_path / "w.pth", "cannot be read"),
        (tmp_path / "w.txt", "is not a weights file"),
    ):
        with pytest.raises(UserError, match=rf"^networks\.teacher\.weights: .*{words}"):
            load(path)


def test_code_in_a_file_is_never_run(tmp_path):
    class Harm:
        def __reduce__(self):
            return (open, (str(tmp_path / "harm"), "w"))

    torch.save({"a": Harm()}, tmp_path / "w.pth")
    for how in ("strict", "unwrap", "partial"):
        with pytest.raises(UserError, match="cannot be read"):
            load(tmp_path / "w.pth", how=how)
    assert not (tmp_path / "harm").exists()


def test_on_the_meta_device_a_file_is_only_checked(state, saved):
    path = saved(state)
    with torch.device("meta"):
        network, _ = load(path)
    assert class_map_of(network) is None
    with torch.device("meta"), pytest.raises(UserError, match="1 missing"):
        load(saved({name: value for name, value in state.items() if name != "classifier.bias"}))


def of_libraries(kind, folder, patch):
    """An architecture, and a network of it as its library or its owner builds it, with other weights."""
    torch.manual_seed(7)
    if kind.startswith("smp "):
        encoder = kind.removeprefix("smp ")
        smp = import_module("segmentation_models_pytorch")
        theirs = smp.Unet(encoder, encoder_weights=None, classes=3)
        return of_library(f"smp:unet/{encoder}", num_classes=3), theirs
    if kind == "hf":
        architecture = of_library(write_segformer(folder), num_classes=3)
        import transformers

        return architecture, transformers.AutoModelForSemanticSegmentation.from_pretrained(folder)
    write_own(folder, patch)
    architecture = of_library("python:own_networks:Mine", num_classes=3)
    return architecture, import_module("own_networks").Mine(3)


@pytest.mark.parametrize("kind", ["smp resnet18", "smp mit_b0", "hf", "python"])
def test_a_library_s_own_file_is_loaded_under_the_library_s_names(kind, saved, tmp_path, monkeypatch):
    architecture, theirs = of_libraries(kind, tmp_path, monkeypatch)

    def make(num_classes):
        return new_network(replace(architecture, num_classes=num_classes))

    file = saved(theirs.state_dict(), "theirs.pth")
    network, _ = load(file, make=make)
    assert same(network.network, theirs.state_dict())
    with torch.device("meta"):
        load(file, make=make)
    with pytest.raises(UserError, match=r"Without the prefix of its names it does: set `.*load: unwrap`"):
        load(saved(prefixed(theirs.state_dict())), make=make)
    assert same(load(saved(prefixed(theirs.state_dict())), how="unwrap", make=make)[0], network.state_dict())
    save_weights(network, tmp_path / "ours.safetensors")
    assert same(load(tmp_path / "ours.safetensors", make=make)[0], network.state_dict())
    map_classes(network, [(2,), (0,), (1,)])
    mapped = load(file, make=make, classes=[(2,), (0,), (1,)])[0]
    image = torch.randn(1, 3, 64, 64)
    assert torch.equal(mapped.eval()(image)["logits"], network.eval()(image)["logits"])


def test_a_file_under_names_of_transformers_itself_is_left_to_transformers(tmp_path):
    architecture = of_library(write_segformer(tmp_path), num_classes=3)
    state = load_file(tmp_path / "model.safetensors")
    save_file({f"old.{name}": value for name, value in state.items()}, tmp_path / "old.safetensors")
    with pytest.raises(
        UserError, match=r"loaded by its own library: name it in `networks\.teacher\.architecture`"
    ):
        load(
            tmp_path / "old.safetensors",
            make=lambda classes: new_network(replace(architecture, num_classes=classes)),
        )
