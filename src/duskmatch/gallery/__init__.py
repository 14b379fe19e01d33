"""The gallery: people kept safely, searched exactly and fast, linked across cameras.

Reading order, what lasts: entries, schema, place, clean, connection, reading, erasure, writing, making, store; what is
searched: facts, coding, chunks, kernels, products, candidates, exact, search, index; chances: strangers, calibrated,
fitting, population, answers, apart; who is who: linking, seen, numbering, people, decided, decisions, reasons, ratio,
relink, linked, carry; all: model, adding, current, asking, own, watch, verify, copies, retention, person, reembed,
stats, gallery.
"""

from duskmatch.gallery.entries import Entry
from duskmatch.gallery.gallery import Gallery, Hits

__all__ = ["Entry", "Gallery", "Hits"]
