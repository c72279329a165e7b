"""A comparison as JUnit XML, which CI systems show as tests."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from harness_circuits.report.comparison.compare import Comparison
from harness_circuits.report.markdown import interval_text, p_text

SUITE = "harness-circuits compare"


def comparison_junit(comparison: Comparison) -> str:
    """One test per row; a number that got worse is a failure, a run that has no rows an error."""
    worse, lost = comparison.with_verdict("worse"), comparison.not_compared
    counts = {
        "tests": len(comparison.rows) + len(lost),
        "failures": len(worse),
        "errors": len(lost),
    }
    texts = {name: str(count) for name, count in counts.items()}
    root = ElementTree.Element("testsuites", texts)
    suite = ElementTree.SubElement(root, "testsuite", {"name": SUITE, **texts})
    for row in comparison.rows:
        names = {"classname": f"{row.model}.{row.task}", "name": f"{row.method}: {row.metric}"}
        case = ElementTree.SubElement(suite, "testcase", _allowed(names))
        text = (
            f"{row.old:.3f} -> {row.new:.3f}, change {interval_text(row.difference.estimate, '+')}, "
            f"adjusted p {p_text(row.adjusted_p)}, {row.verdict}"
        )
        if row.verdict == "worse":
            ElementTree.SubElement(case, "failure", {"message": text})
        else:
            ElementTree.SubElement(case, "system-out").text = text
    for line in lost:
        case = ElementTree.SubElement(
            suite, "testcase", _allowed({"classname": SUITE, "name": line})
        )
        ElementTree.SubElement(case, "error", {"message": "cannot be compared"})
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _allowed(names: dict[str, str]) -> dict[str, str]:
    """Without the characters that XML cannot hold, even escaped."""
    return {
        key: re.sub(r"[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", text)
        for key, text in names.items()
    }
