"""Headers of picture files, read before anything is decoded: size, and whether values may have more than 8 bits.

Source: PNG, W3C second edition, 11.2.2; BMP, BITMAPINFOHEADER; TIFF 6.0, section 2; `jpeg` for JPEG; GIF89a, section
18; RFC 9649 (WebP), sections 2.5 to 2.7 and RFC 6386, 9.1; ITU-T T.800 (JPEG 2000), A.5.1 and I.4.
"""

from __future__ import annotations

import struct

from duskmatch.data import jpeg

PNG, PNG_END = b"\x89PNG\r\n\x1a\n", b"\0\0\0\0IEND\xaeB\x60\x82"
GIF = (b"GIF87a", b"GIF89a")
JP2 = (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")  # in boxes, and the codestream alone
TIFF = {b"II*\0": "<", b"MM\0*": ">"}
_MAX_ENTRIES = 4096
_WIDTH, _HEIGHT = 256, 257  # TIFF tags


def stored_size(data: bytes) -> tuple[int, int] | None:
    """(H, W) of a JPEG, PNG, BMP, TIFF, GIF, WebP or JPEG 2000 as stored; None if its header lacks it, and for other
    formats."""
    if data.startswith(jpeg.START):
        return jpeg.stored_size(data)
    if data.startswith(PNG) and len(data) >= 24:
        width, height = struct.unpack_from(">II", data, 16)
        return height, width
    if data.startswith(b"BM") and len(data) >= 26:
        width, height = struct.unpack_from("<ii", data, 18)
        return abs(height), abs(width)
    if data.startswith(GIF) and len(data) >= 10:
        width, height = struct.unpack_from("<HH", data, 6)
        return height, width
    if data.startswith(JP2):
        return _jp2_size(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp_size(data)
    return _tiff_size(data) if data[:4] in TIFF else None


def may_be_deep(data: bytes) -> bool:
    """True if it is a PNG of 16-bit grey, or a TIFF, which has to be decoded to know."""
    return data[:4] in TIFF or (data.startswith(PNG) and data[24:26] == b"\x10\0")


def _webp_size(data: bytes) -> tuple[int, int] | None:
    """(H, W) of a plain, a lossless or an extended file; the last two hold the sizes less 1."""
    kind, at = data[12:16], 20
    if len(data) < at + 10:
        return None
    if kind == b"VP8 " and data[at + 3 : at + 6] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, at + 6)
        return height & 0x3FFF, width & 0x3FFF
    if kind == b"VP8L":
        bits = int.from_bytes(data[at + 1 : at + 5], "little")
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[at + i : at + i + 3], "little") for i in (4, 7))
        return height + 1, width + 1
    return None


def _jp2_size(data: bytes) -> tuple[int, int] | None:
    """(H, W) of the codestream, which is the whole file or the box `jp2c`, after other boxes."""
    at = 0 if data.startswith(JP2[1]) else None
    box = 0
    for _ in range(_MAX_ENTRIES if at is None else 0):
        length, kind = int.from_bytes(data[box : box + 4], "big"), data[box + 4 : box + 8]
        head = 16 if length == 1 else 8  # 1: the length has 8 bytes of its own; 0: to the end of the file
        length = int.from_bytes(data[box + 8 : box + 16], "big") if length == 1 else length
        if kind == b"jp2c":
            at = box + head
            break
        if length < head:
            return None
        box += length
    if at is None or len(data) < at + 24 or data[at : at + 4] != JP2[1]:
        return None
    right, low, left, top = struct.unpack_from(">4I", data, at + 8)
    return low - top, right - left


def _tiff_size(data: bytes) -> tuple[int, int] | None:
    """(H, W) of the first picture; an entry holds tag, type (3: two bytes, 4: four), number of values, value."""
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
