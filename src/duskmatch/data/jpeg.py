"""The size in the header of a JPEG, and the factor by which the JPEG's own transform may shrink it.

Source: ITU-T T.81, B.1.1 (markers) and B.2.2 (the frame header); libjpeg shrinks by 2, 4 or 8 and rounds up.
"""

from __future__ import annotations

START = b"\xff\xd8\xff"
START_OF_SCAN, END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"

_FRAME_HEADERS = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # Huffman tables, reserved, arithmetic conditioning
_SEGMENTS = 4096  # before the frame header, at most: a hostile file may hold millions


def is_whole(data: bytes) -> bool:
    """True if the last end marker comes after the last scan: not cut off, and no hole of zeros at the end."""
    end = data.rfind(END_OF_IMAGE)
    return end >= 0 and data.find(START_OF_SCAN, end) < 0


def stored_size(data: bytes) -> tuple[int, int] | None:
    """(H, W) as stored, before any turning by EXIF; None if no frame header is found in front of the picture."""
    at = len(START) - 1
    for _ in range(_SEGMENTS):
        if data[at : at + 2] == b"\xff\xff":  # filling
            at += 1
            continue
        marker, length = data[at : at + 2], int.from_bytes(data[at + 2 : at + 4], "big")
        if len(marker) < 2 or marker[0] != 0xFF or length < 2:
            return None
        if marker[1] in _FRAME_HEADERS and at + 9 <= len(data):
            return int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 7 : at + 9], "big")
        if marker == START_OF_SCAN:
            return None
        at += 2 + length
    return None


def reduction(data: bytes, at_least: tuple[int, int]) -> int:
    """The largest of 8, 4, 2 by which a JPEG can be shrunk and still be `at_least` (H, W) as stored; else 1."""
    size = stored_size(data) if data.startswith(START) else None
    if size is None:
        return 1
    (h, w), (height, width) = size, at_least
    return next((n for n in (8, 4, 2) if -(-h // n) >= height and -(-w // n) >= width), 1)
