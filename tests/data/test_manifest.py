import json
import random
from contextlib import suppress

import numpy as np
import pytest
from pydantic import ValidationError

from icsd.data.manifest import Manifest, SplitManifest, read_manifest, write_manifest
from icsd.data.prepared import PreparedData
from icsd.data.shards import write_shards
from icsd.errors import UserError

WRONG = [None, True, -1, 0, 7, 1.5, 10**30, "", "x", "../x", [], [None], [1], ["a"], {}, {"a": 1}, [[]]]
"""Values that stand where others should."""


@pytest.fixture
def folder(tmp_path):
    image, label = np.zeros((2, 3, 3), np.uint8), np.zeros((2, 3), np.uint8)
    records = [(name, image, label) for name in "ab"]
    splits = {
        name: write_shards(tmp_path, name, records, num_classes=2, shard_bytes=1)
        for name in ("train", "report")
    }
    write_manifest(tmp_path, "made", ["sky", "road"], splits)
    return tmp_path


@pytest.fixture
def content(folder):
    return json.loads((folder / "manifest.json").read_text())


def places(tree, above=()):
    """The path of every value in a tree."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield (*above, key)
        if isinstance(value, dict | list):
            yield from places(value, (*above, key))


def changed(tree, place, value):
    """A copy of a tree with another value at ``place``, or without it if ``value`` is ``places``."""
    tree = json.loads(json.dumps(tree))
    *above, last = place
    inner = tree
    for key in above:
        inner = inner[key]
    if value is places:
        del inner[last]
    else:
        inner[last] = value
    return tree


def rewrite(file, content):
    """Replace the content of an open file; opening it a thousand times would be slow."""
    file.seek(0)
    file.write(content)
    file.truncate()


def test_what_is_written_comes_back(folder):
    manifest = read_manifest(folder)
    assert manifest.splits["train"].ids == ("a", "b")
    assert manifest.sha256 == manifest.digest()


def test_a_manifest_with_any_other_value_is_refused_with_advice(folder, content):
    rng = random.Random(0)
    everywhere = list(places(content))
    with (folder / "manifest.json").open("r+b", buffering=0) as file:
        for _ in range(1000):
            other = changed(content, rng.choice(everywhere), rng.choice([*WRONG, places]))
            rewrite(file, json.dumps(other).encode())
            if other == content:
                continue
            with pytest.raises(UserError, match=r"manifest\.json.*`dvc repro -f -s preprocess`"):
                read_manifest(folder)


def test_a_manifest_with_any_other_byte_is_refused_with_advice(folder):
    rng, good = random.Random(1), read_manifest(folder)
    content = (folder / "manifest.json").read_bytes()
    with (folder / "manifest.json").open("r+b", buffering=0) as file:
        for _ in range(500):
            damaged = bytearray(content)
            for _ in range(rng.randint(1, 4)):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            rewrite(file, damaged[: rng.choice([len(damaged), rng.randrange(9999)])])
            with suppress(UserError):
                assert read_manifest(folder) == good  # a blank became another one


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "5", '"x"', "{}", "[" * 9000, '{"schema": 2', "\0", '{"schema": NaN}']
)
def test_a_manifest_of_another_structure_is_refused(folder, text):
    (folder / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=r"manifest\.json"):
        PreparedData(folder)


def test_a_manifest_of_another_version_is_refused(folder, content):
    (folder / "manifest.json").write_text(json.dumps(content | {"schema": 1}))
    with pytest.raises(UserError, match=r"manifest\.json: schema: .*`dvc repro -f -s preprocess`"):
        read_manifest(folder)


def test_a_folder_without_manifest_is_not_prepared(folder):
    (folder / "manifest.json").unlink()
    with pytest.raises(UserError, match=r"manifest\.json: there is no such file.*`dvc repro preprocess`"):
        read_manifest(folder)
    (folder / "manifest.json").mkdir()
    with pytest.raises(UserError, match=r"manifest\.json: cannot be read"):
        read_manifest(folder)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("ids",), ["a"], "differ in length"),
        (("offsets", 0), 3, "one after the other"),
        (("shard", 1), 0, "one after the other"),
        (("shard", 1), 7, "do not fill its shards"),
        (("heights", 0), 1, "do not fill its shards"),
        (("shards", 0, "pixels"), 7, "do not fill its shards"),
        (("class_pixels", 0), 3, "other pixels than its samples"),
        (("shards", 0, "images"), "../x", "shards.0.images"),
        (("labels_sha256",), "x", "labels_sha256"),
    ],
)
def test_what_does_not_belong_together_is_refused_even_if_someone_wrote_it(content, place, value, words):
    split = changed(content["splits"]["train"], place, value)
    with pytest.raises(ValidationError, match=words):
        SplitManifest.model_validate_json(json.dumps(split))


def test_splits_count_the_classes_that_there_are(content):
    with pytest.raises(ValidationError, match="other classes"):
        Manifest.model_validate_json(json.dumps(content | {"classes": ["sky"]}))
