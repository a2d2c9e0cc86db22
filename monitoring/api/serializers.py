"""What the metrics API takes and gives."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from monitoring.metrics import BY_NAME, METRICS
from monitoring.query import DAY, MAX_POINTS

SUBJECT = serializers.RegexField(
    r"^[a-z]+:[A-Za-z0-9._-]+\Z", max_length=120, help_text="Such as `server:<id>` or `node:local`."
)


class SubjectsSerializer(serializers.Serializer[Any]):
    """Whose series; repeat `subject` for several."""

    subject = serializers.ListField(child=SUBJECT, min_length=1, max_length=20)


class QuerySerializer(SubjectsSerializer):
    """A range of time; by default the last hour."""

    metric = serializers.ListField(
        child=serializers.ChoiceField(choices=[(each.name, each.label) for each in METRICS]),
        min_length=1,
        max_length=len(BY_NAME),
    )
    to = serializers.DateTimeField(required=False)
    points = serializers.IntegerField(min_value=2, max_value=MAX_POINTS, default=300)
    step = serializers.IntegerField(
        min_value=10, max_value=30 * DAY, required=False, help_text="Width of a bucket in seconds, instead of `points`."
    )

    def get_fields(self) -> dict[str, Any]:
        return {**super().get_fields(), "from": serializers.DateTimeField(required=False)}


class SeriesSerializer(serializers.Serializer[Any]):
    """A subject with the metrics that were measured of it within the last hour."""

    subject = serializers.CharField()
    name = serializers.CharField()
    metrics = serializers.ListField(child=serializers.CharField())


class ValuesSerializer(serializers.Serializer[Any]):
    """One metric of one subject: a number for each of `times`, null where nothing was measured."""

    subject = serializers.CharField()
    name = serializers.CharField()
    metric = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]  # a field of the answer, not the serializer's own label
    unit = serializers.CharField()
    limit = serializers.FloatField(allow_null=True)
    min = serializers.ListField(child=serializers.FloatField(allow_null=True))
    mean = serializers.ListField(child=serializers.FloatField(allow_null=True))
    max = serializers.ListField(child=serializers.FloatField(allow_null=True))


class EventSerializer(serializers.Serializer[Any]):
    """Something that happened in the range."""

    subject = serializers.CharField()
    kind = serializers.CharField()
    text = serializers.CharField(allow_blank=True)
    at = serializers.DateTimeField()


class AnswerSerializer(serializers.Serializer[Any]):
    """Buckets of `step` seconds: `times` are their beginnings, in seconds since 1970."""

    step = serializers.IntegerField()
    times = serializers.ListField(child=serializers.IntegerField())
    series = ValuesSerializer(many=True)
    events = EventSerializer(many=True)


class MeasureSerializer(serializers.Serializer[Any]):
    """Which node is to be measured now."""

    node = serializers.SlugField(max_length=40)


class MeasuredSerializer(serializers.Serializer[Any]):
    """What its agent was asked."""

    detail = serializers.CharField()


class SampleSerializer(serializers.Serializer[Any]):
    """What somebody else has measured at one time; now when it does not say."""

    at = serializers.DateTimeField(required=False)

    def get_fields(self) -> dict[str, Any]:
        numbers = {
            name: serializers.FloatField(required=False, min_value=0, max_value=1e18, help_text=metric.help or None)
            for name, metric in BY_NAME.items()
        }
        return {**super().get_fields(), **numbers}


class SamplesSerializer(serializers.Serializer[Any]):
    """Measurements of one subject."""

    subject = SUBJECT
    samples = serializers.ListField(child=SampleSerializer(), min_length=1, max_length=1000)


class StoredSerializer(serializers.Serializer[Any]):
    """How many were stored."""

    stored = serializers.IntegerField()


class WouldGoSerializer(serializers.Serializer[Any]):
    """What a rule of retention would remove now."""

    count = serializers.IntegerField()
    oldest = serializers.DateTimeField(allow_null=True)
    bytes = serializers.IntegerField()


class RetentionRunSerializer(serializers.Serializer[Any]):
    """What a rule of retention removed."""

    at = serializers.DateTimeField()
    count = serializers.IntegerField()
    bytes = serializers.IntegerField()
    oldest = serializers.DateTimeField(allow_null=True)
    error = serializers.CharField(help_text="Empty when all went well.")


class RetentionSerializer(serializers.Serializer[Any]):
    """A rule of retention. The settings that rules follow are changed where the hub is installed."""

    name = serializers.CharField()
    what = serializers.CharField()
    keeps = serializers.CharField()
    would_go = WouldGoSerializer()
    last_run = RetentionRunSerializer(allow_null=True)
