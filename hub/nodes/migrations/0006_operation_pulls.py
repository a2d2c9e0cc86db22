"""Keep apart what pulling images took of a launch."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("nodes", "0005_operation_finished")]

    operations = [
        migrations.AddField(
            model_name="operation",
            name="pull_seconds",
            field=models.FloatField(db_default=0, default=0, help_text="What pulling images took of it."),
        ),
    ]
