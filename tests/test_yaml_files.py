import random
from pathlib import Path

import pytest
from dvc.utils.serialize import YAMLFileCorruptedError, dumps_yaml
from dvc.utils.serialize import parse_yaml as parse_as_dvc
from tests.imports import ROOT

from icsd.errors import UserError
from icsd.yaml_files import parse_yaml, read_yaml, yaml_text

SCALARS = [
    *("010", "09", "08.5", "0o17", "0o8", "0x1F", "0b11", "1_000", "1__0", "0.1_0", "_1", "+1", "-0"),
    *("on", "off", "Off", "yes", "no", "y", "n", "true", "True", "TRUE", "tRUE", "false"),
    *("12:30", "5:30:10", "190:20:30.15", "25:61", "2020-01-01", "2020-01-01T00:00:00Z"),
    *(".5e3", "-.5e-3", "+.5", "1.", "1.e3", "1e3", "1e-3", "1E4", "1e+02", "1.5e", "e3", "1e400", "1e-3x"),
    *(".inf", "-.INF", ".nan", "inf", "nan", "~", "null", "Null", "NULL", "", "None"),
    *("'010'", '"on"', "!!int '3'", "!!str 3", "!!float 3", "!!bool yes", "!!binary aGk=", "!!set {x}"),
    *(
        "[on, 010, .5e3]",
        "{on: 010}",
        "a b",
        "a#b",
        "a #b",
        "-",
        "- 1",
        "'it''s'",
        '"\\u03c4"',
        "τ",
        "\ufeff",
    ),
]
PIECES = [
    *(
        "a",
        "b",
        "on",
        "no",
        "0",
        "1",
        "7",
        "010",
        "e",
        "E",
        ".",
        "-",
        "+",
        "_",
        ":",
        ": ",
        ",",
        ", ",
        "#",
        " #",
    ),
    *(
        "[",
        "]",
        "{",
        "}",
        "'",
        '"',
        "&x ",
        "*x",
        "!!int ",
        "!!str ",
        "!!float ",
        "<<: ",
        "|\n",
        ">\n",
        "?",
        "%",
    ),
    *("\n", "\n", "\n  ", "\n- ", "\n\t", "\t", " ", "~", "null", "12:30", "1e3", "\u00e9", "\ufeff", "\r\n"),
    *("\x00", "\x07", "\x85", "---\n", "...\n", "\\", "@", "`", "=", "a: 1\n", "b:\n  c: 2\n", "2020-13-45"),
]


def as_dvc(text):
    """The tree that DVC reads; None if it refuses the text, as our reader must."""
    try:
        return repr(parse_as_dvc(text, "params.yaml"))
    except (YAMLFileCorruptedError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def as_we_do(text, tmp_path):
    """The tree that our reader gives; None if it refuses the text with a message."""
    try:
        return repr(parse_yaml(text.encode(), tmp_path))
    except UserError as error:
        message = str(error)
    assert str(tmp_path) in message
    return None


@pytest.mark.parametrize("scalar", SCALARS)
def test_a_value_is_what_dvc_reads(scalar, tmp_path):
    text = f"key: {scalar}\nlist:\n- {scalar}\n"
    assert as_we_do(text, tmp_path) == as_dvc(text)


@pytest.mark.parametrize(
    "path",
    [
        *("params.yaml", "dvc.yaml", "src/icsd/reporting/tables/fidelity.yaml"),
        *("src/icsd/reporting/literature/protocols.yaml", "configs/tuned/camvid.yaml"),
        *(f"configs/datasets/{path.name}" for path in (ROOT / "configs/datasets").glob("*.yaml")),
    ],
)
def test_the_projects_own_files_are_what_dvc_reads(path):
    text = (ROOT / path).read_text(encoding="utf-8")
    assert repr(read_yaml(ROOT / path)) == repr(parse_as_dvc(text, path))


@pytest.mark.filterwarnings("ignore::ruamel.yaml.error.ReusedAnchorWarning")
@pytest.mark.parametrize("seed", range(5))
def test_any_text_is_read_as_dvc_reads_it_or_refused_with_a_message(seed, tmp_path):
    dice = random.Random(seed)
    for _ in range(60):
        text = "key: " + "".join(dice.choices(PIECES, k=dice.randint(1, 12)))
        ours, theirs = as_we_do(text, tmp_path), as_dvc(text)
        # Where DVC sees no mapping (it takes an empty file for an empty one), we refuse.
        assert ours == theirs or (ours is None and not theirs.startswith("{'")), text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a: 1\na: 2\n", "line 2: a is given twice"),
        (b"a: {x: 1, x: 2}\n", "line 1: x is given twice"),
        (b"a: 1\nb:\n\t- 1\n", "line 3: a tab"),
        (b"a: 1\nb: \xfc\n", "line 2: byte 0xfc is not UTF-8"),
        ("a: 1\n".encode("utf-16"), "line 1: byte 0xff is not UTF-8"),
        (b"a: 1\n\nb: \x00\n", r"line 3: character U\+0000 is not allowed"),
        (b"a: [1\n", "not YAML"),
        (b"a: 1\n---\nb: 2\n", "line 2: not YAML: expected a single document .* another"),
        (b"a: 1\nb: !!int ten\n", "line 2: not YAML: not a valid value"),
        (b"a: 1\nb: 2020-13-45\n", "line 2: not YAML: not a valid value: month"),
        (b"a: " + b"9" * 5000, "line 1: not YAML: not a valid value"),
        (b"a: !!python/object/apply:os.system [ls]\n", "line 1: not YAML: .* constructor"),
        (b"[" * 1000, "nested too deeply"),
        (b"- 1\n", "must hold key: value lines, but holds a list"),
        (b"7\n", "must hold key: value lines, but holds a single value"),
        (b"", "must hold key: value lines, but holds nothing"),
        (b"# only a comment\n", "must hold key: value lines, but holds nothing"),
    ],
)
def test_a_file_that_is_no_mapping_is_named_with_the_line(tmp_path, content, words):
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=words) as caught:
        read_yaml(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("a: 1\n", encoding="utf-8-sig")
    assert read_yaml(path) == {"a": 1}


def test_a_folder_in_the_files_place_is_named(tmp_path):
    with pytest.raises(UserError, match="is a folder"):
        read_yaml(tmp_path)


def test_a_missing_file_says_where_to_be(tmp_path):
    with pytest.raises(UserError, match="run from the root of the repository"):
        read_yaml(tmp_path / "params.yaml")


def test_a_path_below_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("a: 1\n")
    with pytest.raises(UserError, match="cannot be read"):
        read_yaml(tmp_path / "file" / "params.yaml")


def test_what_is_written_has_dvcs_layout_and_comes_back(tmp_path):
    tree = {
        "a": {"b": [1, 2.5e-05, None]},
        "c": "on",
        "d": "12:30",
        "e": True,
        "f": "010",
        "g": {},
        "h": "1e3",
    }
    assert yaml_text(tree) == dumps_yaml(tree)
    assert parse_yaml(yaml_text(tree).encode(), tmp_path) == tree


@pytest.mark.parametrize("text", ["[[]]: 1", "? {a: 1}\n: 2", "a:\n  ? [[1], 2]\n  : 3"])
def test_a_key_that_is_a_list_of_lists_is_refused(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"params\.yaml: "):
        read_yaml(path)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_file_that_git_could_not_merge_is_called_that(end):
    lines = ["a: 1", "<<<<<<< HEAD", "b: 1", "=======", "b: 2", ">>>>>>> wave", ""]
    with pytest.raises(UserError, match=r"params\.yaml: line 2: git could not merge this file; .*--theirs"):
        parse_yaml(end.join(lines).encode(), Path("params.yaml"))


def test_text_that_looks_like_a_merge_is_text():
    assert parse_yaml(b"note: |\n  <<<<<<< HEAD\n  >>>>>>> wave\n", Path("x.yaml"))
    with pytest.raises(UserError, match="line 3: not YAML"):
        parse_yaml(b"a: 1\n<<<<<<< HEAD\nb: 1\n", Path("x.yaml"))
