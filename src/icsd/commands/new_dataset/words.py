"""Words in the names of folders and files that tell splits, images and masks apart."""

import re
from dataclasses import dataclass

ROLES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "report"),
}
"""Name of a split -> its role."""
_IMAGE_WORDS = frozenset(
    (
        "image",
        "images",
        "img",
        "imgs",
        "rgb",
        "jpeg",
        "photo",
        "photos",
        "picture",
        "pictures",
        "input",
        "inputs",
    )
)
_MASK_WORDS = frozenset(
    (
        *("mask", "masks", "label", "labels", "annotation", "annotations", "annot", "annots", "ann", "gt"),
        *(
            "groundtruth",
            "truth",
            "seg",
            "segs",
            "segmentation",
            "segmentations",
            "semantic",
            "target",
            "targets",
        ),
    )
)
_OTHER_WORDS = frozenset(
    ("instance", "instances", "object", "objects", "color", "colour", "depth", "disparity", "edge", "edges")
)
"""Words for pictures that lie beside masks and hold something else."""

_TOKEN = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_]+")
_WORD = "|".join(sorted((*_IMAGE_WORDS, *_MASK_WORDS), key=len, reverse=True))
_SPLIT = "|".join(sorted(ROLES, key=len, reverse=True))
_GLUED_FIRST = re.compile(rf"\A({_SPLIT})(?=(?:{_WORD})\Z)", re.IGNORECASE)
_GLUED_LAST = re.compile(rf"(?P<word>\A(?:{_WORD}))(?P<split>{_SPLIT})\Z", re.IGNORECASE)
_SEPARATOR = r"[_\-. ]+"
_SUFFIXES = (
    "gtFine|gtCoarse|gt|masks?|labels?|labelIds|labelTrainIds|trainIds|instanceIds|instance|color|colour"
)
_SUFFIXES += "|seg|segmentation|annotations?|annot|semantic|target|groundtruth|leftImg8bit|image|img|rgb|sat"
_SUFFIX = re.compile(rf"(?:{_SEPARATOR}(?:(?i:{_SUFFIXES})|L|(?<=\.)(?i:jpe?g|png|bmp|tiff?|webp)))+\Z")
_PREFIX = re.compile(rf"\A(?:masks?|labels?|gt|seg|annotation|image|img){_SEPARATOR}", re.IGNORECASE)


@dataclass(frozen=True)
class Affixes:
    """The parts of a file's name before and after the image's own name."""

    before: str = ""
    after: str = ""


def words_in(text: str) -> list[str]:
    """The words of a name, lower case: ``JPEGImages`` holds jpeg and images."""
    return [word.casefold() for word in _TOKEN.findall(text)]


def split_in(folder: str) -> tuple[str, str | None]:
    """A folder's name with ``{split}`` in place of a split's name, and that name (or None)."""
    for pattern in (_GLUED_FIRST, _GLUED_LAST):
        if match := pattern.search(folder):
            begin, end = match.span("split" if pattern is _GLUED_LAST else 0)
            return f"{folder[:begin]}{{split}}{folder[end:]}", folder[begin:end]
    for match in _TOKEN.finditer(folder):
        if match[0].casefold() in ROLES:
            return f"{folder[: match.start()]}{{split}}{folder[match.end() :]}", match[0]
    return folder, None


def kind_of(name: str) -> str | None:
    """``image``, ``mask`` or ``other`` by the words in a folder's name or an affix; None if none is known."""
    words = words_in(re.sub(_SPLIT, " ", name, flags=re.IGNORECASE)) + words_in(name)
    joined = "".join(words)
    if _OTHER_WORDS & set(words) or "instanceids" in joined:
        return "other"
    if _MASK_WORDS & set(words) or {"ids", "L"} & {*words, name.strip("_-. ")}:
        return "mask"
    return "image" if _IMAGE_WORDS & set(words) else None


def apart(stem: str) -> tuple[str, Affixes]:
    """Split a file's name into the image's own name and its affixes: ``mask_7`` is 7, ``a_rgb`` is a."""
    after = match[0] if (match := _SUFFIX.search(stem)) and match.start() else ""
    rest = stem[: len(stem) - len(after)]
    before = match[0] if (match := _PREFIX.search(rest)) and match.end() < len(rest) else ""
    return rest[len(before) :], Affixes(before, after)
