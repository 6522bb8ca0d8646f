"""The application: optional, for the checks, the commands and a quick collectstatic."""

from django.apps import AppConfig
from django.core import checks

from .checks import check_fields, check_handlers, check_storages


class FileKeeperConfig(AppConfig):
    """Put it before ``django.contrib.staticfiles`` in INSTALLED_APPS."""

    name = "file_keeper_django"
    verbose_name = "file-keeper"

    def ready(self) -> None:
        """Register the checks."""
        checks.register(check_storages, checks.Tags.files)
        checks.register(check_handlers, checks.Tags.files)
        checks.register(check_fields, checks.Tags.files)
