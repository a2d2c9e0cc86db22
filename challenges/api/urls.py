"""Routes of challenges, events, teams and announcements, below /api/v1/."""

from __future__ import annotations

from hub.api.routers import HubRouter

from . import examples  # noqa: F401 - importing it registers them
from .events import EventViewSet, TeamViewSet
from .instances import InstanceViewSet
from .views import AnnouncementViewSet, ChallengeViewSet, EntryViewSet, SubmissionViewSet

router = HubRouter()
router.register("challenges", ChallengeViewSet, basename="challenge")
router.register("event-challenges", EntryViewSet, basename="entry")
router.register("events", EventViewSet, basename="event")
router.register("instances", InstanceViewSet, basename="instance")
router.register("submissions", SubmissionViewSet, basename="submission")
router.register("teams", TeamViewSet, basename="team")
router.register("announcements", AnnouncementViewSet, basename="announcement")

urlpatterns = router.urls
