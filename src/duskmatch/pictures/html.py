"""HTML elements that escape all text except markup made here, so that names from data cannot become markup."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import TypeAlias


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


Child: TypeAlias = "str | Html | Iterable[Child] | None"
LONG = 14  # letters of a column's heading that stay in one line
VOID = {"img", "meta", "link", "br", "wbr"}


def element(tag: str, *children: Child, **attributes: object) -> Html:
    """<tag attributes>children</tag>; plain text is escaped, None is nothing.

    `class_` and `for_` lose their underscore, other underscores become hyphens.
    """
    names = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items() if value is not None}
    opened = "".join(f' {name}="{html.escape(str(value))}"' for name, value in names.items())
    if tag in VOID:
        return Html(f"<{tag}{opened}>")
    return Html(f"<{tag}{opened}>{joined(children)}</{tag}>")


def joined(children: Child) -> Html:
    """The children as markup, concatenated."""
    if children is None:
        return Html("")
    if isinstance(children, Html):
        return children
    if isinstance(children, str):
        return Html(html.escape(children))
    return Html("".join(joined(child) for child in children))


def breakable(name: str) -> Html:
    """A name that may go on in the next line behind each plus: "ASAM+ADM+FRM-STIG" is wider than many columns."""
    first, *others = name.split("+")
    return joined([first, *(["+", element("wbr"), other] for other in others)])


def table(
    head: Sequence[Child], rows: Iterable[Iterable[Child]], *, caption: Child = None, sentences: bool = False
) -> Html:
    """A table whose first column names the row; wide ones scroll by themselves.

    With `sentences` cells are wrapped, and on narrow screens each row becomes a list of its cells with their headings.
    """
    labels = [name if sentences and isinstance(name, str) else None for name in head]
    body = [
        element(
            "tr",
            element("th", name, scope="row"),
            *(element("td", cell, data_label=label) for label, cell in zip(labels[1:], cells, strict=False)),
        )
        for name, *cells in rows
    ]
    return element(
        "div",
        element(
            "table",
            element("caption", caption) if caption else None,
            element("thead", element("tr", *(element("th", cell, scope="col", class_=_long(cell)) for cell in head))),
            element("tbody", *body),
        ),
        class_="scroll sentences" if sentences else "scroll",
        tabindex="0",
    )


def _long(head: Child) -> str | None:
    """The class of a heading that may go on in the next line where the table is wider than its place."""
    return "long" if isinstance(head, str) and len(head) > LONG else None
