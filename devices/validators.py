"""What names of tags may hold."""

from __future__ import annotations

from django.core.validators import RegexValidator

validate_tag = RegexValidator(
    r"\A[A-Za-z0-9][A-Za-z0-9_.:=-]{0,39}\Z", "A tag holds letters, digits and _ . : = - and begins with one of them."
)
