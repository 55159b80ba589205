"""`Figure`: a drawn display with its words, and its SVG as part of a page."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from xml.etree import ElementTree

import pandas as pd

from ensemble_vs_dropout.report.words import spread_in_words

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")  # what XML has no place for
_LEFT_OUT = {"metadata", "title", "style", "script"}


@dataclass(frozen=True, eq=False)
class Figure:
    """A figure that is drawn already.

    Attributes:
        name: Of its files and anchors.
        title: What is shown, and of which data.
        caption: All that a reader needs besides the picture.
        numbers: Those drawn.
        drawings: SVG files by width ("wide", "narrow"), without title and caption; empty for formats that show none.

    Example:
        >>> numbers = pd.DataFrame({"value": [0.1, 0.2]})
        >>> Figure("size", "How many networks?", "Band: none.", numbers).name
        'size'
    """

    name: str
    title: str
    caption: str
    numbers: pd.DataFrame
    drawings: dict[str, str] = field(default_factory=dict)

    @property
    def spread(self) -> str:
        """The numbers in words: lowest and highest."""
        return spread_in_words(self.numbers)

    @property
    def alternative(self) -> str:
        """What stands for the picture where it cannot be seen."""
        return f"{self.title}. {self.spread}".strip()


def inline_svg(text: str, prefix: str, alternative: str) -> str:
    """Return an SVG file as an element of a page.

    Ids begin with `prefix`, so that two figures of a page do not draw each other's marks; what acts on the whole page
    (style, title) and the metadata are left out.
    """
    root = ElementTree.fromstring(_CONTROL.sub("", text))
    for parent in list(root.iter()):
        for child in [child for child in parent if _local(child.tag) in _LEFT_OUT]:
            parent.remove(child)
    for element in root.iter():
        element.tag = _local(element.tag)
        element.attrib = {_local(name): _own(_local(name), value, prefix) for name, value in element.attrib.items()}
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": alternative}
    return ElementTree.tostring(root, encoding="unicode")


def _own(name: str, value: str, prefix: str) -> str:
    if name == "id":
        return f"{prefix}-{value}"
    if name == "href":
        return re.sub("^#", f"#{prefix}-", value)
    return value.replace("url(#", f"url(#{prefix}-")


def _local(name: str) -> str:
    return name.rpartition("}")[2]
