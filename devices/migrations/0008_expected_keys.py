"""The key of a device that is preauthorised is the next one, so that no proposal of a stranger displaces it."""

from datetime import timedelta

from django.db import migrations
from django.db.models import F


def expect(apps, schema_editor):
    """Those that were made together with their record; what came later was proposed by somebody."""
    keys = apps.get_model("devices", "DeviceKey").objects.filter(state="proposed", device__status="preauthorised")
    found = list(
        keys.filter(created_at__lt=F("device__registered_at") + timedelta(seconds=1)).values_list("pk", flat=True)
    )
    keys.filter(pk__in=found).update(state="next")


class Migration(migrations.Migration):
    dependencies = [
        ("devices", "0007_search_by_identity"),
    ]

    operations = [
        migrations.RunPython(expect, migrations.RunPython.noop, elidable=True),
    ]
