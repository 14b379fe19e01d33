"""Keeping people's numbers when they are linked anew: each goes to the group with most of its members."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence


def kept_numbers(person: Sequence[int], before: Sequence[int | None], named: Collection[int]) -> dict[int, int]:
    """New person -> the number it had before; new people without one are left out.

    person, before: of each entry the new person and the number before, None where it had none. People with a name
    choose first, so that no name is lost to a larger person without one; then those who share most members; equal ones
    by number, then by the new person.
    """
    shared = Counter((old, new) for old, new in zip(before, person, strict=True) if old is not None)
    wishes = sorted(shared.items(), key=lambda item: (item[0][0] not in named, -item[1], item[0]))
    found: dict[int, int] = {}
    taken: set[int] = set()
    for (old, new), _ in wishes:
        if new not in found and old not in taken:
            found[new] = old
            taken.add(old)
    return found
