"""Pictures and HTML pages: ranked strips, training curves, the report, and the comparison of RUNs."""

from duskmatch.pictures.curves import curves, read_log
from duskmatch.pictures.report import write_report
from duskmatch.pictures.strips import ranked_strips

__all__ = ["curves", "ranked_strips", "read_log", "write_report"]
