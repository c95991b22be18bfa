import json

import pyarrow as pa

from labelwise.audit.data_issues import DataIssue, as_records


def test_records_are_json_kind_after_kind_and_worst_first():
    issues = [
        DataIssue("leak", "y", "file", 9, 0.4, "why"),
        DataIssue("imbalance", "y", "y", 9, 0.9, "why", (2, 0)),
        DataIssue("leak", "y", "time", 9, 0.7, "why"),
    ]
    records = as_records(issues, pa.array(["p", "q", "r"]))
    assert [each["subject"] for each in records] == ["time", "file", "y"]
    assert (records[2]["examples"], records[2]["ids"]) == ([2, 0], ["r", "p"])
    assert json.loads(json.dumps(records)) == records
    assert as_records([], pa.array([], pa.string())) == []
