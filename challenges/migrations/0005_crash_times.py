import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("challenges", "0004_wide_announcements"),
    ]

    operations = [
        migrations.AddField(
            model_name="instance",
            name="crash_times",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.DateTimeField(),
                blank=True,
                db_default=[],
                default=list,
                editable=False,
                help_text="The crashes that `restart_count` counts, newest first: those of the hour before the last one.",
                size=None,
            ),
        ),
    ]
