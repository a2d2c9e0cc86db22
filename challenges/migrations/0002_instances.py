"""Give teams their own copies of challenges."""

from __future__ import annotations

import uuid

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("challenges", "0001_initial_challenges"),
        ("nodes", "0007_whole_addresses"),
    ]

    operations = [
        migrations.CreateModel(
            name="Instance",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=64)),
                ("memory_mb", models.PositiveIntegerField(validators=[django.core.validators.MinValueValidator(16)])),
                (
                    "cpu_percent",
                    models.PositiveIntegerField(default=100, validators=[django.core.validators.MinValueValidator(5)]),
                ),
                ("disk_mb", models.PositiveIntegerField(validators=[django.core.validators.MinValueValidator(16)])),
                (
                    "desired_status",
                    models.CharField(
                        choices=[("running", "Running"), ("stopped", "Stopped"), ("deleted", "Deleted")],
                        default="running",
                        max_length=10,
                    ),
                ),
                (
                    "admin_state",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("", "Normal"),
                            ("suspended", "Suspended"),
                            ("installing", "Installing"),
                            ("restoring", "Restoring a backup"),
                        ],
                        default="",
                        max_length=12,
                    ),
                ),
                ("generation", models.PositiveIntegerField(default=1)),
                ("is_kill_wanted", models.BooleanField(default=False)),
                (
                    "observed_status",
                    models.CharField(
                        choices=[
                            ("queued", "Queued"),
                            ("pulling", "Pulling image"),
                            ("installing", "Installing"),
                            ("starting", "Starting"),
                            ("running", "Running"),
                            ("unhealthy", "Unhealthy"),
                            ("stopping", "Stopping"),
                            ("stopped", "Stopped"),
                            ("crashed", "Crashed"),
                            ("failed", "Failed"),
                            ("deleting", "Deleting"),
                            ("deleted", "Deleted"),
                            ("lost", "Lost"),
                        ],
                        default="queued",
                        max_length=12,
                    ),
                ),
                ("observed_at", models.DateTimeField(blank=True, null=True)),
                ("status_reason", models.TextField(blank=True)),
                ("progress_percent", models.PositiveSmallIntegerField(blank=True, null=True)),
                ("exit_code", models.IntegerField(blank=True, null=True)),
                ("oom_killed", models.BooleanField(default=False)),
                ("image_digest", models.CharField(blank=True, max_length=100)),
                (
                    "image_pinned",
                    models.CharField(
                        blank=True,
                        db_default="",
                        help_text="The very image of its last launch; a launch that nobody has asked for takes it again.",
                        max_length=600,
                    ),
                ),
                ("facts", models.JSONField(blank=True, default=dict)),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("ready_deadline_at", models.DateTimeField(blank=True, null=True)),
                ("stop_deadline_at", models.DateTimeField(blank=True, null=True)),
                ("health_misses", models.PositiveSmallIntegerField(default=0)),
                (
                    "restart_count",
                    models.PositiveIntegerField(default=0, help_text="Crashes since `restart_window_at`."),
                ),
                ("restart_window_at", models.DateTimeField(blank=True, null=True)),
                ("restart_after", models.DateTimeField(blank=True, null=True)),
                ("next_check_at", models.DateTimeField(blank=True, null=True)),
                ("lease_token", models.UUIDField(blank=True, null=True)),
                ("lease_until", models.DateTimeField(blank=True, null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("deleted_at", models.DateTimeField(blank=True, null=True)),
                ("launched_by", models.CharField(max_length=150)),
                ("expires_at", models.DateTimeField(blank=True, help_text="Empty until it is launched.", null=True)),
                ("extensions", models.PositiveSmallIntegerField(default=0)),
                ("last_extended_by", models.CharField(blank=True, max_length=150)),
                ("last_reset_by", models.CharField(blank=True, max_length=150)),
                ("last_reset_at", models.DateTimeField(blank=True, null=True)),
                (
                    "is_fresh_wanted",
                    models.BooleanField(default=False, help_text="Its next launch begins from nothing."),
                ),
                ("end_reason", models.CharField(blank=True, max_length=200)),
                (
                    "challenge",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="instances", to="challenges.challenge"
                    ),
                ),
                (
                    "event",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="instances",
                        to="challenges.event",
                    ),
                ),
                (
                    "node",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="nodes.node"),
                ),
                (
                    "team",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="instances", to="challenges.team"
                    ),
                ),
            ],
            options={
                "verbose_name": "instance",
                "ordering": ["-created_at"],
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="InstanceLog",
            fields=[
                (
                    "instance",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="stored_log",
                        serialize=False,
                        to="challenges.instance",
                    ),
                ),
                ("text", models.TextField(blank=True)),
                ("captured_at", models.DateTimeField(blank=True, null=True)),
                ("wanted_until", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "indexes": [models.Index(fields=["wanted_until"], name="instance_log_wanted")],
            },
        ),
        migrations.AddIndex(
            model_name="instance",
            index=models.Index(
                condition=models.Q(("observed_status", "deleted"), _negated=True),
                fields=["node", "next_check_at"],
                name="instance_due",
            ),
        ),
        migrations.AddIndex(
            model_name="instance",
            index=models.Index(
                condition=models.Q(("observed_status", "deleted"), _negated=True),
                fields=["expires_at"],
                name="instance_expiry",
            ),
        ),
        migrations.AddIndex(
            model_name="instance",
            index=models.Index(fields=["-created_at"], name="instance_newest"),
        ),
        migrations.AddConstraint(
            model_name="instance",
            constraint=models.UniqueConstraint(
                condition=models.Q(("observed_status", "deleted"), _negated=True),
                fields=("event", "challenge", "team"),
                name="one_live_instance",
                nulls_distinct=False,
            ),
        ),
    ]
