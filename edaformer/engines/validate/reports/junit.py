"""A validation's gates as JUnit XML, the form that CI systems read."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from edaformer.engines.validate.validation import GateResult, Validation
from edaformer.printable import printable

_SUITE = "edaformer-validate"


def junit_xml(result: Validation) -> bytes:
    """One suite; a case for the labels, one for each gate; the figures are its properties."""
    failed = str(len(result.failures))
    counts = {"tests": str(1 + len(result.gates)), "failures": failed, "errors": "0"}
    root = ET.Element("testsuites", {"name": _SUITE, **counts})
    suite = ET.SubElement(root, "testsuite", {"name": result.data, **counts})
    properties = ET.SubElement(suite, "properties")
    for name, value in _figures(result).items():
        ET.SubElement(properties, "property", {"name": name, "value": value})
    _add_labels(suite, result)
    for gate in result.gates:
        _add_case(suite, gate)
    for element in root.iter():  # XML has no control characters, not even escaped
        element.attrib = {name: printable(value) for name, value in element.attrib.items()}
        element.text = element.text and printable(element.text)
    ET.indent(root)
    made: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return made


def _add_labels(suite: ET.Element, result: Validation) -> None:
    case = ET.SubElement(suite, "testcase", {"name": "labels", "classname": _SUITE})
    if result.refused is not None:
        failure = {"message": result.refused.refusal, "type": "labels"}
        ET.SubElement(case, "failure", failure).text = result.refused.text
    elif result.finding is not None:
        out = ET.SubElement(case, "system-out")
        out.text = f"overruled with --trust-labels: {result.finding.text}"


def _add_case(suite: ET.Element, gate: GateResult) -> None:
    case = ET.SubElement(suite, "testcase", {"name": gate.name, "classname": _SUITE})
    if gate.failure is not None:
        failure = ET.SubElement(case, "failure", {"message": gate.failure, "type": "gate"})
        failure.text = f"{gate.name}: measured {gate.measured!r}, limit {gate.limit!r}"


def _figures(result: Validation) -> dict[str, str]:
    figures: dict[str, object] = {
        "images": result.images,
        "isr": result.manifest.isr,
        "artifact": result.candidate.description,
        "protocol": result.protocol,
        "miou": result.candidate.score.miou,
        "delta_isr": result.delta_isr,
        "delta_precision": result.delta_precision,
        "agreement": result.agreement.overall,
        "agreement_worst": result.agreement.worst,
        "trust_labels": result.trusted,
    }
    return {name: str(value) for name, value in figures.items()}
