import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("servers", "0006_password_of_the_run"),
    ]

    operations = [
        migrations.AddField(
            model_name="gameserver",
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
