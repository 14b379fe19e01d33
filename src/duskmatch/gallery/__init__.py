"""The gallery: people kept safely, searched exactly and fast.

Reading order: entries, schema, place, connection, reading, writing, erasure, store; model, adding, current, asking,
own, watch, gallery.
"""

from duskmatch.gallery.entries import Entry
from duskmatch.gallery.gallery import Gallery, Hits

__all__ = ["Entry", "Gallery", "Hits"]
