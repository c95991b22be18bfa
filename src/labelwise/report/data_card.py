"""The label as Markdown, for a README beside the data."""

import re

from markupsafe import Markup

_MARKUP = re.compile(r"[\\`*_\[\]#|~$]|^[-+]")
_NUMBERED = re.compile(r"^(\d+)([.)])")


def md(value: object) -> Markup:
    """The text on one line, with everything escaped that Markdown or HTML would take for markup."""
    line = " ".join(str(value).split())
    for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        line = line.replace(sign, entity)
    return Markup(_NUMBERED.sub(r"\1\\\2", _MARKUP.sub(r"\\\g<0>", line)))


def tidy(text: str) -> str:
    """Markdown with one blank line between blocks, none within a list, and none at the ends."""
    text = re.sub(r"[ \t]+\n", "\n", text)
    text = re.sub(r"\n(#+ )", r"\n\n\1", text)
    text = re.sub(r"\n{3,}", "\n\n", text)
    text = re.sub(r"(\n- [^\n]*)\n\n(?=- )", r"\1\n", text)
    return text.strip() + "\n"
