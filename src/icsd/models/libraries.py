"""Builders of networks of smp, torchvision and transformers, and of a user's own networks."""

import importlib
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from torch import Tensor, nn

from icsd.errors import UserError, did_you_mean, first_line, some
from icsd.models.contract import MissingCode, library
from icsd.models.library_network import Inner, as_map
from icsd.models.names import TAPS

OF_THE_FILE = {"_name_or_path", "architectures", "dtype", "transformers_version"}
"""Keys of a transformers configuration that do not describe the network."""
CONTEXT = ("aspp", "psp", "fpa")
"""Names of the context module in decoders of segmentation-models-pytorch."""


def from_smp(
    name: str, *, num_classes: int, output_stride: int | None = None, pretrained: bool = False
) -> Inner:
    """Build ``<architecture>/<encoder>`` of segmentation-models-pytorch.

    ``stage1`` to ``stage4`` are the encoder's maps from stride 4 on, ``decoder`` is the decoder's output, and
    ``aspp`` its context module, if it has one. The logits are taken before the library upsamples them.

    Raises:
        UserError: It is not installed, or has no such network or weights.
    """
    smp = library("segmentation_models_pytorch", wanted_by=f"smp:{name}")
    architecture, _, encoder = name.partition("/")
    known = sorted(smp.MODEL_ARCHITECTURES_MAPPING)
    if architecture not in known:
        raise UserError(
            f"smp:{name}: there is no architecture {architecture!r}{did_you_mean(architecture, known)}"
        )
    encoders = smp.encoders.get_encoder_names()
    if not encoder.startswith("tu-") and encoder not in encoders:
        close = get_close_matches(encoder, encoders, n=5, cutoff=0.5) or [
            "resnet34",
            "mobilenet_v2",
            "mit_b0",
        ]
        raise UserError(
            f"smp:{name}: there is no encoder {encoder!r}; it has {', '.join(close)} and "
            f"{len(encoders) - len(close)} others, and tu-<name> of timm"
        )
    options: dict[str, Any] = {"dynamic_img_size": True} if architecture == "dpt" else {}
    if output_stride is not None and architecture.startswith("deeplabv3"):
        options["encoder_output_stride"] = output_stride
    weights = "imagenet" if pretrained else None
    try:
        model = smp.create_model(
            architecture, encoder, encoder_weights=weights, classes=num_classes, **options
        )
    except Exception as error:  # the library raises what its encoders and their hub do
        what = "its encoder's weights cannot be had" if pretrained else "cannot be built"
        raise UserError(f"smp:{name}: {what} ({_reason(error)})") from error
    context = [part for part in CONTEXT if hasattr(model.decoder, part)]
    return Inner(
        module=model,
        run=_run_smp,
        multiple=32 if architecture == "dpt" else model.encoder.output_stride,
        taps={"aspp": f"decoder.{context[0]}"} if context else {},
        backbone=("encoder",),
    )


def _run_smp(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    encoder, decoder, head = (
        model.get_submodule(part) for part in ("encoder", "decoder", "segmentation_head")
    )
    features = encoder(images)
    if isinstance(features, tuple):  # of a DPT: maps of one stride, and tokens without a position
        features, tokens = features
        stages, decoded = list(features), decoder(features, tokens)
    else:
        # The image itself, half of it, and then the stages; some transformers leave the second one empty.
        stages, decoded = [value for value in features[2:] if value.shape[1]], decoder(features)
    taps = {f"stage{index}": value for index, value in enumerate(stages[:4], 1)}
    first = getattr(head, "0", None)  # a convolution, before the upsampling
    logits = first(decoded) if isinstance(first, nn.Conv2d) else head(decoded)
    return {**taps, "decoder": decoded, "logits": logits}


_RESNET = {f"stage{index}": f"backbone.layer{index}" for index in range(1, 5)}
_MOBILENET = {f"stage{i}": f"backbone.{block}" for i, block in enumerate((3, 6, 12, 15), 1)}
_TORCHVISION_TAPS = {
    **{
        f"deeplabv3_resnet{n}": {**_RESNET, "aspp": "classifier.0", "decoder": "classifier.2"}
        for n in (50, 101)
    },
    **{f"fcn_resnet{n}": {**_RESNET, "decoder": "classifier.1"} for n in (50, 101)},
    "deeplabv3_mobilenet_v3_large": {**_MOBILENET, "aspp": "classifier.0", "decoder": "classifier.2"},
    "lraspp_mobilenet_v3_large": _MOBILENET,
}


def from_torchvision(name: str, *, num_classes: int, pretrained: bool = False) -> Inner:
    """Build a segmentation model of torchvision, optionally with ImageNet weights in its backbone.

    Raises:
        UserError: There is no such model, or its weights are unavailable.
    """
    from torchvision.models import segmentation

    if name not in _TORCHVISION_TAPS:
        hint = did_you_mean(name, sorted(_TORCHVISION_TAPS))
        raise UserError(f"torchvision:{name}: there is no such segmentation model{hint}")
    weights = "IMAGENET1K_V1" if pretrained else None
    try:
        model = getattr(segmentation, name)(weights=None, weights_backbone=weights, num_classes=num_classes)
    except Exception as error:  # a download can fail in many ways
        raise UserError(f"torchvision:{name}: its weights cannot be had ({_reason(error)})") from error
    return Inner(module=model, run=_run_torchvision, taps=_TORCHVISION_TAPS[name], backbone=("backbone",))


def _run_torchvision(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    features = model.get_submodule("backbone")(images)
    head = model.get_submodule("classifier")
    return {"logits": head(features if "low" in features else features["out"])}


def from_huggingface(
    name: str, *, num_classes: int, pretrained: bool = False, config: Mapping[str, Any] | None = None
) -> tuple[Inner, dict[str, Any]]:
    """Build a semantic segmentation model of transformers, and return it with its configuration.

    Hidden states that are maps become ``stage1`` (stride 4) to ``stage4`` (stride 32), the last one of each
    stride.

    Args:
        name: A folder with config.json, or a model's id.
        num_classes: Channels of the logits; a classifier with another number is not loaded.
        pretrained: Whether to load the weights, or only the configuration.
        config: A configuration that replaces that of ``name``.

    Raises:
        UserError: transformers is not installed, there is no such model, or its weights do not belong to it.
    """
    transformers = library("transformers", wanted_by=f"hf:{name}")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    auto = transformers.AutoModelForSemanticSegmentation
    try:
        if config is not None:
            settings = transformers.AutoConfig.for_model(**config)
        else:
            settings = transformers.AutoConfig.from_pretrained(name, num_labels=num_classes)
        if pretrained:
            model, loading = auto.from_pretrained(
                name, config=settings, ignore_mismatched_sizes=True, output_loading_info=True
            )
        else:
            model, loading = auto.from_config(settings), {"missing_keys": []}
    except Exception as error:  # of its files, its hub and its classes
        raise UserError(
            f"hf:{name}: is no semantic segmentation model that transformers can build ({_reason(error)}). "
            "Offline, give a folder with its config.json"
        ) from error
    missing = set(loading["missing_keys"])
    if pretrained and len(missing) >= len(model.state_dict()) // 2:
        raise UserError(
            f"hf:{name}: its weights do not belong to its config.json: {len(missing)} of "
            f"{len(model.state_dict())} tensors are missing (e.g. {some(sorted(missing), 2)})"
        )
    described = {key: value for key, value in settings.to_diff_dict().items() if key not in OF_THE_FILE}
    prefix = model.base_model_prefix
    inner = Inner(module=model, run=_run_huggingface, backbone=(prefix,) if hasattr(model, prefix) else ())
    return inner, {"model_type": settings.model_type, **described}


def _run_huggingface(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    outputs = model(pixel_values=images, output_hidden_states=True)
    taps = {}
    for value in outputs.hidden_states or ():
        if value.ndim == 4 and (stage := _stage_of(images.shape[-1] / value.shape[-1])):
            taps[stage] = value
    return {**taps, "logits": as_map(outputs.logits, "logits")}


def _stage_of(stride: float) -> str | None:
    """The stage of a map with this stride, which can be slightly smaller for odd image sizes."""
    close = [index for index in range(1, 5) if 0.75 * 2 ** (index + 1) <= stride <= 1.25 * 2 ** (index + 1)]
    return f"stage{close[0]}" if close else None


def from_python(name: str, *, num_classes: int) -> Inner:
    """Build the network that ``<module>:<builder>`` returns when called with the number of classes.

    The network's forward returns logits, or a dictionary of taps by name.

    Raises:
        UserError: There is no such module or builder, or it builds no network.
    """
    place, _, builder = name.partition(":")
    where = f"python:{name}"
    try:
        module = importlib.import_module(place)
    except Exception as error:  # a user's module can raise anything
        raise MissingCode(
            f"{where}: cannot import {place} ({type(error).__name__}: {_reason(error)})"
        ) from error
    build = getattr(module, builder, None)
    if not callable(build):
        there = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise UserError(f"{where}: {place} has no {builder}{did_you_mean(builder, there)}")
    try:
        network = build(num_classes)
    except Exception as error:
        raise UserError(
            f"{where}: {builder}({num_classes}) failed ({type(error).__name__}: {_reason(error)})"
        ) from error
    if not isinstance(network, nn.Module) or not list(network.parameters()):
        raise UserError(f"{where}: {builder}({num_classes}) returned no torch.nn.Module with parameters")
    parts = [part for part, _ in network.named_children() if part in ("backbone", "encoder")]
    return Inner(module=network, run=_run_python, backbone=tuple(parts))


def _run_python(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    outputs = model(images)
    if not isinstance(outputs, Mapping):
        return {"logits": as_map(outputs, "its forward")}
    if unknown := [str(key) for key in outputs if key not in TAPS]:
        raise UserError(f"its forward returns {some(unknown, len(unknown))}; taps are {', '.join(TAPS)}")
    return {tap: as_map(value, f"its forward, at {tap},") for tap, value in outputs.items()}


def _reason(error: Exception) -> str:
    return first_line(error)[:300]
