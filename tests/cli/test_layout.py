"""Text within the terminal's width, and what each command prints at 80 columns."""

from __future__ import annotations

import pytest

from edaformer.cli import layout

WORDS = "sky, building, pole, road, pavement, tree, sign symbol, fence, car, pedestrian, bicyclist"


@pytest.fixture(autouse=True)
def width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")


@pytest.mark.parametrize(("said", "got"), [("120", 120), ("5", 40), ("", 80), ("no", 80)])
def test_the_width_is_the_terminal_s(said: str, got: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", said)
    assert layout.columns() == got


def test_a_long_value_goes_on_below_itself() -> None:
    first, *others = layout.pairs([("classes", WORDS), ("ISR", "base")])
    assert first == "  classes  sky, building, pole, road, pavement, tree, sign"
    assert others == ["           symbol, fence, car, pedestrian, bicyclist", "  ISR      base"]


def test_a_path_or_a_hash_stays_whole() -> None:
    assert list(layout.pairs([("SHA-256", "a" * 64)])) == ["  SHA-256  " + "a" * 64]
    path = "/a-folder/" + "b-c" * 30
    assert list(layout.line(f"wrote {path}")) == ["wrote", f"  {path}"]


def test_spaces_stay_where_nothing_is_wrapped() -> None:
    assert list(layout.line("two  spaces")) == ["two  spaces"]
    assert list(layout.line("  " + "word " * 14)) == [
        "  " + "word " * 10 + "word",
        "    word word word",
    ]


def test_a_table_that_fits_is_one() -> None:
    made = list(
        layout.table(("class", "IoU", ""), [("road", "9.50", "best"), ("tree", "10.25", "")])
    )
    assert made == [
        "class    IoU",
        "-----  -----  ----",
        "road    9.50  best",
        "tree   10.25",
    ]


def test_names_of_a_wide_table_go_on_below_themselves() -> None:
    rows = [("a name that is of many words", *["1234.56"] * 5)]
    made = list(layout.table(("", *["figure"] * 5), rows))
    assert max(map(len, made)) <= 60
    assert made[2].startswith("a name that")
    assert made[2].endswith("1234.56")
    assert made[3] == "of many words"


def test_a_table_that_is_too_wide_goes_on_below() -> None:
    heads = ("", *(f"figure {at}" for at in range(9)))
    rows = [(f"row{at}", *(f"{at}.{column}" for column in range(9))) for at in range(2)]
    made = list(layout.table(heads, rows))
    assert max(map(len, made)) <= 60
    assert made.count("") == 1
    assert sum(line.startswith("row0") for line in made) == 2
    told = " ".join(made)
    for head in heads:
        assert head in told
    for row in rows:
        for cell in row:
            assert cell in told


def test_a_table_without_rows_is_its_heads() -> None:
    assert list(layout.table(("class", "IoU"), [])) == ["class  IoU", "-----  ---"]
