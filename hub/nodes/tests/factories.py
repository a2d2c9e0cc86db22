"""Valid regions, nodes and pools; the test sets only what matters."""

from __future__ import annotations

from typing import Any

import factory

from hub.nodes import leases
from hub.nodes.models import AddressPool, Node, Region


class RegionFactory(factory.django.DjangoModelFactory[Region]):
    """A region."""

    class Meta:
        model = Region
        django_get_or_create = ("slug",)

    slug = "eu-central-1"
    name = factory.LazyAttribute(lambda region: region.slug.title())


class NodeFactory(factory.django.DjangoModelFactory[Node]):
    """A node with the fake engine and no capacity limits."""

    class Meta:
        model = Node

    name = factory.Sequence(lambda n: f"node-{n}")
    region = factory.SubFactory(RegionFactory)
    engine = "fake"


class PoolFactory(factory.django.DjangoModelFactory[AddressPool]):
    """A pool of `size` ports from 25565, its address rows included."""

    class Meta:
        model = AddressPool
        skip_postgeneration_save = True

    class Params:
        size = 10

    node = factory.SubFactory(NodeFactory)
    name = factory.Sequence(lambda n: f"pool-{n}")
    first_ip = "127.0.0.1"
    first_port = 25565
    last_port = factory.LazyAttribute(lambda pool: pool.first_port + pool.size - 1)

    @factory.post_generation
    def rows(self: AddressPool, create: bool, extracted: Any, **kwargs: Any) -> None:
        if create:
            leases.fill_pool(self)
