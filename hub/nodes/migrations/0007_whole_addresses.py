"""Let launches wait for load-balancer addresses and subnets too."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("nodes", "0006_operation_pulls"),
    ]

    operations = [
        migrations.AddField(
            model_name="addressrequest",
            name="lessee",
            field=models.UUIDField(blank=True, help_text="Who gets the address; empty: the holder.", null=True),
        ),
        migrations.AddField(
            model_name="addressrequest",
            name="number",
            field=models.PositiveIntegerField(
                blank=True, help_text="The port wished for on a whole address.", null=True
            ),
        ),
        migrations.AddField(
            model_name="addressrequest",
            name="pool_kind",
            field=models.CharField(
                choices=[
                    ("host_ports", "Ports of the node"),
                    ("load_balancer", "Load-balancer addresses"),
                    ("subnets", "Private subnets"),
                ],
                default="host_ports",
                max_length=20,
            ),
        ),
    ]
