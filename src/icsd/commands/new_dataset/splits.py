"""Splits a folder: by its subfolders, by its lists, or by fractions."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from unicodedata import normalize

from icsd.commands.new_dataset.groups import Key, folded
from icsd.commands.new_dataset.layout import Layout
from icsd.commands.new_dataset.words import ROLES, split_in
from icsd.datasets.folder import split_of
from icsd.datasets.reading.lists import names_in, read_list, without_number
from icsd.errors import UserError

FRACTIONS = {"train": 0.7, "val": 0.15, "test": 0.15}
_TRIED, _DRAWS = 1000, 200_000
"""Limits: seeds that are tried, and images that are drawn in all."""
_ROLES = ("train", "validation", "report")


@dataclass(frozen=True)
class Splits:
    """Which split has which role, and why.

    Attributes:
        roles: Role -> name of the split.
        keys: Role -> its images that have a mask.
        why: What the splits were inferred from.
        lists: Template of the lists; None without lists.
        fractions: Split -> its share; None if folders or lists define the splits.
        seed: Seed of the fractions.
        notes: What was left out, and why.
    """

    roles: Mapping[str, str]
    keys: Mapping[str, Sequence[Key]]
    why: str
    lists: str | None = None
    fractions: Mapping[str, float] | None = None
    seed: int = 0
    notes: tuple[str, ...] = field(default=())


def splits_of(root: Path, layout: Layout, values: Mapping[Key, Collection[object]]) -> Splits:
    """The splits of a layout.

    Args:
        root: The folder.
        layout: Its images and masks.
        values: Mask -> the values in it.

    Raises:
        UserError: The splits give no training images or no reported images.
    """
    pairs = layout.pairs
    if "{split}" in layout.images.template:
        return _of_folders(layout, pairs)
    return _of_lists(root, layout, pairs) or _of_fractions(layout, pairs, values)


def _of_folders(layout: Layout, pairs: Sequence[Key]) -> Splits:
    named = {split.casefold(): split for split in layout.images.splits}
    keys = {split: [key for key in pairs if key[0] == split] for split in named}
    notes = [
        f"the folders of {named[split]} have no masks and are left out" for split in keys if not keys[split]
    ]
    roles = _roles(_by_role([split for split in keys if keys[split]]))
    if roles is None:
        raise UserError(
            f"the folders {', '.join(named.values())} give no training and reported images: a folder for "
            "training (train) and one for the report (test or val) must have masks"
        )
    return Splits(
        {role: named[split] for role, split in roles.items()},
        {role: keys[split] for role, split in roles.items()},
        why=f"the folders {', '.join(named[split] for split in roles.values())}",
        notes=(*notes, *_two_roles(roles)),
    )


def _roles(by_role: Mapping[str, str]) -> dict[str, str] | None:
    """Role -> split: test is reported or, if there is none, the validation split."""
    roles = {role: by_role[role] for role in _ROLES if role in by_role}
    if "report" not in roles and "validation" in roles:
        roles["report"] = roles.pop("validation")
    return roles if {"train", "report"} <= roles.keys() else None


def _two_roles(roles: Mapping[str, str]) -> list[str]:
    if "validation" in roles:
        return []
    return [
        f"{roles['report']} is reported, and nothing validates; data.holdout can keep training images for it"
    ]


def _of_lists(root: Path, layout: Layout, pairs: Sequence[Key]) -> Splits | None:
    """Splits by lists of image names; None unless there are lists for training and for the report."""
    known = {name: key for key in pairs for name in (key[1], folded(layout.images.files[key].path.name))}
    families: dict[str, dict[str, list[Key]]] = {}
    spelled: dict[str, str] = {}
    for path in sorted(root.rglob("*")):
        template, split = split_in(path.stem)
        is_list = path.suffix.lower() == ".txt" and split is not None and path.is_file()
        if not is_list:
            continue
        folder = path.parent.relative_to(root).as_posix()
        place = f"{'' if folder == '.' else f'{folder}/'}{template}.txt"
        if listed := _listed(path, known):
            families.setdefault(place, {})[str(split).casefold()] = listed
            spelled[str(split).casefold()] = str(split)
    usable = {place: roles for place, found in families.items() if (roles := _roles(_by_role(found)))}
    if not usable:
        return None
    place = max(
        usable, key=lambda place: sum(len(families[place][split]) for split in usable[place].values())
    )
    roles, found = usable[place], families[place]
    unlisted = len(pairs) - len({key for split in roles.values() for key in found[split]})
    notes = [f"{unlisted:,} images are in no list and are left out"] if unlisted else []
    return Splits(
        {role: spelled[split] for role, split in roles.items()},
        {role: found[split] for role, split in roles.items()},
        why=f"the lists {place}",
        lists=place,
        notes=(*notes, *_two_roles(roles)),
    )


def _by_role(found: Collection[str]) -> dict[str, str]:
    return {ROLES[split]: split for split in reversed([*ROLES]) if split in found}


def _listed(path: Path, known: Mapping[str, Key]) -> list[Key]:
    """The images that a list names; none if most lines name something else."""
    try:
        lines = read_list(path)
    except UserError:
        return []
    keys = []
    for line in lines:
        for name in (*names_in(line), *names_in(without_number(line))):
            if key := known.get(folded(name)) or known.get(folded(name.rpartition(".")[0])):
                keys.append(key)
                break
    return list(dict.fromkeys(keys)) if 2 * len(keys) > len(lines) else []


def _of_fractions(layout: Layout, pairs: Sequence[Key], values: Mapping[Key, Collection[object]]) -> Splits:
    """A seeded split, with the first seed that lacks nothing, or else the one that lacks least."""
    best, fewest = 0, len(pairs) * 1000
    drawn: dict[str, list[Key]] = {}
    stems = {key: normalize("NFC", layout.images.files[key].stem) for key in pairs}
    own = {key: stem[len(layout.images.affixes.before) :] for key, stem in stems.items()}
    own = {key: stem[: len(stem) - len(layout.images.affixes.after)] for key, stem in own.items()}
    for seed in range(max(20, min(_TRIED, _DRAWS // max(1, len(pairs))))):
        split = _drawn(own, seed)
        lacking = _lacking(split, values)
        if lacking < fewest:
            best, fewest, drawn = seed, lacking, split
        if not lacking:
            break
    if not all(drawn.values()):
        raise UserError(
            f"{len(pairs)} images with masks are too few to be split for training, validation and report; "
            "add more, or folders train, val and test"
        )
    names = ("train", "val", "test")
    why = f"no folders and no lists split the images: 70 / 15 / 15 % by seed {best} and name"
    notes = () if not fewest else ("no seed was found that gives every split every class",)
    roles = dict(zip(_ROLES, names, strict=True))
    keys = {role: drawn[name] for role, name in roles.items()}
    return Splits(roles, keys, why, fractions=FRACTIONS, seed=best, notes=notes)


def _drawn(own: Mapping[Key, str], seed: int) -> dict[str, list[Key]]:
    """The images of each split, as the reader draws them."""
    drawn: dict[str, list[Key]] = {name: [] for name in FRACTIONS}
    for key, stem in own.items():
        if (split := split_of(stem, FRACTIONS, seed=seed)) is not None:
            drawn[split].append(key)
    return drawn


def _lacking(split: Mapping[str, Sequence[Key]], values: Mapping[Key, Collection[object]]) -> int:
    """Penalty of a split: empty splits weigh most; then values that train or test lack, and short splits."""
    everything = {value for key in values for value in values[key]}
    wrong = 1000 * sum(not keys for keys in split.values())
    for name in ("train", "test"):
        wrong += len(everything - {value for key in split[name] for value in values[key]})
    total = sum(map(len, split.values()))
    return wrong + sum(len(split[name]) < 0.5 * share * total for name, share in FRACTIONS.items())
