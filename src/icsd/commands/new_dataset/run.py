"""The command: surveys a folder, writes its preset, and lets the doctor examine it."""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import click

from icsd.commands.new_dataset.classes import ClassFound, Meaning, meaning_of, percent, values_of
from icsd.commands.new_dataset.layout import Layout, layout_of
from icsd.commands.new_dataset.names import class_names_below
from icsd.commands.new_dataset.preset import preset_text
from icsd.commands.new_dataset.questions import Questions
from icsd.commands.new_dataset.settings import STUDENT, settings_for
from icsd.commands.new_dataset.splits import Splits, splits_of
from icsd.commands.new_dataset.survey import Pictures, looks_like_mask, read_masks, survey_images
from icsd.datasets.findings import Findings
from icsd.datasets.folder import Folder
from icsd.datasets.preparation import examine_folder
from icsd.errors import UserError, some
from icsd.files import place_beside, write_bytes
from icsd.params import parse_params
from icsd.params.reading import PARAMS, merge, preset_name
from icsd.runs import state_root
from icsd.stages.dataset import dataset_in
from icsd.yaml_files import parse_yaml, read_yaml

_MOST_ASKED = 12
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,79}\Z")


def new_dataset(root: Path, folder: Path, *, name: str | None, ask: bool, force: bool) -> None:
    """Write the preset of a folder of images and masks, and print what was found and what to run next.

    Args:
        root: The repository.
        folder: The images and masks; only read.
        name: Name of the preset; None to derive it from the folder's name.
        ask: Whether a user answers questions.
        force: Whether an existing preset is replaced.

    Raises:
        UserError: No images and masks are found, files cannot be read, or the doctor finds errors.
    """
    folder = folder.expanduser().resolve()
    questions = Questions(ask)
    layout = layout_of(folder, questions, looks_like_mask=looks_like_mask)
    chosen = _chosen_name(root, folder, name, force=force)
    names = class_names_below(folder)
    values = values_of(read_masks({key: layout.masks.files[key].path for key in layout.pairs}), names)
    splits = splits_of(folder, layout, values)
    used = {key for keys in splits.keys.values() for key in keys}
    meaning = _named(meaning_of([values[key] for key in layout.pairs if key in used], names), questions)
    pictures = survey_images([layout.images.files[key].path for key in layout.pairs if key in used])
    settings = settings_for(pictures, num_train=len(splits.keys["train"]))
    text = preset_text(root, folder, layout=layout, meaning=meaning, splits=splits, settings=settings)
    dataset = _checked(root, chosen, text)
    _say(_seen(layout, splits, meaning, pictures, questions))
    target = root / preset_name(chosen)
    replaced = target.exists()
    write_bytes(target, text.encode())
    click.echo(f"{'replaced' if replaced else 'wrote'} {preset_name(chosen)}")
    _examine(dataset, folder, splits, chosen)
    grid = _grid(root)
    click.echo(f"next: dvc exp run -S dataset={chosen}{grid}")


def _chosen_name(root: Path, folder: Path, name: str | None, *, force: bool) -> str:
    plain = unicodedata.normalize("NFKD", folder.name).encode("ascii", "ignore").decode()
    chosen = name if name is not None else re.sub(r"[^A-Za-z0-9_-]+", "_", plain).strip("_").lower() or "mine"
    if not _NAME.match(chosen):
        raise UserError(
            f"--name: {chosen!r} may contain only letters, digits, _ - and ., at most 80, not starting with ."
        )
    if (root / preset_name(chosen)).exists() and not force:
        raise UserError(
            f"{preset_name(chosen)} exists, and nothing was written: choose another name (--name), or use "
            "--force to replace it"
        )
    return chosen


def _named(meaning: Meaning, questions: Questions) -> Meaning:
    """Ask the user for the names of classes that have none."""
    nameless = [found for found in meaning.classes if re.fullmatch(r"class_\d+", found.name)]
    if not questions.interactive or not 0 < len(nameless) <= _MOST_ASKED:
        return meaning
    classes: list[ClassFound] = []
    for found in meaning.classes:
        name = found.name
        while found in nameless:
            name = questions.text(
                f"Name of {found.values[0]} ({percent(found.share)} of the pixels)", found.name
            )
            if name not in {other.name for other in (*classes, *meaning.classes) if other is not found}:
                break
            click.echo(f"another class is called {name}")
        classes.append(ClassFound(name, found.values, found.share, found.masks))
    return Meaning(tuple(classes), meaning.ignored, meaning.notes, meaning.warnings)


def _checked(root: Path, name: str, text: str) -> Folder:
    """The dataset that the preset describes, after the checks of the pipeline's parameters."""
    source = preset_name(name)
    written = read_yaml(root / PARAMS) | {"dataset": name}
    tree = merge(parse_yaml(text.encode(), Path(source)), written)
    dataset = dataset_in(parse_params(tree, f"{PARAMS} (with {source})").data)
    assert isinstance(dataset, Folder)
    return dataset


def _seen(
    layout: Layout, splits: Splits, meaning: Meaning, pictures: Pictures, questions: Questions
) -> Iterable[str]:
    yield f"images: {layout.images}"
    yield f"masks: {layout.masks}"
    yield from (f"  {note}" for note in layout.notes)
    if layout.unmasked and splits.lists is None:
        yield f"  {len(layout.unmasked):,} images have no mask: {_some_of(layout.unmasked)}"
    if layout.orphans:
        yield f"  {len(layout.orphans):,} masks have no image: {_some_of(layout.orphans)}"
    counts = ", ".join(f"{role} {splits.roles[role]} ({len(keys):,})" for role, keys in splits.keys.items())
    yield f"splits: {counts}; {splits.why}"
    yield from (f"  {note}" for note in splits.notes)
    yield f"classes: {len(meaning.classes)}"
    for found in meaning.classes[:30]:
        value = found.values[0] if isinstance(found.values[0], int) else list(found.values[0])
        yield f"  {value}  {found.name}: {percent(found.share)} of the pixels, in {found.masks:,} masks"
    yield from (["  …"] if len(meaning.classes) > 30 else [])
    yield from (f"  {note}" for note in meaning.notes)
    yield from (f"ignored: {why}" for why in list(meaning.ignored.values())[:5])
    yield from (f"warning: {warning}" for warning in meaning.warnings)
    sizes = list(pictures.sizes)
    common = " × ".join(map(str, sizes[0])) if sizes else "none"
    yield f"sizes: {len(sizes)}; most common {common} (height × width)"
    mean, std = (", ".join(f"{value:.1f}" for value in values) for values in (pictures.mean, pictures.std))
    yield f"red, green, blue of {pictures.sampled} images: mean {mean}; standard deviation {std} (0 to 255)"
    yield from (f"not asked: {taken}" for taken in questions.taken)


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line)


def _some_of(keys: list[tuple[str, str]]) -> str:
    return some(("/".join(filter(None, key)) for key in keys), len(keys), most=3)


def _examine(dataset: Folder, folder: Path, splits: Splits, name: str) -> None:
    with place_beside(state_root() / "new-dataset" / name) as scratch:
        findings: Findings = examine_folder(dataset, folder, scratch / "data", splits=splits.roles)
    for warning in findings.warnings:
        click.echo(f"warning: {warning}")
    if findings.errors:
        listed = "\n".join(f"  - {error}" for error in findings.errors)
        raise UserError(
            f"{preset_name(name)} is written, but the data cannot be used yet:\n{listed}\n"
            "Fix the files and run this again with --force, or change the preset"
        )
    click.echo("doctor: no errors")


def _grid(root: Path) -> str:
    """The option that makes the grid train the preset's student; "" if it does already."""
    students = read_yaml(root / PARAMS).get("grid", {}).get("students")
    return "" if students == [STUDENT] else f" -S 'grid.students=[{STUDENT}]'"
