"""Which words of a text speak for which class."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

MOST_CLASSES = 500
MOST_TEXTS = 50_000

_WORD = re.compile(r"\w{3,}")
_PER_CLASS = 300
_LEAST_TEXTS = 3
_LEAST_ODDS = 1.0  # natural logarithm


def telling_words(texts: Iterable[str | None], labels: Iterable[str | None]) -> dict[str, list[str]]:
    """For each class the words that stand far oftener in its texts than in others, the surest first.

    A word tells of a class if at least 3 of its texts hold it, and the odds that a text holds it are at least e times
    those in other texts (with half a text added to each count). Empty for more than `MOST_CLASSES` classes; the
    first `MOST_TEXTS` texts are looked at.
    """
    held: dict[str, Counter[str]] = defaultdict(Counter)
    sizes = Counter[str]()
    for _, (text, label) in zip(range(MOST_TEXTS), zip(texts, labels, strict=True), strict=False):
        if text is not None and label is not None:
            held[label].update(set(_WORD.findall(text.casefold())))
            sizes[label] += 1
    if len(sizes) > MOST_CLASSES:
        return {}
    everywhere = Counter[str]()
    for counter in held.values():
        everywhere.update(counter)
    total = sizes.total()
    telling = {}
    for label, counter in held.items():
        odds = {
            word: _log_odds(times, sizes[label]) - _log_odds(everywhere[word] - times, total - sizes[label])
            for word, times in counter.items()
            if times >= _LEAST_TEXTS
        }
        surest = sorted(
            (-value / math.sqrt(1 / counter[word] + 1 / (everywhere[word] - counter[word] + 0.5)), word)
            for word, value in odds.items()
            if value >= _LEAST_ODDS
        )
        telling[label] = [word for _, word in surest[:_PER_CLASS]]
    return telling


def _log_odds(times: int, of: int) -> float:
    return math.log((times + 0.5) / (of - times + 0.5))


def marked(text: str, speaks: Mapping[str, str], searched: str | None = None) -> list[tuple[str, str]]:
    """The text in pieces, each with why it is marked: what `speaks` says of the word, "searched", or "" for not at all.

    `speaks` maps words (casefolded) to what they speak for; `searched` is found within words as well.
    """
    found = [text]
    if searched and searched.strip():
        found = re.split(f"({re.escape(searched.strip())})", text, flags=re.IGNORECASE)
    pieces: list[tuple[str, str]] = []
    for at, part in enumerate(found):
        words = [(part, "searched")] if at % 2 else [(each, speaks.get(each.casefold(), "")) for each in _parts(part)]
        for piece, why in words:
            if pieces and pieces[-1][1] == why:
                pieces[-1] = (pieces[-1][0] + piece, why)
            elif piece:
                pieces.append((piece, why))
    return pieces


def _parts(text: str) -> list[str]:
    """Words, and what stands between them."""
    return re.split(f"({_WORD.pattern})", text)
