"""The label as JSON-LD with the fields of Croissant, so that search engines and loaders of data sets can read it.

Source: Croissant Format Specification 1.0 and Croissant RAI Specification 1.0, MLCommons, 2024.
"""

import re
from pathlib import PurePath
from typing import Any

from labelwise.runs import free_name

_SCHEMA = "http://mlcommons.org/croissant/"
_OWN = (  # terms of Croissant's own, written without a prefix
    *("citeAs", "column", "extract", "field", "fileObject", "fileProperty", "fileSet", "format", "includes"),
    *("isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex", "repeated"),
    *("replace", "separator", "source", "subField", "transform", "equivalentProperty", "samplingRate"),
)
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": _SCHEMA,
    "rai": f"{_SCHEMA}RAI/",
    "dct": "http://purl.org/dc/terms/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in _OWN},
}
_FORMATS = {
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".parquet": "application/x-parquet",
    ".jsonl": "application/jsonlines",
    ".json": "application/json",
    ".gz": "application/gzip",
    ".zip": "application/zip",
    ".npz": "application/zip",
}
_ROWS, _FILE = "rows", "file"
_ID = re.compile(r"[^A-Za-z0-9_.-]+")  # loaders refuse ids with spaces


def to_croissant(facts: dict[str, Any], title: str) -> dict[str, Any]:
    """The facts of a run (`to_dict`) as a Croissant description, a plain dictionary.

    `title` is the name of the data set where people gave none. Fields that nobody gave are left out: a description is
    complete by the specification if about.yaml gives licence, url, authors and released. The audited file is the one
    `distribution`, and its columns, with their meaning, are the fields of one record set. What the label knows of
    limits goes into the fields of responsible use: the estimated share of wrong labels, alerts, and uses.
    """
    about = facts["about"] or {"metadata": {}, "provenance": {}, "badges": {}, "variables": {}, "uses": []}
    metadata, provenance = about["metadata"], about["provenance"]
    file = (facts["data"] or {}).get("file")
    description = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": metadata.get("title") or title,
        "description": metadata.get("description") or _described(facts, title),
        "conformsTo": [f"{_SCHEMA}1.0", f"{_SCHEMA}RAI/1.0"],
        "license": metadata.get("licence"),
        "url": metadata.get("url"),
        "version": metadata.get("version"),
        "datePublished": metadata.get("released"),
        "temporalCoverage": metadata.get("time_range"),
        "keywords": metadata.get("keywords"),
        "citeAs": metadata.get("citation"),
        "creator": [{"@type": "sc:Person", "name": name} for name in provenance.get("authors") or []] or None,
        "isBasedOn": about["badges"].get("upstream"),
        "distribution": [_file(file)] if file else None,
        "recordSet": _record_set(facts, file, about["variables"]),
        "rai:dataCollection": provenance.get("collection") or provenance.get("source"),
        "rai:dataAnnotationProtocol": provenance.get("labelling"),
        "rai:dataReleaseMaintenancePlan": provenance.get("maintenance"),
        "rai:personalSensitiveInformation": about["badges"].get("human_data"),
        "rai:dataUseCases": [_use(use) for use in about["uses"]] or None,
        "rai:dataLimitations": [alert["what"] for alert in facts["alerts"] or []] or None,
    }
    return {key: value for key, value in description.items() if value is not None}


def _described(facts: dict[str, Any], title: str) -> str:
    data = facts["data"] or {}
    tasks = ", ".join(f"{task['name']} ({task.get('classes') or 0:,} classes)" for task in data.get("tasks", []))
    return f"{title}: {data.get('rows') or 0:,} rows" + (f" with labels {tasks}." if tasks else ".")


def _file(file: dict[str, Any]) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": _FILE,
        "name": file["name"],
        "contentUrl": file["name"],
        "contentSize": f"{file['bytes']} B",
        "encodingFormat": _FORMATS.get(PurePath(file["name"]).suffix.lower(), "application/octet-stream"),
        "sha256": file["sha256"],
    }


def _record_set(
    facts: dict[str, Any], file: dict[str, Any] | None, variables: dict[str, Any]
) -> list[dict[str, Any]] | None:
    columns = (facts["columns"] or {}).get("columns") or {}
    tasks = [task["name"] for task in (facts["data"] or {}).get("tasks", [])]
    if not file or not (columns or tasks):
        return None  # a field says from which file it comes
    fields: dict[str, dict[str, Any]] = {}
    for name in [*tasks, *columns]:
        told = variables.get(name) or {}
        kind = told.get("kind") or columns.get(name, {}).get("kind")
        meaning = " ".join(filter(None, [told.get("meaning"), f"[{told['unit']}]" if told.get("unit") else None]))
        place = free_name(f"{_ROWS}/{_ID.sub('_', name)}", fields)
        field = {
            "@type": "cr:Field",
            "@id": place,
            "name": name,
            "description": meaning,
            "dataType": ["sc:Text", "cr:Label"] if name in tasks else _type(kind, columns[name]),
            "source": {"fileObject": {"@id": _FILE}, "extract": {"column": name}},
        }
        fields[place] = {key: value for key, value in field.items() if value}
    return [{"@type": "cr:RecordSet", "@id": _ROWS, "name": _ROWS, "field": list(fields.values())}]


def _type(kind: str | None, column: dict[str, Any]) -> str:
    if kind == "boolean":
        return "sc:Boolean"
    if kind == "date":
        return "sc:Date"
    if str(column.get("dtype", "")).lower().startswith(("int", "uint")):
        return "sc:Integer"
    return "sc:Float" if kind in ("discrete", "continuous") else "sc:Text"


def _use(use: dict[str, Any]) -> str:
    return f"{use['use']} ({use['fit']}{': ' + use['why'] if use['why'] else ''})"
