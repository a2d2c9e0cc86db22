"""A Redis cache that people can log in without: when Redis is away, each process counts for itself.

Login limits and throttles live in the cache. With Django's backend every login fails while Redis is down; with a cache
that ignores errors nothing would be limited. So calls fall back to the memory of the process, and Redis is asked again
after a few seconds.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

ASK_AGAIN_SECONDS = 5.0


def _patient(name: str) -> Callable[..., Any]:
    redis_method = getattr(RedisCache, name)
    local_method = getattr(LocMemCache, name)

    def method(cache: PatientRedisCache, *args: Any, **kwargs: Any) -> Any:
        if time.monotonic() >= cache.away_until:
            try:
                return redis_method(cache, *args, **kwargs)
            except RedisError as error:
                logger.warning("Redis does not answer, this process caches for itself: %s", error)
                cache.away_until = time.monotonic() + ASK_AGAIN_SECONDS
        return local_method(cache.local, *args, **kwargs)

    return method


class PatientRedisCache(RedisCache):
    """Django's Redis cache with the memory of the process behind it."""

    def __init__(self, server: Any, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self.local = LocMemCache("patient-redis", {name: value for name, value in params.items() if name != "OPTIONS"})
        self.away_until = 0.0

    add = _patient("add")
    get = _patient("get")
    set = _patient("set")
    touch = _patient("touch")
    delete = _patient("delete")
    get_many = _patient("get_many")
    has_key = _patient("has_key")
    incr = _patient("incr")
    set_many = _patient("set_many")
    delete_many = _patient("delete_many")
    clear = _patient("clear")
