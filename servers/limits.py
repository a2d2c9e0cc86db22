"""Do memory, disk and CPU lie within the bounds of the house and of the template?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.exceptions import Invalid

from .choices import CPU_PERCENT_BOUNDS, DISK_MB_BOUNDS, MEMORY_MB_BOUNDS

if TYPE_CHECKING:
    from .models import Template

BOUNDS = {"memory_mb": MEMORY_MB_BOUNDS, "disk_mb": DISK_MB_BOUNDS, "cpu_percent": CPU_PERCENT_BOUNDS}
WORDS = {"memory_mb": "MB of memory", "disk_mb": "MB of disk", "cpu_percent": "% of a core"}


def check_limits(template: Template, **asked: int) -> None:
    """Raise Invalid with the field at fault."""
    for name, value in asked.items():
        least, most = BOUNDS[name]
        least, most = max(least, getattr(template, f"min_{name}")), min(most, getattr(template, f"max_{name}"))
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise Invalid(f"{template.name} takes {least} to {most} {WORDS[name]}.", field=name)
