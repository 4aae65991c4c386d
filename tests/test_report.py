"""Reports: one declaration of what is told, and the four ways in which it is shown."""

import dataclasses
import json
from html.parser import HTMLParser

import numpy as np
import pytest

from t1c.sdk import Facts, Report, Table, format_bytes, format_number
from t1c.terminal import print_report


@dataclasses.dataclass(frozen=True, repr=False)
class Animals(Report):
    """A report with a table, facts, a text, and names that would do harm."""

    names: tuple[str, ...]
    legs: np.ndarray
    weight: float = float("nan")

    def parts(self):
        rows = tuple((n, str(k)) for n, k in zip(self.names, self.legs, strict=True))
        total = ("all", str(self.legs.sum()))
        return [
            "In the house:",
            Table(("animal", "legs"), rows, "Animals", total, right=("legs",)),
            Facts((("weight", str(self.weight)),), "Other"),
        ]


REPORT = Animals(("cat", "<b>\x1b[31mspider"), np.array([4, 8]))


def test_text_is_aligned_and_harmless():
    assert str(REPORT).split("\n") == [
        "In the house:",
        "",
        "Animals",
        "animal             legs",
        "-----------------------",
        "cat                   4",
        "<b>\\x1b[31mspider     8",
        "-----------------------",
        "all                  12",
        "",
        "Other",
        "weight  nan",
    ]
    assert repr(REPORT) == str(REPORT)


def test_dictionary_is_json():
    assert json.loads(json.dumps(REPORT.to_dict(), allow_nan=False)) == {
        "names": ["cat", "<b>\x1b[31mspider"],
        "legs": [4, 8],
        "weight": "nan",
    }


def test_notebook_escapes_names():
    class Cells(HTMLParser):
        """The tags that a browser would see, and the text between them."""

        def __init__(self):
            super().__init__()
            self.tags, self.text = [], []

        def handle_starttag(self, tag, attrs):
            self.tags.append(tag)

        def handle_data(self, data):
            self.text.append(data)

    page = Cells()
    page.feed(REPORT._repr_html_())
    assert "b" not in page.tags
    assert page.tags.count("table") == 2
    assert "<b>\x1b[31mspider" in page.text
    assert "12" in page.text


def test_terminal_shows_the_same(capsys):
    print_report(REPORT)
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    for word in ("In the house:", "Animals", "cat", "<b>", "12", "Other", "nan"):
        assert word in shown


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1 k"),
        (6102, "6.1 k"),
        (999_999, "1 M"),
        (1_234_567, "1.23 M"),
        (-2500, "-2.5 k"),
        (0.25, "0.25"),
        (float("inf"), "inf"),
    ],
)
def test_numbers(number, text):
    assert format_number(number) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (24408, "23.8 KiB"),
        (1_048_575, "1 MiB"),
        (3 * 2**30, "3 GiB"),
    ],
)
def test_bytes(count, text):
    assert format_bytes(count) == text
