"""Benchmarks run, and each result is written to its own section."""

import re
import subprocess
import sys
from functools import partial

import pytest
import results
from measuring import interleaved, section
from tests.imports import ROOT

SCRIPTS = ROOT / "benchmarks"


@pytest.mark.slow
@pytest.mark.parametrize("name", results.BENCHMARKS)
def test_a_benchmark_prints_one_section_with_a_table(name):
    printed = results.run(name, "--quick")
    assert len(re.findall("^## ", printed, re.MULTILINE)) == 1
    header, rule, *rows = [line for line in printed.splitlines() if line.startswith("|")]
    assert rows
    assert {line.count("|") for line in (header, rule, *rows)} == {header.count("|")}


def test_a_section_is_replaced_and_the_others_stay(monkeypatch):
    monkeypatch.setattr(results, "BENCHMARKS", ("first", "second"))
    written = results.with_section(results.HEAD, "second", "## Second\n\nold")
    written = results.with_section(written, "first", "## First\n\nas it was")
    written = results.with_section(written, "second", "## Second\n\nnew")
    assert written == (
        f"{results.HEAD}\n<!-- first -->\n\n## First\n\nas it was\n\n<!-- second -->\n\n## Second\n\nnew\n"
    )


def test_an_unknown_benchmark_is_named():
    ended = subprocess.run(
        [sys.executable, str(SCRIPTS / "results.py"), "losss"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert "no such benchmark: losss" in ended.stderr


def test_variants_take_turns_from_another_start_every_round():
    calls: list[str] = []
    names = ("a", "b", "c")
    medians = interleaved({name: partial(calls.append, name) for name in names}, rounds=3)
    assert "".join(calls) == "abc" + "abc" + "bca" + "cab"
    assert set(medians) == set(names)


def test_time_is_that_of_the_clock_that_is_asked_for():
    ticks = iter([1.0, 3.5, 10.0, 10.5, 20.0, 21.0])
    found = interleaved({"a": dict}, rounds=3, warm_up=False, clock=partial(next, ticks))
    assert found == {"a": 1.0}


def test_a_section_is_a_heading_a_sentence_and_a_table():
    assert section("Loss", "What.", ["form", "ms"], [["loop", 1.5]]) == (
        "## Loss\n\nWhat.\n\n| form | ms |\n| --- | ---: |\n| loop | 1.5 |\n"
    )
