from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0001_initial'),
    ]

    operations = [
        migrations.AddField(
            model_name='lab',
            name='staging_offered',
            field=models.BooleanField(default=False, verbose_name='offer leukemia staging'),
        ),
    ]
