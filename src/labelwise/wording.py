"""Words and signs for the kinds of findings, the same in the report and in the review."""

TITLES = {
    "label": "Probably wrong label",
    "taxonomy": "Contradicts the tree",
    "near_duplicate": "Near duplicate, other label",
    "duplicate": "Duplicate, other label",
    "outlier": "Unlike all others",
    "unreadable": "Could not be read",
    "missing_box": "Box probably missing",
    "misplaced_box": "Box badly placed",
    "spurious_box": "Box around nothing",
}
SIGNS = {
    "label": "≠",
    "taxonomy": "⊄",
    "near_duplicate": "≈",
    "duplicate": "=",
    "outlier": "∗",
    "unreadable": "!",
    "missing_box": "+",
    "misplaced_box": "↔",
    "spurious_box": "−",
}


def title_of(kind: str) -> str:
    """What a kind of finding is called; an unknown one by its own name."""
    return TITLES.get(kind, kind.replace("_", " ").capitalize())
