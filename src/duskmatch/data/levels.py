"""Grey of more than 8 bits, as thermal cameras write it, reduced to 8 bits by one range for a whole video."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from duskmatch.data.decoding import Picture
from duskmatch.errors import DataError

Grey = npt.NDArray[Any]


@dataclass
class Levels:
    """The range of deep grey: `low` and all below becomes black, `high` and all above white; and the range seen.

    Without a range the values are divided to fit 8 bits, which leaves little contrast if a camera uses a small range.
    """

    chosen: tuple[float, float] | None = None
    bits: int = 8
    seen: tuple[float, float] | None = None
    n_pixels: int = 0
    n_outside: int = 0

    def picture(self, grey: Grey, bits: int, plain: Picture) -> Picture:
        """(h w 3) uint8 from (h w) deep grey; `plain` is the result if no range was chosen."""
        low, high = grey.min().item(), grey.max().item()
        self.bits = bits
        self.seen = (low, high) if self.seen is None else (min(low, self.seen[0]), max(high, self.seen[1]))
        if self.chosen is None:
            return plain
        self.n_pixels += grey.size
        self.n_outside += int(np.count_nonzero((grey < self.chosen[0]) | (grey > self.chosen[1])))
        return np.repeat(stretch(grey, *self.chosen)[..., None], 3, axis=2)

    def check(self, name: object) -> None:
        """Refuses a range if no picture had more than 8 bits."""
        if self.chosen is not None and self.seen is None:
            raise DataError(f"{name}: --levels needs grey of more than 8 bits; these pictures hold none; leave it out")

    def account(self) -> dict[str, Any] | None:
        """The depth and the range seen, of deep grey."""
        return None if self.seen is None else {"bits": self.bits, "seen": list(self.seen)}

    def hints(self) -> list[str]:
        """Remarks for the user about the range, if there was deep grey."""
        if self.seen is None:
            return []
        low, high = self.seen
        if self.chosen is None:
            text = f"{self.bits}-bit grey from {low:g} to {high:g} was cut to 8 bits as it is; if it comes out flat,"
            return [f"{text} spread it with --levels {low:g},{high:g}, the same for all videos of the camera"]
        share = self.n_outside / self.n_pixels
        text = f"{share:.0%} of the pixels lie outside --levels and became black or white; seen: {low:g} to {high:g}"
        return [text] if share >= 0.01 else []


def stretch(grey: Grey, low: float, high: float) -> Picture:
    """uint8: 0 at `low`, 255 at `high`, linear between."""
    spread = (grey.astype(np.float32) - low) * (255 / (high - low))
    return np.asarray(np.rint(np.clip(spread, 0, 255)), dtype=np.uint8)
