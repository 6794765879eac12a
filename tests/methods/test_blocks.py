from typing import Any

import pytest

from icsd import methods
from icsd.errors import UserError
from icsd.methods import build_method, parse_block
from icsd.methods.aicsd import AICSD
from icsd.methods.base import Method
from icsd.methods.icsd import ICSD
from icsd.methods.kd import KD

BLOCK: dict[str, Any] = {
    "alw": True,
    "weights": {"icsd": 0.1, "kd": 1},
    "variant": "paper",
    "temperature": 2,
    "ignored": "exclude",
    "resolution": "logits",
    "rows": "raw",
}


def build(name: str, block: dict[str, Any]) -> Method | None:
    return build_method(
        name, block, student_channels={"aspp": 8}, teacher_channels={"aspp": 16}, num_classes=3
    )


def test_a_block_becomes_its_parts() -> None:
    block = parse_block("aicsd", BLOCK)
    assert block.alw
    assert block.weights == {"icsd": 0.1, "kd": 1.0}
    assert block.options["temperature"] == 2.0
    assert block.options.keys() == BLOCK.keys() - {"alw", "weights"}


def test_a_block_becomes_its_method() -> None:
    method = build("aicsd", {**BLOCK, "variant": "released", "rows": "l2"})
    assert isinstance(method, AICSD)
    assert (method.icsd.variant, method.icsd.rows, method.kd.temperature) == ("released", "l2", 2.0)


def test_options_have_defaults() -> None:
    method = build("kd", {"alw": False, "weights": {"kd": 1.0}})
    assert isinstance(method, KD)
    assert method.temperature == 1.0


def test_the_baseline_has_no_method() -> None:
    assert build("none", {"alw": False, "weights": {}}) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"temprature": 1.0},
            r"^methods\.aicsd\.temprature: unknown key; did you mean 'temperature'\? Allowed: alw, ",
        ),
        ({"temperature": 0.0}, r"^methods\.aicsd\.temperature: .*greater than or equal to 0.001, got 0\.0$"),
        ({"temperature": "1"}, r"^methods\.aicsd\.temperature: .*number, got '1'; a number has no quotes.*$"),
        ({"temperature": True}, r"^methods\.aicsd\.temperature: .*number, got True$"),
        ({"temperature": float("inf")}, r"^methods\.aicsd\.temperature: .*finite number"),
        (
            {"variant": "papre"},
            r"^methods\.aicsd\.variant: 'papre' is not a choice; did you mean 'paper'\? .*released",
        ),
        ({"rows": None}, r"^methods\.aicsd\.rows: None is not a choice; Allowed: raw, l2$"),
        ({"alw": "yes"}, r"^methods\.aicsd\.alw: .*boolean, got 'yes'; write true or false$"),
        ({"weights": {"icsd": 0.1}}, r"^methods\.aicsd\.weights\.kd: missing; there must be: icsd, kd$"),
        (
            {"weights": {"icsd": -1.0, "kd": 1.0}},
            r"^methods\.aicsd\.weights\.icsd: .*greater than or equal to 0, got",
        ),
        (
            {"weights": {"icsd": 0.1, "kd": 1.0, "icds": 1.0}},
            r"^methods\.aicsd\.weights\.icds: unknown key; did you mean 'icsd'\? Allowed: icsd, kd$",
        ),
        ({"num_classes": 3}, r"^methods\.aicsd\.num_classes: unknown key"),
    ],
)
def test_a_mistake_is_named_with_its_path(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_block("aicsd", {**BLOCK, **change})


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(UserError) as caught:
        parse_block("aicsd", {**BLOCK, "variant": "x", "rows": "y"})
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == [
        "methods.aicsd.variant",
        "methods.aicsd.rows",
    ]


def test_the_baseline_takes_no_weights() -> None:
    with pytest.raises(UserError, match=r"methods\.none\.weights\.kd: unknown key"):
        parse_block("none", {"alw": False, "weights": {"kd": 1.0}})


def test_a_weight_kd_joins_pixel_wise_kd_to_a_method_without_one() -> None:
    block = {"alw": False, "weights": {"icsd": 0.1, "kd": 2.0}}
    assert parse_block("icsd", block).weights == {"icsd": 0.1, "kd": 2.0}
    assert parse_block("icsd", {**block, "weights": {"icsd": 0.1}}).weights == {"icsd": 0.1}
    joined = build("icsd", block)
    assert joined is not None
    assert (joined.taps, joined.terms) == (("logits",), ("icsd", "kd"))
    assert isinstance(build("aicsd", BLOCK), AICSD)  # which has the term itself


def test_a_block_with_a_name_of_its_own_says_its_method() -> None:
    block = {"method": "icsd", "alw": False, "weights": {"icsd": 0.1}, "rows": "l2"}
    built = build("icsd_rows", block)
    assert isinstance(built, ICSD)
    assert built.rows == "l2"
    with pytest.raises(UserError, match=r"methods\.icsd_rows: .* says `method: <one of these>`"):
        parse_block("icsd_rows", {key: value for key, value in block.items() if key != "method"})
    with pytest.raises(UserError, match=r"methods\.icsd_rows\.row: unknown key"):
        parse_block("icsd_rows", {**block, "row": "l2"})


def test_a_schedule_of_its_own_is_adaptive() -> None:
    assert parse_block("aicsd", {**BLOCK, "alw": {"decay": "cosine"}}).alw is True


def test_an_unknown_method_is_named() -> None:
    with pytest.raises(UserError, match=r"methods\.acisd: there is no such method; did you mean 'aicsd'\?"):
        build("acisd", BLOCK)


class Adapted(Method):
    taps: tuple[str, ...] = ("aspp",)
    terms: tuple[str, ...] = ("adapted",)

    def __init__(self, *, teacher_channels: dict[str, int], num_classes: int, depth: int = 1) -> None:
        super().__init__()
        self.arguments = (teacher_channels, num_classes, depth)


def test_a_constructor_gets_what_it_asks_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(methods.METHODS, "adapted", Adapted)
    method = build("adapted", {"alw": False, "weights": {"adapted": 1.0}, "depth": 4})
    assert isinstance(method, Adapted)
    assert method.arguments == ({"aspp": 16}, 3, 4)


def test_a_block_whose_method_does_not_exist_is_told_by_the_key_that_names_it() -> None:
    with pytest.raises(UserError, match=r"^methods\.mine\.method: there is no method 'icsdd'; did you"):
        parse_block("mine", {"method": "icsdd", "alw": False, "weights": {}})
    with pytest.raises(UserError, match=r"^methods\.icsdd: there is no such method; did you mean"):
        parse_block("icsdd", {"alw": False, "weights": {}})


def test_a_whole_number_may_be_a_million_and_no_more() -> None:
    block = {"alw": False, "weights": {"cirkd_batch": 1, "cirkd_pixel": 1, "cirkd_region": 1, "kd": 1}}
    assert parse_block("cirkd", {**block, "pixel_queue": 1_000_000}).options["pixel_queue"] == 1_000_000
    with pytest.raises(UserError, match=r"methods\.cirkd\.pixel_queue: must be at most 1,000,000"):
        parse_block("cirkd", {**block, "pixel_queue": 1_000_001})
