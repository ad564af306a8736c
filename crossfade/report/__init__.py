"""The comparison of a pair: tables, figures and one page."""

from crossfade.report.compare import compare
from crossfade.report.results import Comparison, read_results
from crossfade.report.tables import print_table

__all__ = ["Comparison", "compare", "print_table", "read_results"]
