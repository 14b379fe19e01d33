"""HTML in which every text is escaped unless it was made here: names from data cannot become markup."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import TypeAlias


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


Child: TypeAlias = "str | Html | Iterable[Child] | None"
VOID = {"img", "meta", "link", "br"}


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
    """The children one after the other."""
    if children is None:
        return Html("")
    if isinstance(children, Html):
        return children
    if isinstance(children, str):
        return Html(html.escape(children))
    return Html("".join(joined(child) for child in children))


def table(head: Iterable[Child], rows: Iterable[Iterable[Child]], *, caption: Child = None) -> Html:
    """A table whose first column names the row; wide ones scroll by themselves."""
    body = [
        element("tr", *(element("td" if i else "th", cell, scope=None if i else "row") for i, cell in enumerate(row)))
        for row in rows
    ]
    return element(
        "div",
        element(
            "table",
            element("caption", caption) if caption else None,
            element("thead", element("tr", *(element("th", cell, scope="col") for cell in head))),
            element("tbody", *body),
        ),
        class_="scroll",
        tabindex="0",
    )
