"""The package for Salesforce admins, checked as far as that goes without an organisation."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import pytest
import simple_salesforce

PACKAGE = Path(__file__).parents[2] / "infra/salesforce"
METADATA = "{http://soap.sforce.com/2006/04/metadata}"
XSD = "{http://www.w3.org/2001/XMLSchema}"
FILES = sorted(PACKAGE.glob("*/main/default/**/*-meta.xml"))
FOLDERS = {
    "CustomField": ("fields", "field"),
    "Workflow": ("workflows", "workflow"),
    "Flow": ("flows", "flow"),
    "PermissionSet": ("permissionsets", "permissionset"),
    "ExternalClientApplication": ("externalClientApps", "eca"),
    "ExtlClntAppOauthSettings": ("extlClntAppOauthSettings", "ecaOauth"),
    "ExtlClntAppOauthConfigurablePolicies": ("extlClntAppOauthPolicies", "ecaOauthPlcy"),
    "ExtlClntAppConfigurablePolicies": ("extlClntAppPolicies", "ecaPlcy"),
}


@cache
def described() -> tuple[dict[str, ElementTree.Element], dict[str, set[str]]]:
    """Salesforce's own description of its metadata: complex types, and the values of enumerations."""
    wsdl = ElementTree.parse(Path(simple_salesforce.__file__).parent / "metadata.wsdl")
    types = {each.get("name", ""): each for each in wsdl.iter(f"{XSD}complexType")}
    values = {
        each.get("name", ""): {value.get("value", "") for value in each.iter(f"{XSD}enumeration")}
        for each in wsdl.iter(f"{XSD}simpleType")
    }
    return types, values


def fields(name: str) -> dict[str, tuple[str, bool]]:
    """Element name to its type and whether it must be there, those of the base types first."""
    types, _ = described()
    found: dict[str, tuple[str, bool]] = {}
    for extension in types[name].iter(f"{XSD}extension"):
        found |= fields(extension.get("base", "").removeprefix("tns:"))
    for element in types[name].iter(f"{XSD}element"):
        needed = element.get("minOccurs") != "0"
        found[element.get("name", "")] = element.get("type", "").removeprefix("tns:"), needed
    return found


def faults(element: ElementTree.Element, name: str, path: str) -> Iterator[str]:
    types, values = described()
    known = fields(name)
    present = {child.tag.removeprefix(METADATA) for child in element}
    yield from (f"{path}: {each} is missing" for each, (_, needed) in known.items() if needed and each not in present)
    for child in element:
        tag = child.tag.removeprefix(METADATA)
        if tag not in known:
            yield f"{path}/{tag}: no such element of {name}"
            continue
        kind, text = known[tag][0], (child.text or "").strip()
        if kind in types:
            yield from faults(child, kind, f"{path}/{tag}")
        elif kind in values and text not in values[kind]:
            yield f"{path}/{tag}: {text} is none of {sorted(values[kind])}"
        elif kind == "xsd:boolean" and text not in ("true", "false"):
            yield f"{path}/{tag}: {text} is neither true nor false"
        elif kind == "xsd:int" and not text.isdigit():
            yield f"{path}/{tag}: {text} is no number"


def test_every_kind_of_component_is_there() -> None:
    assert {ElementTree.parse(file).getroot().tag.removeprefix(METADATA) for file in FILES} == set(FOLDERS)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_component_is_as_salesforce_describes_it(file: Path) -> None:
    root = ElementTree.parse(file).getroot()
    name = root.tag.removeprefix(METADATA)
    assert list(faults(root, name, name)) == []
    folder, suffix = FOLDERS[name]
    assert (file.parent.name, file.name.split(".", 1)[1]) == (folder, f"{suffix}-meta.xml")
    full_name = root.findtext(f"{METADATA}fullName")
    assert full_name in (None, file.name.split(".")[0])


def test_the_check_finds_faults() -> None:
    wrong = ElementTree.fromstring(
        f'<Flow xmlns="{METADATA[1:-1]}"><lable>x</lable><status>On</status>'
        "<actionCalls><inputParameters/></actionCalls></Flow>"
    )
    assert len(list(faults(wrong, "Flow", "Flow"))) == 6


def test_the_placeholders_are_replaced_from_the_environment() -> None:
    project = json.loads((PACKAGE / "sfdx-project.json").read_text("utf-8"))
    for each in project["packageDirectories"]:
        assert (PACKAGE / each["path"]).is_dir()
    replaced: dict[str, set[str]] = {}
    for each in project["replacements"]:
        assert each["stringToReplace"] in (PACKAGE / each["filename"]).read_text("utf-8")
        assert each["replaceWithEnv"] in ("RETOUR_URL", "RETOUR_USER")
        replaced.setdefault(each["filename"], set()).add(each["stringToReplace"])
    for file in FILES:
        text = file.read_text("utf-8")
        for placeholder in replaced.get(str(file.relative_to(PACKAGE)), ()):
            text = text.replace(placeholder, "")
        assert ".invalid" not in text


def test_flow_message_and_fields_belong_together() -> None:
    default = PACKAGE / "force-app/main/default"
    flow = (default / "flows/Retour_Case_Status.flow-meta.xml").read_text("utf-8")
    workflow = ElementTree.parse(default / "workflows/Case.workflow-meta.xml")
    [message] = workflow.iter(f"{METADATA}outboundMessages")
    assert f"<actionName>Case.{message.findtext(f'{METADATA}fullName')}</actionName>" in flow
    assert message.findtext(f"{METADATA}includeSessionId") == "false"
    assert "{!$User.Username} &lt;&gt;" in flow, "the integration user's own changes send nothing"
    ours = {file.name.split(".")[0] for file in (default / "objects/Case/fields").iterdir()}
    for name in ("Retour_Integration", "Retour_Reader"):
        permissions = ElementTree.parse(default / f"permissionsets/{name}.permissionset-meta.xml")
        granted = {each.text for each in permissions.iter(f"{METADATA}field")}
        assert granted == {f"Case.{each}" for each in ours}


def test_no_secret_of_the_app_is_in_the_package() -> None:
    assert not list(PACKAGE.rglob("*Glbl*"))
    assert not any("consumerKey" in file.read_text("utf-8") for file in FILES)
