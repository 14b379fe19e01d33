"""Ranked strips, curves, the report, and RUNs side by side: what a person looks at."""

from duskmatch.pictures.curves import curves, read_log
from duskmatch.pictures.report import write_report
from duskmatch.pictures.strips import ranked_strips

__all__ = ["curves", "ranked_strips", "read_log", "write_report"]
