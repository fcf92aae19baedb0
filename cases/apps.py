"""The app's place in Django."""

from django.apps import AppConfig
from django.conf import settings


class CasesConfig(AppConfig):
    name = "cases"

    def ready(self) -> None:
        """Pillow's own guard against decompression bombs follows the limit that uploads are checked by."""
        from PIL import Image

        Image.MAX_IMAGE_PIXELS = settings.UPLOAD_MAX_PIXELS
