"""What the values in masks mean: classes and ignored values, each with the evidence for it."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from icsd.commands.new_dataset.groups import Key
from icsd.commands.new_dataset.names import Named
from icsd.commands.new_dataset.survey import MaskPixels
from icsd.core.labels import IGNORE
from icsd.datasets.base import Colour, voc_palette
from icsd.errors import UserError, some

Value = int | Colour

_VOID_NAMES = {"void", "ignore", "ignored", "unlabeled", "unlabelled", "dont care", "don't care", "dontcare"}
_VOC_VOID = (224, 224, 192)
_RARE = 1e-3
"""Share of all pixels below which a value may be an artefact."""
_EDGES = 0.2
"""Largest share of all pixels that may have greys between black and white."""
_MOST_LISTED = 64
_NEAR = 8
"""Largest difference of channels at which two colours count as alike."""


@dataclass(frozen=True)
class ClassFound:
    """A class: its name, its values in the masks, its share of all pixels, and the masks that have it."""

    name: str
    values: tuple[Value, ...]
    share: float
    masks: int


@dataclass(frozen=True)
class Meaning:
    """Classes in the order of tables, ignored values with the evidence, and other observations."""

    classes: tuple[ClassFound, ...]
    ignored: Mapping[Value, str]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass
class Counted:
    """Counts over all masks: pixels and masks by value."""

    pixels: Counter[Value] = field(default_factory=Counter)
    masks: Counter[Value] = field(default_factory=Counter)
    number: int = 0

    def share(self, value: Value) -> float:
        """The value's share of all pixels."""
        return self.pixels[value] / max(1, self.pixels.total())

    def evidence(self, value: Value) -> str:
        """``255 in 98 % of the masks, 2 % of the pixels``."""
        name = str(value) if isinstance(value, int) else f"({', '.join(map(str, value))})"
        masks = self.masks[value] / max(1, self.number)
        return f"{name} in {masks:.0%} of the masks, {percent(self.share(value))} of the pixels"


def values_of(masks: Mapping[Key, MaskPixels], named: Named) -> dict[Key, Mapping[Value, int]]:
    """Every mask's pixels by value, in the kind of value that all masks share: numbers or colours.

    Raises:
        UserError: Masks cannot be read; or some hold numbers while others hold colours.
    """
    problems = [pixels.problem for pixels in masks.values() if pixels.problem]
    if problems:
        raise UserError(f"{len(problems):,} masks cannot be read:\n  {some(problems, len(problems))}")
    if any(pixels.numbers is None for pixels in masks.values()) or _shows_more(masks.values(), named):
        without = [key[1] for key, pixels in masks.items() if not pixels.colours]
        if without:
            raise UserError(f"some masks contain colours, but these numbers: {some(without, len(without))}")
        return {key: dict[Value, int](pixels.colours.items()) for key, pixels in masks.items()}
    others = {value for pixels in masks.values() if not pixels.one_bit for value in pixels.numbers or ()}
    white = IGNORE if others <= {0, IGNORE} else 1
    return {
        key: {white if value and pixels.one_bit else value: n for value, n in (pixels.numbers or {}).items()}
        for key, pixels in masks.items()
    }


def meaning_of(values: Sequence[Mapping[Value, int]], named: Named) -> Meaning:
    """Classes and ignored values of all masks.

    Raises:
        UserError: There is only one value, too many classes, or values that come from interpolation.
    """
    counted = Counted(number=len(values))
    for mask in values:
        counted.pixels.update(mask)
        counted.masks.update(mask.keys())
    names, notes = _fitting_names(counted, named)
    if set(counted.pixels) <= {0, IGNORE} and len(counted.pixels) == 2 and IGNORE not in names:
        names = {0: names.get(0, "background"), IGNORE: names.get(1, "foreground")}
        notes.append("masks are black and white: 0 and 255 are two classes")
        return _made(counted, [0, IGNORE], names, {}, notes, [])
    ignored, warnings = _ignored(counted, names)
    found = [value for value in counted.pixels if value not in ignored]
    absent = [value for value in names if value not in counted.pixels and value not in ignored]
    if absent and len(found) < len(names):
        listed = some((names[value] for value in absent), len(absent))
        notes.append(f"{named.file} names classes that no mask has: {listed}")
    ordered = _in_order([*found, *absent], names)
    if len(ordered) < 2:
        only = ", ".join(map(str, ordered)) or "nothing"
        raise UserError(f"all masks contain only the value {only}, so there are no classes. Are these masks?")
    if len(ordered) > IGNORE:
        raise UserError(
            f"masks hold {len(ordered):,} values, more than 255 classes: instance ids, or photographs?"
        )
    return _made(counted, ordered, names, ignored, notes, warnings)


def _made(
    counted: Counted,
    ordered: Sequence[Value],
    names: Mapping[Value, str],
    ignored: Mapping[Value, str],
    notes: Sequence[str],
    warnings: Sequence[str],
) -> Meaning:
    classes = tuple(
        ClassFound(
            names.get(value, f"class_{value if isinstance(value, int) else place}"),
            (value,),
            counted.share(value),
            counted.masks[value],
        )
        for place, value in enumerate(ordered)
    )
    return Meaning(classes, ignored, tuple(notes), tuple(warnings))


def _ignored(counted: Counted, names: Mapping[Value, str]) -> tuple[dict[Value, str], list[str]]:
    """Values that are not classes, with the evidence; and warnings about doubtful ones."""
    ignored: dict[Value, str] = {}
    warnings: list[str] = []
    for value in counted.pixels:
        if names.get(value, "").casefold() in _VOID_NAMES:
            ignored[value] = f"called {names[value]}; {counted.evidence(value)}"
        elif value in {IGNORE, _VOC_VOID} and value not in names:
            ignored[value] = counted.evidence(value)
    rest = [value for value in counted.pixels if value not in ignored and value not in names]
    between = [value for value in rest if isinstance(value, int) and 0 < value < IGNORE]
    black_and_white = counted.share(0) + counted.share(IGNORE)
    is_black_and_white = IGNORE in ignored and len(between) > 2 and black_and_white > 1 - _EDGES
    if is_black_and_white and sum(counted.pixels[value] for value in between) < counted.pixels[IGNORE]:
        warnings.append(
            f"black and white masks with {len(between)} greys between ({percent(1 - black_and_white)} of "
            "the pixels): they were resized with interpolation, or stored with loss; the greys are ignored"
        )
        del ignored[IGNORE]
        return ignored | {value: "a grey between black and white" for value in sorted(between)}, warnings
    rare = _artefacts(counted, rest, known=bool(names))
    if len(rare) > _MOST_LISTED:
        raise UserError(
            f"masks hold {len(counted.pixels):,} values, of which {len(rare):,} have almost no pixels: "
            "they were resized with interpolation, or stored with loss. Export them again as PNG in their "
            "own size (nearest neighbour)"
        )
    if rare:
        listed = some((counted.evidence(value) for value in rare), len(rare), most=3)
        warnings.append(
            f"{len(rare)} values that are hardly a class are ignored: {listed}; edges that were smoothed?"
        )
    return ignored | {value: f"rare: {counted.evidence(value)}" for value in sorted(rare, key=str)}, warnings


def _artefacts(counted: Counted, rest: Sequence[Value], *, known: bool) -> list[Value]:
    """Values without a name if others have one; otherwise rare colours that are mixed from common ones."""
    if known:
        return list(rest)
    colours = [value for value in rest if not isinstance(value, int)]
    common = [value for value in colours if counted.share(value) >= _RARE]
    if len(colours) <= 2 or len(common) < 2:
        return []
    return [value for value in colours if counted.share(value) < _RARE and _is_mixed(value, common)]


def _is_mixed(colour: Colour, common: Sequence[Colour]) -> bool:
    """Whether a colour lies close to a common one, or between two of them."""
    for one in common:
        if max(abs(a - b) for a, b in zip(colour, one, strict=True)) <= _NEAR:
            return True
        for other in common:
            if one < other and _lies_between(colour, one, other):
                return True
    return False


def _lies_between(colour: Colour, one: Colour, other: Colour) -> bool:
    way = [b - a for a, b in zip(one, other, strict=True)]
    done = [c - a for a, c in zip(one, colour, strict=True)]
    part = sum(w * d for w, d in zip(way, done, strict=True)) / max(1, sum(w * w for w in way))
    return 0 < part < 1 and all(abs(d - part * w) <= _NEAR for w, d in zip(way, done, strict=True))


def _in_order(values: Sequence[Value], names: Mapping[Value, str]) -> list[Value]:
    """Numbers by size; colours in the order of their file or of VOC, otherwise by their channels."""
    places: dict[Value, int] = {value: place for place, value in enumerate(names)}
    if not places:
        places = {colour: place for place, colour in enumerate(voc_palette(IGNORE))}
        if not all(value in places for value in values):
            places = {}
    numbers = [value for value in values if isinstance(value, int)]
    colours = [value for value in values if not isinstance(value, int)]
    return [*sorted(numbers), *sorted(colours, key=lambda colour: (places.get(colour, len(places)), colour))]


def _fitting_names(counted: Counted, named: Named) -> tuple[dict[Value, str], list[str]]:
    """The file's names if they fit this kind of value, and notes; lists without numbers may begin at 1."""
    names = dict(named.names)
    notes = list(named.notes)
    numbers = {value for value in counted.pixels if isinstance(value, int) and value != IGNORE}
    if not names:
        return {}, notes
    if any(isinstance(value, int) for value in names) != bool(numbers):
        notes.append(
            f"{named.file} names {'colours' if numbers else 'numbers'}, which the masks do not hold: not used"
        )
        return {}, notes
    if named.counted and numbers and max(numbers) == len(names):
        shifted: dict[Value, str] = {place + 1: name for place, name in enumerate(names.values())}
        names = {0: "background", **shifted}
        notes.append(f"{named.file} has a name for every number from 1; 0 is called background")
    else:
        notes.append(f"names of classes are those of {named.file}")
    return names, notes


def _shows_more(masks: Collection[MaskPixels], named: Named) -> bool:
    """Whether colours tell more than numbers: a file names them, or palettes differ between masks."""
    colours = {colour for pixels in masks for colour in pixels.colours}
    if sum(colour in named.names for colour in colours) > 1:
        return True
    shown = {pair for pixels in masks for pair in pixels.shown.items()}
    return len(shown) > len({number for number, _ in shown})


def percent(share: float) -> str:
    """A share with as many digits as it needs: ``12%``, ``1.2%``, ``0.0012%``."""
    return f"{share:.0%}" if share >= 0.1 else f"{share:.1%}" if share >= 0.001 else f"{share:.4%}"
