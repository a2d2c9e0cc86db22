from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("servers", "0001_initial_servers"),
    ]

    operations = [
        migrations.AddField(
            model_name="gameserver",
            name="image_pinned",
            field=models.CharField(
                blank=True,
                db_default="",
                help_text="The very image of its last launch; a launch that nobody has asked for takes it again.",
                max_length=600,
            ),
        ),
    ]
