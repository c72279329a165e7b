"""Old runs against new ones: matched, compared, and as Markdown, JSON or JUnit XML."""

from harness_circuits.report.comparison.compare import Comparison, Row, compare
from harness_circuits.report.comparison.text import comparison_text
from harness_circuits.report.comparison.thresholds import Thresholds, read_thresholds

__all__ = ["Comparison", "Row", "Thresholds", "compare", "comparison_text", "read_thresholds"]
