"""The page of ``ezcaptcha report``, read as text: a browser is not needed for that."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ezcaptcha_async.cli.reporting.collecting import collected
from ezcaptcha_async.cli.reporting.figures import figures
from ezcaptcha_async.cli.reporting.page import page
from tests.cli.commands import contrast
from tests.cli.results_files import HOSTILE, NOON, failed, lines, many, solved

VOID = {"meta", "wbr"}


class Reader(HTMLParser):
    """Reads a page, and holds it to be well formed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep an element."""
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Check that it is the innermost one."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep a text, and in what it stands."""
        self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        """Return the attributes of all such elements."""
        return [
            found
            for name, found in self.elements
            if name == tag and attributes.items() <= found.items()
        ]

    @property
    def text(self) -> str:
        """All that is read, as one line."""
        return " ".join(text for where, text in self.texts if where != "style")


def render(rows: list[dict[str, object]], source: str = "results.jsonl") -> str:
    """Return the page of some rows."""
    return page(source, figures(collected(lines(rows).splitlines())))


@pytest.fixture(scope="module")
def text() -> str:
    """Return a page with everything in it."""
    return render(many(), f"{HOSTILE}.jsonl")


@pytest.fixture(scope="module")
def reader(text: str) -> Reader:
    """Return the same, read."""
    return Reader(text)


def test_it_needs_nothing_else(text: str, reader: Reader) -> None:
    """Opened without a network, or years later, something would be missing."""
    assert not {"script", "link", "img", "iframe", "object", "image", "use", "a"} & {
        tag for tag, _ in reader.elements
    }
    assert not re.search(r"https?:|url\(|@import|//\w", text)
    [policy] = reader.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'"


def test_whatever_a_file_says_stays_text(text: str, reader: Reader) -> None:
    """A type, an error or a file name could become a script, or break an attribute."""
    assert HOSTILE not in text
    assert "<b>" not in text
    for what in (f"{HOSTILE}.jsonl", "BOLD</b>", f"for example: {HOSTILE} & more"):
        assert what in "".join(part for _, part in reader.texts)
    names = {name for _, attributes in reader.elements for name in attributes}
    assert not [name for name in names if name.startswith("on")]
    labels = [svg["aria-label"] for svg in reader.all("svg", role="img")]
    assert any(HOSTILE in str(label) for label in labels)
    name = "\" onload='alert(1)' x=\""
    reader = Reader(render([solved(1, task_type=name)]))
    labels = [str(svg["aria-label"]) for svg in reader.all("svg", role="img")]
    assert any(name in label for label in labels)
    assert not any("onload" in attributes for _, attributes in reader.elements)


def test_every_plot_has_words_and_a_table(reader: Reader) -> None:
    """Who cannot see a plot would learn nothing of it."""
    plots = reader.all("svg", role="img")
    assert len(plots) == 8
    assert all(plot["aria-label"] for plot in plots)
    assert len(reader.all("table")) == 8
    assert len(reader.all("caption")) == 8
    assert len(reader.all("details")) == 4
    assert {item.get("scope") for item in reader.all("th")} == {"col", "row"}
    [html] = reader.all("html")
    assert html["lang"] == "en"
    assert len(reader.all("h1")) == 1
    for words in ("380 of 400", "20 may be charged", "400 rows in 12 min", "all types"):
        assert words in reader.text


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_colours_can_be_told_from_the_ground(scheme: int, text: str) -> None:
    """Somebody with weak eyes, or in the sun, could not read it (WCAG 2.2, 1.4.3 and 1.4.11)."""
    blocks = re.findall(r":root \{(.*?)\}", text, flags=re.DOTALL)
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", blocks[scheme]))
    for name, least in {"ink": 7.0, "soft": 4.5, "good": 3.0, "bad": 3.0, "mark": 7.0}.items():
        assert contrast(colours["ground"], colours[name]) >= least, name


def test_pages_of_little() -> None:
    """Looking too soon, or at rows of another program, would end in a traceback."""
    reader = Reader(render([]))
    assert "No row is finished." in reader.text
    assert reader.all("svg") == []
    # The report of a batch that failed altogether is wanted most.
    reader = Reader(render([failed(1), failed(2, at=NOON + 5)]))
    assert "0 of 2" in reader.text
    assert "ERROR_ CAPTCHA_ UNSOLVABLE" in reader.text
    assert len(reader.all("svg", role="img")) == 1
    # Rows of another program, or of a later version.
    reader = Reader(render([{"row": 1, "status": "solved"}, {"status": "failed"}]))
    assert "unknown type" in reader.text
    assert "unknown error" in reader.text
    assert reader.text.count("not known") == 3
    assert reader.all("svg", role="img") == []
    # A scale from zero to zero.
    reader = Reader(render([solved(1, 0.0)]))
    assert "0.0 s" in reader.text
    # A median of two would be drawn as if it said something.
    reader = Reader(render([solved(1), solved(2)]))
    [label] = [
        str(svg["aria-label"])
        for svg in reader.all("svg", role="img")
        if "over time, a dot" in str(svg["aria-label"])
    ]
    assert "median" not in label


NUMBERS = st.one_of(st.floats(), st.integers(), st.floats(0, 400), st.none())
TIMES = st.one_of(NUMBERS, st.floats(NOON, NOON + 1e4), st.floats(0, 3e10))


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "status": st.sampled_from(["solved", "failed"]),
                "row": st.integers(0, 5),
                "final": st.booleans(),
                "finished_at": TIMES,
                "expires_at": TIMES,
                "receipt": st.fixed_dictionaries(
                    {
                        "task_type": st.text(max_size=6),
                        "waited": NUMBERS,
                        "polls": NUMBERS,
                        "points": NUMBERS,
                        "ready_at": TIMES,
                        "processing_at": TIMES,
                    }
                ),
                "error": st.dictionaries(
                    st.sampled_from(["kind", "code", "message", "may_be_charged"]),
                    st.one_of(st.text(max_size=6), st.booleans()),
                ),
            }
        ),
        max_size=6,
    )
)
def test_whatever_numbers_there_are_the_page_is_well_formed(rows: list[dict[str, object]]) -> None:
    """One absurd row would cost the user the report of all others."""
    for _, attributes in Reader(render(rows)).elements:
        drawn = " ".join(str(attributes.get(name)) for name in ("d", "x", "y", "height", "style"))
        assert "nan" not in drawn
        assert "inf" not in drawn


def test_tokens_far_outside_are_told_of() -> None:
    """One token that took for ever would squeeze all others into one bar."""
    waits = [*(10.0 + number / 10 for number in range(100)), 290.0]
    rows = [solved(row, waited, at=NOON + row) for row, waited in enumerate(waits)]
    stale = solved(500, at=NOON)
    stale["expires_at"] = NOON - 1_000
    reader = Reader(render([*rows, stale]))
    assert "or more" in reader.text
    assert "The first bar is less than" in reader.text
    assert "What took longer is at the upper edge." in reader.text


def test_much_fits_the_page() -> None:
    """Fifty plots would bury the rest of the page, or a million points be written over one."""
    rows = [solved(number, task_type=f"Type{number:02}") for number in range(12)]
    reader = Reader(render(rows))
    assert "4 more types in the table." in reader.text
    assert len(reader.all("svg", role="img")) == 8 + 1 + 1 + 1 + 2
    rows = [solved(row, at=NOON + row, points=150_000.0) for row in range(20)]
    assert ">3 M<" in render(rows)
    assert ">150 k<" in render(rows[:1])
