from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("servers", "0002_gameserver_image_pinned")]

    operations = [migrations.RemoveField(model_name="gameserver", name="panel_password")]
