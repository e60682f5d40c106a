"""A hostname for people's eyes: its A-labels, and the Unicode beside them where that cannot deceive.

A label is shown in Unicode when its letters are of one script, or of scripts that are written together, and do not all
look like Latin ones. Close to what browsers do (Unicode Technical Standard 39, "highly restrictive").
"""

from __future__ import annotations

import unicodedata

import idna

_TOGETHER = (
    frozenset({"CJK", "HIRAGANA", "KATAKANA", "LATIN"}),
    frozenset({"CJK", "HANGUL", "LATIN"}),
    frozenset({"CJK", "BOPOMOFO", "LATIN"}),
)
# Letters of Cyrillic and Greek that look like Latin ones in most fonts: раураӏ.
_LOOK_LATIN = frozenset("авсԁеһіјӏԛорѕԝхуһѵԍɡ" + "αβγεηικνορτυχω")


def unicode_of(hostname: str) -> str | None:
    """Beside the normal form. None: it has no other, or one that could be taken for another name."""
    if "xn--" not in hostname:
        return None
    labels = []
    for label in hostname.split("."):
        try:
            shown = idna.ulabel(label) if label.startswith("xn--") else label
        except idna.IDNAError:
            return None
        if not _is_plain(shown):
            return None
        labels.append(shown)
    return ".".join(labels)


def both(hostname: str) -> str:
    """In one line: `bücher.example (xn--bcher-kva.example)`, or the normal form alone."""
    other = unicode_of(hostname)
    return hostname if other is None else f"{other} ({hostname})"


def _is_plain(label: str) -> bool:
    # Digits of ASCII go with every script, others have one.
    letters = [one for one in label if unicodedata.category(one)[0] in "LN" and one not in "0123456789"]
    scripts = {_script(letter) for letter in letters}
    if len(scripts) > 1:
        return any(scripts <= together for together in _TOGETHER)
    if scripts & {"CYRILLIC", "GREEK"}:
        return not all(letter in _LOOK_LATIN for letter in letters)
    return True


def _script(letter: str) -> str:
    """Of most letters the first word of their name."""
    return unicodedata.name(letter, "UNKNOWN").partition(" ")[0].partition("-")[0]
