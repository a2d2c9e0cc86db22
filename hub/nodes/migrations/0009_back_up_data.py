from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("nodes", "0008_cluster_reports"),
    ]

    operations = [
        migrations.AlterField(
            model_name="nodetask",
            name="verb",
            field=models.CharField(
                choices=[
                    ("look", "Look again"),
                    ("adopt", "Adopt"),
                    ("repair", "Repair"),
                    ("remove", "Remove"),
                    ("list-images", "List images"),
                    ("pull-image", "Pull image"),
                    ("remove-images", "Remove images"),
                    ("list-data", "List data left behind"),
                    ("remove-data", "Delete data left behind"),
                    ("back-up-data", "Back up data"),
                ],
                max_length=20,
            ),
        ),
    ]
