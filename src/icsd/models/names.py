"""Names of networks in params.yaml: ``deeplabv3plus`` or ``<library>:<network>``. Does not need torch."""

import re
from pathlib import Path

from icsd.errors import did_you_mean
from icsd.models.catalogue import BACKBONES

TAPS = ("stage1", "stage2", "stage3", "stage4", "aspp", "decoder", "logits")
"""All names of feature maps, in the order of the network."""
DEEPLAB = "deeplabv3plus"
TIMM = "timm"
FORMS = {
    "smp": (r"[a-z0-9]+/[\w.:/-]+", "smp:<architecture>/<encoder>"),
    "hf": (r"\S.*", "hf:<folder or model id>"),
    "torchvision": (r"\w+", "torchvision:<segmentation model>"),
    "python": (r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", "python:<module>:<builder>"),
}
"""Maps a library to the pattern of the rest of the name, and the form shown in messages."""
_SMP_LABELS = {
    **{"unet": "U-Net", "unetplusplus": "U-Net++", "manet": "MA-Net", "linknet": "LinkNet", "fpn": "FPN"},
    **{"pspnet": "PSPNet", "deeplabv3": "DeepLabV3", "deeplabv3plus": "DeepLabV3+", "pan": "PAN"},
    **{"upernet": "UPerNet", "segformer": "SegFormer", "dpt": "DPT"},
}


def split(name: str) -> tuple[str, str]:
    """Split a name such as ``smp:unet/resnet18`` into library ("" if there is none) and the rest."""
    library, colon, rest = name.partition(":")
    return (library, rest) if colon else ("", name)


def checked_architecture(name: str) -> str:
    """Check the name of an architecture, and return it unchanged.

    Raises:
        ValueError: It is not the name of an architecture.
    """
    library, rest = split(name)
    shown = [DEEPLAB, *(form for _, form in FORMS.values())]
    if library in FORMS:
        pattern, form = FORMS[library]
        if not re.fullmatch(pattern, rest):
            raise ValueError(f"is not of the form {form}")
    elif name != DEEPLAB:
        raise ValueError(f"is not an architecture{did_you_mean(name, shown)}")
    return name


def checked_backbone(name: str) -> str:
    """Check the name of a backbone (from the catalogue, or ``timm:<name>``), and return it unchanged.

    Raises:
        ValueError: There is no such backbone.
    """
    library, rest = split(name)
    if library == TIMM and re.fullmatch(r"[\w.-]+", rest):
        return name
    if name not in BACKBONES:
        raise ValueError(f"is not a backbone{did_you_mean(name, [*BACKBONES, 'timm:<name>'])}")
    return name


def portable(name: str) -> str:
    """The name that results record: a model's folder without its path, which differs between machines."""
    library, rest = split(name)
    return f"hf:{Path(rest).name}" if library == "hf" and Path(rest).name else name


def module_of(architecture: str) -> str | None:
    """The module of ``python:<module>:<builder>``; None for any other architecture."""
    library, rest = split(architecture)
    return rest.partition(":")[0] if library == "python" else None


def label_of(name: str) -> str | None:
    """The label of an architecture or a backbone in tables; None for a name that is neither.

    For example, ``smp:unet/resnet18`` is labelled "U-Net (resnet18)".
    """
    library, rest = split(name)
    if name in BACKBONES:
        return BACKBONES[name].label
    if name == DEEPLAB:
        return "DeepLabV3+"
    if library == "smp":
        architecture, _, encoder = rest.partition("/")
        return f"{_SMP_LABELS.get(architecture, architecture)} ({encoder})"
    if library == "python":
        return rest.partition(":")[2]
    return rest if library in (*FORMS, TIMM) else None
