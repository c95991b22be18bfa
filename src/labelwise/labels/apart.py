"""Feature columns taken apart."""

from collections.abc import Sequence
from dataclasses import replace

from labelwise.labels.table import LabelTable


def features_apart(table: LabelTable, names: Sequence[str], role: str) -> tuple[LabelTable, LabelTable]:
    """The table without the feature columns `names`, and one that has no other features; both keep all labels.

    `role` is what such a column is, for messages. Raises `ValueError` if one is not there or no feature, or if no other
    feature is left.
    """
    features = table.feature_names
    for name in names:
        table.check_column(name)
        if name not in features:
            raise ValueError(f"a {role} column must be a feature; {name!r} of {table.source} has another role")
    others = [name for name in features if name not in names]
    if not others:
        raise ValueError(f"all features of {table.source} are {role}; the model would have nothing else to see")
    inside = table.media is not None and table.media[0] in names
    rest = replace(
        table, data=table.data.drop_columns(list(dict.fromkeys(names))), media=None if inside else table.media
    )
    return rest, replace(table, data=table.data.drop_columns(others), media=table.media if inside else None)
