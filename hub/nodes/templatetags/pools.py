"""How pools read on a page."""

from __future__ import annotations

from typing import Any

from django import template

register = template.Library()


@register.filter
def pool_size(pool: Any) -> int:
    """All addresses of a pool that was fetched `with_counts`."""
    return int(pool.free_count + pool.leased_count + pool.quarantined_count + pool.blocked_count)


@register.filter
def pool_range(pool: Any) -> str:
    """`127.0.0.1:25565–26000`, or the range of IPs."""
    text = str(pool.first_ip)
    if pool.last_ip and pool.last_ip != pool.first_ip:
        text += f"–{pool.last_ip}"
    if pool.prefix_length:
        text += f", each /{pool.prefix_length}"
    if pool.first_port:
        text += f":{pool.first_port}–{pool.last_port}"
    return text
