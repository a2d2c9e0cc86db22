"""Names and descriptions that people give to servers."""

from __future__ import annotations

import re
import unicodedata

from hub.exceptions import Invalid

from .choices import NAME_LENGTHS

NAME = re.compile(r"\w[\w .,'’()!+&#-]*")
LONGEST_DESCRIPTION = 300


def clean_name(text: str) -> str:
    """The name as it is stored: composed, single spaces. Raises Invalid."""
    name = " ".join(unicodedata.normalize("NFC", text).split(" ")).strip() if isinstance(text, str) else ""
    name = re.sub(r" {2,}", " ", name)
    least, most = NAME_LENGTHS
    if not least <= len(name) <= most:
        raise Invalid(f"The name must have {least} to {most} characters.", field="name")
    if not NAME.fullmatch(name):
        raise Invalid("The name may have letters, digits, spaces and . , ' ( ) ! + & # - _", field="name")
    return name


def clean_description(text: str) -> str:
    """One line of text. Raises Invalid."""
    description = text.strip()
    if len(description) > LONGEST_DESCRIPTION or not description.isprintable():
        raise Invalid(f"One line of at most {LONGEST_DESCRIPTION} characters is needed.", field="description")
    return description
