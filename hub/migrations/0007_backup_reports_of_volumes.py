from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("hub", "0006_backup_reports_of_the_store"),
    ]

    operations = [
        migrations.AlterField(
            model_name="backupreport",
            name="kind",
            field=models.CharField(
                choices=[
                    ("dump", "Dump"),
                    ("base", "Base backup"),
                    ("trial", "Trial restore"),
                    ("files", "Snapshot of files"),
                    ("store", "Copies in the store"),
                    ("store-wal", "WAL in the store"),
                    ("volumes", "Data on nodes"),
                ],
                max_length=10,
            ),
        ),
    ]
