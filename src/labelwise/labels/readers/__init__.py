"""One reader a form of source; each hands back a `Source`."""

from labelwise.labels.readers.bundled import BUNDLED, read_bundled
from labelwise.labels.readers.columnar import from_arrow, from_pandas, read_json_lines, read_parquet
from labelwise.labels.readers.delimited import read_delimited
from labelwise.labels.readers.hugging_face import is_hugging_face, read_hugging_face
from labelwise.labels.readers.image_folder import read_image_folder
from labelwise.labels.readers.npz import read_npz
from labelwise.labels.readers.ostracods import is_ostracods, read_ostracods
from labelwise.labels.readers.source import Source, check_exists

__all__ = [
    "BUNDLED",
    "Source",
    "check_exists",
    "from_arrow",
    "from_pandas",
    "is_hugging_face",
    "is_ostracods",
    "read_bundled",
    "read_delimited",
    "read_hugging_face",
    "read_image_folder",
    "read_json_lines",
    "read_npz",
    "read_ostracods",
    "read_parquet",
]
