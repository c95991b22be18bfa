import json

from labelwise.bench import harness
from labelwise.bench.mixing_speed import COPY, LERP, run


def test_every_way_is_timed_on_every_batch():
    result = run(((4, 1, 8, 8),), 2, quiet=True)
    json.dumps(result, allow_nan=False)
    assert list(result["figures"]) == ["4 x 1 x 8 x 8, float32", "4 x 1 x 8 x 8, uint8"]
    floats, whole = result["figures"].values()
    assert LERP in floats
    assert set(whole) == {name for name in floats if not any(word in name for word in ("mixup", LERP, "kornia"))}
    assert all(len(times) == 2 for ways in (floats, whole) for times in ways.values())
    ((_, columns, rows),) = harness.tables(result)
    assert all(len(row) == len(columns) for row in rows)
    assert {row[3] for row in rows if row[1] == COPY} == {1.0}
