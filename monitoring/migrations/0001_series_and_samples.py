"""Series, feeds, the list of stale rollups, and the partitioned tables of samples and rollups."""

import uuid

from django.db import migrations, models
from django.db.models.functions import Now

METRICS = (
    "cpu_percent",
    "cpu_share",
    "memory_bytes",
    "memory_share",
    "swap_bytes",
    "disk_bytes",
    "disk_share",
    "net_in",
    "net_out",
    "block_read",
    "block_write",
    "pids",
    "players",
    "load",
)
RAW = ", ".join(f"{name} real" for name in METRICS)
ROLLED = ", ".join(f"{name}_min real, {name}_mean real, {name}_max real, {name}_n integer" for name in METRICS)
HEAD = "series_id integer NOT NULL, at timestamptz NOT NULL"
# Samples have no key: an agent's batch is stored once by its number, and two may measure the same subject at one time.
CREATE = f"""
CREATE TABLE monitoring_sample ({HEAD}, {RAW}, cores real[]) PARTITION BY RANGE (at);
CREATE INDEX monitoring_sample_series ON monitoring_sample (series_id, at);
CREATE INDEX monitoring_sample_at ON monitoring_sample USING brin (at) WITH (pages_per_range = 16);
CREATE TABLE monitoring_minute ({HEAD}, {ROLLED}, PRIMARY KEY (series_id, at)) PARTITION BY RANGE (at);
CREATE INDEX monitoring_minute_at ON monitoring_minute USING brin (at) WITH (pages_per_range = 16);
CREATE TABLE monitoring_hour ({HEAD}, {ROLLED}, PRIMARY KEY (series_id, at)) PARTITION BY RANGE (at);
CREATE INDEX monitoring_hour_at ON monitoring_hour USING brin (at) WITH (pages_per_range = 16);
"""
DROP = "DROP TABLE monitoring_sample; DROP TABLE monitoring_minute; DROP TABLE monitoring_hour"


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Series",
            fields=[
                ("id", models.AutoField(primary_key=True, serialize=False)),
                ("subject", models.CharField(max_length=120, unique=True)),
                ("created_at", models.DateTimeField(db_default=Now())),
            ],
            options={"verbose_name_plural": "series", "ordering": ["subject"]},
        ),
        migrations.CreateModel(
            name="Feed",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(help_text="The node whose agent it is.", max_length=80)),
                ("sequence", models.BigIntegerField(default=0)),
                ("at", models.DateTimeField(db_default=Now(), help_text="When it last delivered.")),
                (
                    "waiting",
                    models.PositiveIntegerField(default=0, help_text="Batches still in the agent's buffer."),
                ),
                (
                    "dropped",
                    models.PositiveBigIntegerField(default=0, help_text="Batches that its full buffer had to drop."),
                ),
            ],
            options={
                "ordering": ["name"],
                "indexes": [models.Index(fields=["name", "-at"], name="monitoring_feed_name")],
            },
        ),
        migrations.CreateModel(
            name="Stale",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("resolution", models.CharField(choices=[("minute", "Minute"), ("hour", "Hour")], max_length=6)),
                ("at", models.DateTimeField()),
            ],
            options={"indexes": [models.Index(fields=["resolution", "at"], name="monitoring_stale_at")]},
        ),
        migrations.RunSQL(CREATE, DROP),
    ]
