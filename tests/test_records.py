"""Readers of result files, with any content."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from icsd.errors import UserError
from icsd.records import CostRecord, DivergedRecord, MetricsRecord, SourceRecord, TrainRecord, read_record

KINDS = [CostRecord, DivergedRecord, MetricsRecord, SourceRecord, TrainRecord]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("records") / "record.json"


def refused(path, kind, content):
    """Whether the file is refused with a message that names it."""
    path.write_bytes(content)
    try:
        read_record(path, kind)
    except UserError as error:
        return str(error).startswith(f"{path}: ")
    return False


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "content",
    [b"", b"null", b"[]", b"{}", b"\xff\xfe{}", b'{"schema": 99}', b"[" * 100_000, b'{"a": NaN}', b"\0" * 64],
    ids=["empty", "null", "list", "no field", "not utf-8", "later", "deep", "nan", "zeros"],
)
def test_what_is_no_record_is_refused_by_name(path, kind, content):
    assert refused(path, kind, content)


@pytest.mark.parametrize("kind", KINDS)
@given(content=JSON)
@settings(max_examples=50, deadline=None)
def test_json_of_another_structure_is_refused_by_name(path, kind, content):
    assert refused(path, kind, json.dumps(content).encode())


def test_a_damaged_record_is_refused_by_name_or_still_a_record(tmp_path):
    """Random bytes of a real record; digits may become others, which only `verify` can find."""
    from tests.stages.recording.test_evaluation import METRICS

    from icsd.records import write_record

    path, rng, messages = tmp_path / "metrics.json", random.Random(0), []
    write_record(path, METRICS)
    content = path.read_bytes()
    for _ in range(500):
        damaged = bytearray(content)
        for _ in range(rng.randrange(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path.write_bytes(damaged)
        try:
            assert isinstance(read_record(path, MetricsRecord), MetricsRecord)
        except UserError as error:
            messages.append(str(error))
    assert len(messages) > 100
    assert all(message.startswith(f"{path}: ") for message in messages)


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"method": 5}, "method"),
        ({"method": {"weights": {"kd": "many"}}}, "method.weights.kd"),
        ({"images": {"scale": [1]}}, "images.scale.1"),
        ({"alw": [1]}, "alw"),
    ],
)
def test_the_blocks_that_are_read_have_the_structure_in_which_they_are_read(params, field):
    with pytest.raises(ValidationError, match=field):
        TrainRecord.model_validate({"params": params})
