"""What some held-out pictures look like, with given and found boxes, kept so that a report needs no source."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from labelwise.labels import Boxes, BoxTable
from labelwise.runs import writing

MOST = 48
SIDE = 360  # pixels of the longer side

_SURE = 0.3  # found boxes below this score are left out
_CORNERS = pa.list_(pa.list_(pa.float32()))
_SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("split", pa.string()),
        ("image", pa.binary()),
        ("width", pa.int64()),
        ("height", pa.int64()),
        *((f"{kind}_corners", _CORNERS) for kind in ("given", "found")),
        *((f"{kind}_labels", pa.list_(pa.int64())) for kind in ("given", "found")),
        ("found_scores", pa.list_(pa.float32())),
    ]
)


def write_pictures(path: Path, table: BoxTable, found: Sequence[Boxes], parts: np.ndarray) -> None:
    """Write `pictures.parquet`: at most 48 test pictures (else validation ones), spread over all of them.

    `image` is a WebP of at most 360 pixels a side, `width` and `height` are those of the source, and boxes are in its
    pixels; found ones of a score of at least 0.3.
    """
    rows = np.flatnonzero(parts == ("test" if (parts == "test").any() else "validation"))
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(MOST, len(rows))).round().astype(int))]
    kept = []
    for row in rows.tolist():
        with Image.open(io.BytesIO(table.images[row])) as picture:
            small, size = picture.convert("RGB"), picture.size
        small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        small.save(buffer, "WEBP", quality=75, method=4)
        given, guessed = table.boxes[row], found[row]
        scores = np.ones(len(guessed.labels)) if guessed.scores is None else guessed.scores
        sure = scores >= _SURE
        kept.append(
            {
                "name": table.names[row],
                "split": parts[row],
                "image": buffer.getvalue(),
                "width": size[0],
                "height": size[1],
                "given_corners": given.corners.tolist(),
                "found_corners": guessed.corners[sure].tolist(),
                "given_labels": given.labels.tolist(),
                "found_labels": guessed.labels[sure].tolist(),
                "found_scores": scores[sure].tolist(),
            }
        )
    with writing(path) as temporary:
        pq.write_table(pa.Table.from_pylist(kept, schema=_SCHEMA), temporary)
