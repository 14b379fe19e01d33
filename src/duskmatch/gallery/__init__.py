"""The gallery: people kept safely, searched exactly and fast, with probabilities, linked across cameras.

`store/` keeps, `search/` finds, `probability/` says what a similarity means, `linking/` who is who; the modules beside
them join all: adding, current, asking, own, watch, verify, copies, retention, person, reembed, stats, gallery.
"""

from duskmatch.gallery.gallery import Gallery, Hits
from duskmatch.gallery.store.entries import Entry

__all__ = ["Entry", "Gallery", "Hits"]
