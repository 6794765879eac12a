"""Names, order and looks of methods and networks, the same in every table and figure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from zlib import crc32

from icsd.models.catalogue import BACKBONES
from icsd.models.names import label_of

Line = Literal["-", "--", "-.", ":"]

DIVERGING, LESS, MORE = "PuOr", "orange", "purple"
"""Colour map of differences, and the names of its colours below and above zero; not red and green."""

MANY = 8
"""More methods than this cannot be told apart by their looks in one panel."""

PALE = "#c4c4c4"
"""Colour of the methods that a figure of many methods does not tell apart."""

REFERENCES = ("none", "kd", "icsd")
"""Methods that are shown beside the focus in a figure of many methods."""


@dataclass(frozen=True)
class Look:
    """How a method is written and plotted."""

    label: str
    colour: str
    marker: str
    line: Line


# A family of methods has a hue of Okabe and Ito's palette (without its yellow, which is unreadable on white),
# its members have tones of that hue; markers and lines differ too, so no figure depends on colour alone.
LOOKS = {
    "teacher": Look("Teacher", "#000000", "*", "-"),
    "ce": Look("CE", "#333333", "o", "-"),
    "dice": Look("Dice", "#666666", "s", "-"),
    "lovasz": Look("Lovász", "#666666", "^", "-"),
    "none": Look("Student alone", "#707070", "o", "--"),
    # KD: blue
    "kd": Look("KD", "#0072B2", "s", "-"),
    "kd_alw": Look("KD (ALW)", "#4A90E2", "s", ":"),
    "kd_decay": Look("KD (decay)", "#00507D", "s", "-."),
    # ICSD: wine
    "icsd": Look("ICSD", "#882255", "d", "--"),
    "icsd_rows": Look("ICSD (rows)", "#B5568A", "d", ":"),
    "icsd_released": Look("ICSD (released)", "#5C1039", "d", "-."),
    "icsd_kd": Look("ICSD + KD", "#AA4499", "d", "-"),
    # AICSD: vermilion
    "aicsd": Look("AICSD", "#D55E00", "D", "-"),
    "aicsd_teacher": Look("AICSD (teacher)", "#F08A4B", "D", "--"),
    "aicsd_decay": Look("AICSD (decay)", "#C2410C", "d", "-."),
    "aicsd_cosine": Look("AICSD (cosine)", "#A34700", "D", "-."),
    "aicsd_released": Look("AICSD (released)", "#7A3300", "D", ":"),
    # similarities of pixels, images or classes: green
    "sp": Look("SP", "#56B4A0", "^", ":"),
    "ickd": Look("ICKD", "#009E73", "P", "-."),
    "skd": Look("SKD", "#117733", "^", "-"),
    "ifvd": Look("IFVD", "#6BAF3D", "v", "--"),
    "cirkd": Look("CIRKD", "#00664B", "p", "-"),
    # distributions over positions or classes: amber
    "cwd": Look("CWD", "#E69F00", "X", ":"),
    "cwd_features": Look("CWD (features)", "#B37700", "X", "-"),
    "csd": Look("CSD", "#8A6D00", "H", "-."),
    "dist": Look("DIST", "#C9A227", "h", "--"),
    # features and attention: purple
    "at": Look("AT", "#CC79A7", "v", "-."),
    "fitnet": Look("FitNet", "#332288", "<", "-"),
    "mgd": Look("MGD", "#7B61C9", ">", "--"),
    "lad": Look("LAD", "#9B7FD1", "8", ":"),
    "attnfd": Look("AttnFD", "#56449C", "<", "-."),
    "overhaul": Look("Overhaul", "#A77BB8", ">", ":"),
}
_SPARE_COLOURS = ("#661100", "#44AA99", "#999933", "#1F78B4", "#AA3377", "#4D4D00", "#005F73")
_SPARE_MARKERS = ("<", ">", "h", "p", "H", "8")
_SPARE_LINES: tuple[Line, ...] = ("-.", ":", "--", "-")
_ACRONYMS = {"aicsd", "icsd", "kd", "at", "sp", "ickd", "cwd", "dsd", "skd", "ifvd", "alw", "ad", "lad"}
_PUBLISHED_LABELS = {"afdcd": "Af-DCD", "maskd": "MasKD"}
NETWORKS = {
    **{name: entry.label for name, entry in BACKBONES.items()},
    "mit_b0": "MiT-B0",
    "mit_b4": "MiT-B4",
}


def looks(methods: Sequence[str]) -> dict[str, Look]:
    """A look for every method; an unknown method's comes from a hash of its name, so it is stable.

    Unknown methods whose names hash to the same colour get different ones while spare colours last.
    """
    taken: set[str] = set()
    spare: dict[str, Look] = {}
    for method in sorted(set(methods) - set(LOOKS)):
        number = crc32(method.encode())
        colours = [
            _SPARE_COLOURS[(number + turn) % len(_SPARE_COLOURS)] for turn in range(len(_SPARE_COLOURS))
        ]
        colour = next((each for each in colours if each not in taken), colours[0])
        taken.add(colour)
        marker = _SPARE_MARKERS[number // 7 % len(_SPARE_MARKERS)]
        spare[method] = Look(
            method_label(method), colour, marker, _SPARE_LINES[number // 42 % len(_SPARE_LINES)]
        )
    return {method: LOOKS.get(method) or spare[method] for method in methods}


def emphasised(methods: Sequence[str], *, focus: str | None) -> tuple[str, ...]:
    """The methods that a figure shows in colour, in their order: all of them, up to ``MANY``.

    With more methods: the focus, its references (the student alone, KD, ICSD), and its variants, whose names
    share the part before the first ``_``.
    """
    if len(methods) <= MANY:
        return tuple(methods)
    stem = (focus or "").partition("_")[0]
    variants = [name for name in methods if name.partition("_")[0] == stem]
    chosen = [name for name in dict.fromkeys([focus, *REFERENCES, *variants]) if name in methods][:MANY]
    return tuple(name for name in methods if name in chosen)


def method_label(method: str) -> str:
    """``aicsd`` -> AICSD, ``icsd_released`` -> ICSD (released)."""
    if method in LOOKS:
        return LOOKS[method].label
    if method in _PUBLISHED_LABELS:
        return _PUBLISHED_LABELS[method]
    head, _, rest = method.partition("_")
    first = head.upper() if head in _ACRONYMS else head
    return f"{first} ({rest.replace('_', ' ')})" if rest else first


def network_label(network: str) -> str:
    """``resnet18`` -> ResNet-18, ``smp:unet/resnet18`` -> U-Net (resnet18); other names stay as they are."""
    return NETWORKS.get(network) or label_of(network) or network


def architecture_label(architecture: str, backbone: str) -> str:
    """``deeplabv3plus`` on ``resnet18`` -> DeepLabV3+, ResNet-18; a library's network has its own label."""
    if architecture == backbone:
        return network_label(architecture)
    return f"{network_label(architecture)}, {network_label(backbone)}"
