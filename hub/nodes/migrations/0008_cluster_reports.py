"""Keep what the examination of a cluster has shown."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("nodes", "0007_whole_addresses")]

    operations = [
        migrations.AlterField(
            model_name="nodereport",
            name="kind",
            field=models.CharField(
                choices=[
                    ("drift", "Drift"),
                    ("images", "Images"),
                    ("data", "Data left behind"),
                    ("cluster", "Cluster"),
                ],
                max_length=10,
            ),
        ),
    ]
