"""Remember that a workload has run on its address, which is then no longer probed."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("nodes", "0001_initial_nodes")]

    operations = [
        migrations.AddField(
            model_name="address",
            name="proven_at",
            field=models.DateTimeField(
                blank=True,
                help_text="When its holder was first started on it; empty: to be probed before that.",
                null=True,
            ),
        ),
    ]
