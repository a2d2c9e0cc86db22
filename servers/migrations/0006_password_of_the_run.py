from django.db import migrations, models

import hub.secrets


class Migration(migrations.Migration):
    dependencies = [
        ("servers", "0005_console_commands"),
    ]

    operations = [
        migrations.AddField(
            model_name="gameserver",
            name="running_rcon_password",
            field=hub.secrets.EncryptedTextField(blank=True, db_default="", default="", purpose="server.rcon_password"),
        ),
        migrations.AddField(
            model_name="gameserver",
            name="is_console_refused",
            field=models.BooleanField(
                db_default=False,
                default=False,
                editable=False,
                help_text="What runs has refused the password of its console: it is not asked again.",
            ),
        ),
    ]
