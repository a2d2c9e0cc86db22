"""A Redis cache that people can log in without: when Redis is away, each process counts for itself.

Login limits and throttles live in the cache. With Django's backend every login fails while Redis is down; with a cache
that ignores errors nothing would be limited. So calls fall back to the memory of the process, and Redis is asked again
after a few seconds.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from redis import Redis
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

ASK_AGAIN_SECONDS = 5.0
LOCAL_ENTRIES = 10_000  # a full memory drops counters at random, so it must not fill up soon


def _patient(name: str) -> Callable[..., Any]:
    redis_method = getattr(RedisCache, name)
    local_method = getattr(LocMemCache, name)

    def method(cache: PatientRedisCache, *args: Any, **kwargs: Any) -> Any:
        return cache.ask(
            lambda: redis_method(cache, *args, **kwargs),
            lambda: local_method(cache.local, *args, **kwargs),
        )

    return method


class PatientRedisCache(RedisCache):
    """Django's Redis cache with the memory of the process behind it."""

    def __init__(self, server: Any, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self.local = LocMemCache("patient-redis", {**params, "OPTIONS": {"MAX_ENTRIES": LOCAL_ENTRIES}})
        self.away_until = 0.0

    def ask(self, redis: Callable[[], Any], locally: Callable[[], Any]) -> Any:
        """What Redis says; while it is away, what this process knows."""
        if time.monotonic() >= self.away_until:
            try:
                return redis()
            except RedisError as error:
                logger.warning("Redis does not answer, this process caches for itself: %s", error)
                self.away_until = time.monotonic() + ASK_AGAIN_SECONDS
        return locally()

    def count(self, key: str, *, seconds: int, by: int = 1) -> int:
        """Add one under this key and say how many that makes; the key is forgotten after so many seconds.

        One round trip, atomic between processes. Who dies between the first count and its expiry leaves a key behind
        for good: give keys that are not used again, such as with the number of a minute.
        """
        name = self.make_and_validate_key(key)
        return int(self.ask(lambda: self._count(name, seconds, by), lambda: self._count_locally(name, seconds, by)))

    @cached_property
    def _client(self) -> Redis:
        """Kept, because making one takes longer than asking it."""
        client: Redis = self._cache.get_client(write=True)
        return client

    def _count(self, name: str, seconds: int, by: int) -> int:
        number = int(self._client.incrby(name, by))
        if number == by:
            self._client.expire(name, seconds)
        return number

    def _count_locally(self, name: str, seconds: int, by: int) -> int:
        self.local.add(name, 0, seconds)
        try:
            return self.local.incr(name, by)
        except ValueError:  # dropped in between, because the memory was full
            return by

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
