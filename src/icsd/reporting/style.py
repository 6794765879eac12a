"""Names, order and looks of methods and networks, the same in every table and figure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Line = Literal["-", "--", "-.", ":"]


@dataclass(frozen=True)
class Look:
    """How a method is written and drawn."""

    label: str
    colour: str
    marker: str
    line: Line


# Okabe and Ito's palette (without its yellow, which is unreadable on white) and two darker tones; marker
# and line differ as well, so that no figure depends on colour alone.
LOOKS = {
    "teacher": Look("Teacher", "#000000", "*", "-"),
    "ce": Look("CE", "#333333", "o", "-"),
    "none": Look("Student alone", "#707070", "o", "--"),
    "kd": Look("KD", "#0072B2", "s", "-"),
    "at": Look("AT", "#CC79A7", "v", "-."),
    "sp": Look("SP", "#56B4E9", "^", ":"),
    "ickd": Look("ICKD", "#009E73", "P", "-."),
    "cwd": Look("CWD", "#E69F00", "X", ":"),
    "icsd": Look("ICSD", "#882255", "d", "--"),
    "aicsd": Look("AICSD", "#D55E00", "D", "-"),
}
_SPARE: list[tuple[str, str, Line]] = [
    ("#332288", "<", "-."),
    ("#117733", ">", ":"),
    ("#AA4499", "h", "--"),
    ("#999933", "p", "-"),
    ("#661100", "H", "-."),
    ("#44AA99", "8", ":"),
]
_ACRONYMS = {"aicsd", "icsd", "kd", "at", "sp", "ickd", "cwd", "dsd", "skd", "ifvd", "alw", "ad", "lad"}
_PUBLISHED_LABELS = {
    "cirkd": "CIRKD",
    "afdcd": "Af-DCD",
    "maskd": "MasKD",
    "attnfd": "AttnFD",
    "overhaul": "Overhaul",
    "dist": "DIST",
}
NETWORKS = {
    "resnet18": "ResNet-18",
    "resnet34": "ResNet-34",
    "resnet50": "ResNet-50",
    "resnet101": "ResNet-101",
    "mobilenetv2": "MobileNetV2",
    "mit_b0": "MiT-B0",
    "mit_b4": "MiT-B4",
}


def looks(methods: Sequence[str]) -> dict[str, Look]:
    """A look for every method; unknown ones take the spare colours in the order given."""
    unknown = [method for method in methods if method not in LOOKS]
    spare = {
        method: Look(method_label(method), *_SPARE[index % len(_SPARE)])
        for index, method in enumerate(unknown)
    }
    return {method: LOOKS.get(method) or spare[method] for method in methods}


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
    """``resnet18`` -> ResNet-18; unknown names stay as they are."""
    return NETWORKS.get(network, network)
