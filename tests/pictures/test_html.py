"""Nothing but what was made as markup is markup."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from duskmatch.pictures.html import Html, breakable, element, joined, table


@given(st.text(), st.text())
def test_text_and_attributes_are_escaped(text, value):
    import html
    from html.parser import HTMLParser

    seen = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            seen.append((tag, attrs))

    made = element("p", text, title=value)
    assert made == f'<p title="{html.escape(value)}">{html.escape(text)}</p>'
    Reader().feed(made)
    assert [tag for tag, _ in seen] == ["p"]
    assert [name for _, attrs in seen for name, _ in attrs] == ["title"]


def test_markup_is_kept_and_lists_are_joined():
    inner = element("b", "<")
    assert joined(["a&", [inner, None], Html("<br>")]) == "a&amp;<b>&lt;</b><br>"
    assert element("img", src="x", alt='"') == '<img src="x" alt="&quot;">'
    assert element("li", class_="x", aria_hidden="true", id=None) == '<li class="x" aria-hidden="true"></li>'


def test_tables_name_their_rows():
    made = table(["", "k"], [["<a>", "1"]], caption="c")
    assert '<th scope="row">&lt;a&gt;</th><td>1</td>' in made and "<caption>c</caption>" in made


def test_a_long_name_may_be_broken_behind_each_plus_and_a_long_heading_at_its_blanks() -> None:
    assert breakable("A+<B>+C") == "A+<wbr>&lt;B&gt;+<wbr>C" and breakable("plain") == "plain"
    drawn = table(["row", "rank-1", "M parameters (at test)"], [["a", "1", "2"]])
    assert '<th scope="col" class="long">M parameters (at test)</th>' in drawn and drawn.count("long") == 1
