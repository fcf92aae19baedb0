"""The small shapes FHIR resources are made of: identifiers, references, codes, quantities, Bundle entries."""

from datetime import datetime
from typing import Any
from urllib.parse import quote

from .codes import Code, System, Unit

Resource = dict[str, Any]
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-"


def head(kind: str, identity: str, profile: str) -> Resource:
    return {"resourceType": kind, "id": identity, "meta": {"profile": [US_CORE + profile]}}


def create(resource: Resource, query: str) -> Resource:
    request = {"method": "POST", "url": resource["resourceType"], "ifNoneExist": query}
    return {"fullUrl": f"urn:uuid:{resource['id']}", "resource": _nameless(resource), "request": request}


def replace(resource: Resource, query: str) -> Resource:
    request = {"method": "PUT", "url": f"{resource['resourceType']}?{query}"}
    return {"fullUrl": f"urn:uuid:{resource['id']}", "resource": _nameless(resource), "request": request}


def _nameless(resource: Resource) -> Resource:
    """The server gives the id; in the Bundle the fullUrl names the resource."""
    return {key: value for key, value in resource.items() if key != "id"}


def token(resource: Resource) -> str:
    identifier = resource["identifier"][0]
    return f"{escaped(identifier['system'])}%7C{escaped(identifier['value'])}"


def escaped(value: str) -> str:
    """A value in a search query: FHIR's own escapes first, then the URL's."""
    for sign in "\\$,|":
        value = value.replace(sign, f"\\{sign}")
    return quote(value, safe="")


def present(key: str, value: Any) -> Resource:
    return {key: value} if value else {}


def uuid_identifier(identity: str) -> Resource:
    """Not as ``urn:uuid:``: a server that resolves the Bundle's own urls may rewrite what looks like one."""
    return {"system": System.IDS.value, "value": identity}


def sha256(value: str) -> Resource:
    return {"system": System.LOCAL.value, "value": f"sha256:{value}"}


def reference(identity: str, display: str = "") -> Resource:
    return {"reference": f"urn:uuid:{identity}", **present("display", display)}


def coding(code: Code) -> Resource:
    return {"system": code.system.value, "code": code.code, "display": code.display}


def concept(system: str, code: str, display: str) -> Resource:
    return {"coding": [{"system": TERMINOLOGY + system, "code": code, "display": display}]}


def human_name(family: str, given: str) -> Resource:
    return {"family": family, **present("given", given and [given])}


def quantity(value: float | None, unit: Unit) -> Resource:
    return {"value": value, "unit": unit.text, "system": "http://unitsofmeasure.org", "code": unit.ucum}


def bounds(span: tuple[float, float], unit: Unit) -> Resource:
    return {"low": quantity(span[0], unit), "high": quantity(span[1], unit)}


def instant(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
