"""What is shown of one question: the item, what speaks for which label, what others said."""

import re
import time
from typing import Any

from labelwise.review.context import Review
from labelwise.review.people import Person
from labelwise.review.queue import details
from labelwise.review.suggestions import likeliest
from labelwise.wording import SIGNS, title_of

LIKELY = 5

SAID = {
    "keep": "kept the label",
    "take": "took the suggestion",
    "choose": "chose",
    "several": "found several",
    "move": "moved the box",
    "unsure": "could not tell",
    "spoiled": "called it spoiled",
    "new_class": "made a new class",
    "skip": "skipped it",
    "undo": "took a verdict back",
}


def show(review: Review, question_id: int, person: Person) -> dict[str, Any]:
    """All that a reviewer needs to decide a question, in plain values.

    The fields of `queue.details`, whose findings also have a `title`, a `sign` and the `chance` that such a one proves
    wrong (`Learned.chance`), and `item` (see `item_of`), `suggestions` (the likeliest classes by the models:
    `name`, `probability`, `parent`), `words` (those of a text that speak for
    the "given" or "suggested" label), `neighbours` (the nearest others, each an item with its `distance` and the
    `label` it has in this task), `places` (where given and suggested label stand in the tree: `task`, `given`,
    `suggested`, from the root down), `single` (whether it asks for a class),
    `held_by` (who else looks at it now, or None). Raises `LookupError` if there is no such
    question.
    """
    found = details(review.database, question_id)
    task, row = found["task"], found["item_id"]
    tree = review.contents.tree
    facts = review.database.tasks.get(task)
    names = facts.classes if facts else ()
    above = tree.get(task, {})
    chances = review.predictions.of(row, task)
    for finding in found["findings"]:
        finding |= {"title": title_of(finding["kind"]), "sign": SIGNS.get(finding["kind"], "•")}
        finding["chance"] = review.learned.chance(finding["kind"], finding["score"])
    given = chances[names.index(found["given"])] if chances is not None and found["given"] in names else None
    item = item_of(review, row, found["key"])
    return found | {
        "item": item,
        "words": _speaking(review, task, found["given"], found["suggested"]) if item["kind"] == "text" else {},
        "single": facts is not None,
        "suggestions": [
            {"name": name, "probability": chance, "parent": above.get(name)}
            for name, chance in likeliest(names, chances, LIKELY)
        ],
        "probability_of_given": None if given is None else float(given),
        "neighbours": [
            {"distance": distance, "label": near["labels"].get(task)} | near
            for near, distance in (
                (item_of(review, other, str(other)), distance)
                for other, distance in (review.contents.neighbours(row) if row in review.contents else ())
            )
        ],
        "places": _places(review, task, found["given"], found["suggested"]),
        "parent": facts.parent if facts else None,
        "held_by": _held_by(found, person),
        "history": _history(found["history"], found["state"], person),
    }


def item_of(review: Review, row: int, key: str) -> dict[str, Any]:
    """What an item looks like (`Contents.item`); of kind "none" where nothing is kept of it."""
    if row in review.contents:
        return review.contents.item(row)
    return {
        "example": row,
        "key": key,
        "kind": "none",
        "width": None,
        "height": None,
        "cells": {},
        "labels": {},
        "type": "",
        "text": None,
    }


def _speaking(review: Review, task: str, given: str | None, suggested: str | None) -> dict[str, str]:
    """Words that speak for the "given" or the "suggested" label and not for the other; names of classes do always."""
    words = review.contents.words.get(task, {})
    of_given, of_suggested = set(words.get(given or "", ())), set(words.get(suggested or "", ()))
    speaks = dict.fromkeys(of_given - of_suggested, "given") | dict.fromkeys(of_suggested - of_given, "suggested")
    for kind, name in (("given", given), ("suggested", suggested)):
        speaks |= {word.casefold(): kind for word in re.findall(r"\w{3,}", name or "")}
    return speaks


def _places(review: Review, task: str, given: str | None, suggested: str | None) -> list[dict[str, Any]]:
    places = []
    below: str | None = task
    while below is not None and below in review.database.tasks:
        places.append({"task": below, "given": given, "suggested": suggested})
        up = review.contents.tree.get(below, {})
        given, suggested = up.get(given or ""), up.get(suggested or "")
        below = review.database.tasks[below].parent
    return places[::-1] if len(places) > 1 else []


def _held_by(found: dict[str, Any], person: Person) -> str | None:
    """Who else is looking at the item at this moment."""
    other = found["leased_by"] not in (None, person.name) and found["leased_until"] > time.time()
    return found["leased_by"] if other else None


def _history(history: list[Any], state: str, person: Person) -> list[dict[str, Any]]:
    """Verdicts to show: one's own, and those of others once they can no longer sway a second opinion."""
    undone = {each.undoes for each in history if each.undoes is not None}
    return [
        {
            "id": each.id,
            "reviewer": each.reviewer,
            "action": each.action,
            "said": SAID[each.action],
            "classes": each.classes,
            "note": each.note,
            "final": each.final,
            "at": each.created_at,
            "undone": each.id in undone,
        }
        for each in history
        if each.undoes is None and (state != "open" or each.reviewer == person.name)
    ]
