"""Valid challenges, events and teams; the test sets only what matters."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import factory
from django.utils import timezone

from accounts.models import User
from accounts.tests.factories import UserFactory
from challenges import flags
from challenges.models import (
    Challenge,
    ChallengeContainer,
    ChallengePort,
    Event,
    EventChallenge,
    Flag,
    Hint,
    Membership,
    Participation,
    Team,
)


class ChallengeFactory(factory.django.DjangoModelFactory[Challenge]):
    """A published challenge without anything to run, worth 100 points; `flag=""` leaves it without an answer."""

    class Meta:
        model = Challenge
        skip_postgeneration_save = True

    name = factory.Sequence(lambda n: f"Challenge {n}")
    slug = factory.LazyAttribute(lambda challenge: challenge.name.lower().replace(" ", "-"))
    description = "Find what is **hidden**."
    state = "published"
    flag_secret = factory.LazyFunction(flags.new_secret)

    @factory.post_generation
    def flag(self, create: bool, extracted: str | None, **kwargs: Any) -> None:
        if create and extracted != "":
            FlagFactory(challenge=self, content=extracted or "flag{right}")


class FlagFactory(factory.django.DjangoModelFactory[Flag]):
    """An answer that is compared as it stands."""

    class Meta:
        model = Flag

    challenge = factory.SubFactory(ChallengeFactory, flag="")
    name = factory.Sequence(lambda n: f"flag-{n}")
    content = "flag{right}"


class HintFactory(factory.django.DjangoModelFactory[Hint]):
    """A hint for nothing."""

    class Meta:
        model = Hint

    challenge = factory.SubFactory(ChallengeFactory)
    content = "Look **below**."


class ContainerFactory(factory.django.DjangoModelFactory[ChallengeContainer]):
    """The main container of a challenge, with one public port for HTTP."""

    class Meta:
        model = ChallengeContainer
        skip_postgeneration_save = True

    challenge = factory.SubFactory(ChallengeFactory, kind="container")
    name = "web"
    image = "kutanga/sample"

    @factory.post_generation
    def port(self, create: bool, extracted: int | None, **kwargs: Any) -> None:
        if create and extracted != 0:
            ChallengePort.objects.create(container=self, name="web", number=extracted or 8080)


class EventFactory(factory.django.DjangoModelFactory[Event]):
    """A public event that has been running for an hour and goes on for seven."""

    class Meta:
        model = Event

    name = factory.Sequence(lambda n: f"Event {n}")
    slug = factory.LazyAttribute(lambda event: event.name.lower().replace(" ", "-"))
    description = "A day of puzzles."
    is_public = True
    status = "scheduled"
    starts_at = factory.LazyFunction(lambda: timezone.now() - timedelta(hours=1))
    ends_at = factory.LazyFunction(lambda: timezone.now() + timedelta(hours=7))


class EntryFactory(factory.django.DjangoModelFactory[EventChallenge]):
    """A challenge in an event, seen by all."""

    class Meta:
        model = EventChallenge

    event = factory.SubFactory(EventFactory)
    challenge = factory.SubFactory(ChallengeFactory)


class TeamFactory(factory.django.DjangoModelFactory[Team]):
    """A team with its captain in it; `members=[…]` adds others."""

    class Meta:
        model = Team
        skip_postgeneration_save = True

    name = factory.Sequence(lambda n: f"Team {n}")
    captain = factory.SubFactory(UserFactory)
    join_code = factory.Sequence(lambda n: f"{n:06d}")

    @factory.post_generation
    def members(self, create: bool, extracted: list[User] | None, **kwargs: Any) -> None:
        if create:
            for user in [self.captain, *(extracted or [])]:
                Membership.objects.create(team=self, user=user, is_personal=self.is_personal)


def participate(event: Event, team: Team | None = None) -> Participation:
    """A team that takes part."""
    return Participation.objects.create(event=event, team=team or TeamFactory())
