"""Small real data sets that come with scikit-learn."""

import numpy as np
import pyarrow as pa

from labelwise.labels.readers.source import Source

BUNDLED = ("digits", "wine", "iris", "breast_cancer")
_TASKS = {"wine": "cultivar", "iris": "species", "breast_cancer": "diagnosis"}
_HOLES = {0: 1, 4: 1, 6: 1, 8: 2, 9: 1}  # closed loops a digit normally has; the others have none


def read_bundled(name: str) -> Source:
    """Read one of `BUNDLED`.

    digits: 1797 handwritten digits as pictures uint8 [8, 8], tasks `digit` and its parent `holes` (closed
    loops, 0 to 2).
    wine: 178 wines, 13 chemical measures, task `cultivar`. iris: 150 flowers, 4 measures, task `species`.
    breast_cancer: 569 tumours, 30 measures of cell nuclei, task `diagnosis`.
    """
    from sklearn import datasets

    if name == "digits":
        digits = datasets.load_digits()
        pictures = np.round(digits.images * (255 / 16)).astype(np.uint8)
        holes = np.array([_HOLES.get(digit, 0) for digit in digits.target])
        columns = {
            "picture": pa.FixedShapeTensorArray.from_numpy_ndarray(pictures),
            "digit": pa.array(digits.target.astype(str)),
            "holes": pa.array(holes.astype(str)),
        }
        classes = {"digit": tuple("0123456789"), "holes": tuple("012")}
        parents = {"digit": "holes"}
        media = ("picture", "image")
        return Source(pa.table(columns), name, classes, (), ("digit", "holes"), parents, media=media)
    bunch = getattr(datasets, f"load_{name}")()
    names = tuple(str(label).replace("_", " ") for label in bunch.target_names)
    features = {str(column): pa.array(bunch.data[:, i]) for i, column in enumerate(bunch.feature_names)}
    task = _TASKS[name]
    target = pa.array(names).take(pa.array(bunch.target))
    return Source(pa.table({**features, task: target}), name, {task: names}, (), (task,))
