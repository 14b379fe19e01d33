"""What the headers of picture files say before anything is decoded: size, and whether values may be deeper than 8 bits.

Source: PNG, W3C second edition, 11.2.2; BMP, BITMAPINFOHEADER; TIFF 6.0, section 2; `jpeg` for JPEG.
"""

from __future__ import annotations

import struct

from duskmatch.data import jpeg

PNG, PNG_END = b"\x89PNG\r\n\x1a\n", b"\0\0\0\0IEND\xaeB\x60\x82"
TIFF = {b"II*\0": "<", b"MM\0*": ">"}
_MAX_ENTRIES = 4096
_WIDTH, _HEIGHT = 256, 257  # TIFF tags


def stored_size(data: bytes) -> tuple[int, int] | None:
    """(H, W) of a JPEG, PNG, BMP or TIFF as stored; None where its header does not say, or of other formats."""
    if data.startswith(jpeg.START):
        return jpeg.stored_size(data)
    if data.startswith(PNG) and len(data) >= 24:
        width, height = struct.unpack_from(">II", data, 16)
        return height, width
    if data.startswith(b"BM") and len(data) >= 26:
        width, height = struct.unpack_from("<ii", data, 18)
        return abs(height), abs(width)
    return _tiff_size(data) if data[:4] in TIFF else None


def may_be_deep(data: bytes) -> bool:
    """Whether it is a PNG of 16-bit grey, or a TIFF, which has to be decoded to know."""
    return data[:4] in TIFF or (data.startswith(PNG) and data[24:26] == b"\x10\0")


def _tiff_size(data: bytes) -> tuple[int, int] | None:
    """Of the first picture; an entry holds tag, type (3: two bytes, 4: four), number of values, value."""
    order = TIFF[data[:4]]
    found: dict[int, int] = {}
    try:
        (start,) = struct.unpack_from(f"{order}I", data, 4)
        (n,) = struct.unpack_from(f"{order}H", data, start)
        for at in range(start + 2, start + 2 + 12 * min(n, _MAX_ENTRIES), 12):
            tag, kind = struct.unpack_from(f"{order}HH", data, at)
            if tag in (_WIDTH, _HEIGHT):
                (found[tag],) = struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", data, at + 8)
    except struct.error:
        return None
    return (found[_HEIGHT], found[_WIDTH]) if len(found) == 2 else None
