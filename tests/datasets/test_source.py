import json
import random
from contextlib import suppress

import pytest
from tests.data.test_manifest import WRONG, changed, places, rewrite

from icsd.datasets.source import archives_of, read_source, write_source
from icsd.errors import UserError

ADVICE = "`dvc repro -f -s download`"


@pytest.fixture
def folder(make):
    raw = make.folder({"a.tar": b"one", "b.tar": b"two"}, "raw")
    write_source(raw, "made", [raw / "b.tar", raw / "a.tar"])
    return raw


def test_archives_that_are_as_they_came_are_given(folder):
    assert archives_of(folder) == [folder / "a.tar", folder / "b.tar"]


def test_archives_that_are_not_are_all_named_with_advice_that_works_under_dvc(folder):
    (folder / "a.tar").write_bytes(b"onE")
    (folder / "b.tar").write_bytes(b"short of it")
    with pytest.raises(UserError, match=r"a\.tar is not what was downloaded.*b\.tar has 11 bytes") as caught:
        archives_of(folder)
    assert ADVICE in str(caught.value)
    (folder / "b.tar").unlink()
    with pytest.raises(UserError, match=r"b\.tar is missing"):
        archives_of(folder)


def test_whatever_the_description_holds_the_error_is_one_for_people(folder):
    rng, path = random.Random(0), folder / "source.json"
    good, content = read_source(folder), path.read_bytes()
    tree = json.loads(content)
    everywhere = list(places(tree))
    with path.open("r+b", buffering=0) as file:
        for _ in range(300):
            other = changed(tree, rng.choice(everywhere), rng.choice([*WRONG, places]))
            rewrite(file, json.dumps(other).encode())
            with suppress(UserError):
                assert len(archives_of(folder)) <= len(good.files)
            damaged = bytearray(content)
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            rewrite(file, damaged[: rng.choice([len(damaged), rng.randrange(len(damaged))])])
            with suppress(UserError):
                assert len(archives_of(folder)) == 2


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", '{"files": 5}', "\xff"])
def test_a_description_of_another_structure_is_named(folder, text):
    (folder / "source.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=rf"source\.json: .*{ADVICE}"):
        read_source(folder)


def test_a_folder_without_description_is_no_download(folder):
    (folder / "source.json").unlink()
    with pytest.raises(UserError, match=r"source\.json: there is no such file.*`dvc repro download`"):
        archives_of(folder)
