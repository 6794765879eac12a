import csv
import io
import json

import pytest

from icsd.commands.bench.table import Measured, to_file, to_text
from icsd.deployment.latency import Latency

MACHINE = {"cpu": "Some CPU, 3 GHz", "cores": "2", "torch": "2.15"}


def measured(model="runs/a|b", form="torch eager", **changes):
    values = {
        "size": (360, 480),
        "threads": 1,
        "batch": 1,
        "calls": 50,
        "p50_ms": 123.456,
        "p95_ms": 1.2345,
        "images_per_second": 12.345,
        "peak_megabytes": 512.6,
        "file_bytes": 4_249_000,
    }
    return Measured(model, form, Latency(form=form, **{**values, **changes}))


BOTH = [measured(), measured("b", "ONNX Runtime int8", peak_megabytes=None, file_bytes=None, batch=4)]


def test_columns_line_up_and_the_model_is_named_where_there_are_several():
    assert to_text(BOTH[:1]) == (
        "form            size  threads  p50 ms  p95 ms  images/s  peak MB  file MB  calls\n"
        "torch eager  360×480        1     123    1.23      12.3      513      4.2     50\n"
    )
    lines = to_text(BOTH).splitlines()
    assert lines[0].split()[:2] == ["model", "form"]
    assert lines[2].split() == [
        *("b", "ONNX", "Runtime", "int8", "360×480×4", "1", "123", "1.23", "12.3", "–", "–", "50")
    ]
    assert len({line.rindex("calls"[-1]) if "calls" in line else len(line) - 1 for line in lines}) == 1


def test_markdown_has_the_machine_and_the_table():
    lines = to_file(BOTH, MACHINE, ".md").decode().splitlines()
    assert lines[0] == "Some CPU, 3 GHz, cores 2, torch 2.15"
    assert lines[1] == ""
    assert all(line.replace("\\|", "").count("|") == 11 for line in lines[2:])
    assert lines[4].startswith(r"| runs/a\|b | torch eager | 360×480 | 1 | 123 | 1.23 |")
    assert len(lines) == 6


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_programs_get_every_digit_and_the_machine(suffix):
    text = to_file(BOTH, MACHINE, suffix).decode()
    if suffix == ".json":
        content = json.loads(text)
        assert content["machine"] == MACHINE
        first, second = content["rows"]
        assert (second["peak_megabytes"], second["file_bytes"]) == (None, None)
    else:
        first, second = csv.DictReader(io.StringIO(text))
        assert {key: first[key] for key in MACHINE} == MACHINE
        assert (second["peak_megabytes"], second["file_bytes"]) == ("", "")
    assert (first["model"], first["form"]) == ("runs/a|b", "torch eager")
    assert [float(first[key]) for key in ("height", "width", "p50_ms", "file_bytes")] == [
        *(360, 480, 123.456, 4_249_000)
    ]
