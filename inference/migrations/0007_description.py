from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("inference", "0006_reading"),
    ]

    operations = [
        migrations.AddField(
            model_name="cell",
            name="description",
            field=models.JSONField(default=dict),
        ),
    ]
