"""Django's file storage on disk, in memory and in every cloud.

::

    STORAGES = {
        "default": {
            "BACKEND": "file_keeper_django.FileKeeperStorage",
            "OPTIONS": {"type": "s3", "bucket": "media"},
        },
        "staticfiles": {
            "BACKEND": "file_keeper_django.FileKeeperManifestStaticStorage",
            "OPTIONS": {"type": "s3", "bucket": "static"},
        },
    }
"""

from .static import FileKeeperManifestStaticStorage, FileKeeperStaticStorage
from .storage import FileKeeperStorage
from .uploads import StreamingUploadHandler

__all__ = [
    "FileKeeperManifestStaticStorage",
    "FileKeeperStaticStorage",
    "FileKeeperStorage",
    "StreamingUploadHandler",
]
