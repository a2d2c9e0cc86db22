from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_invites"),
    ]

    operations = [
        migrations.AddField(
            model_name="auditseal",
            name="archived_at",
            field=models.DateTimeField(blank=True, help_text="When its entries were moved into a file.", null=True),
        ),
    ]
