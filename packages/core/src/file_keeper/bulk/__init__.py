"""Many files at once: what the ``..._many`` operations of a storage stand on."""
