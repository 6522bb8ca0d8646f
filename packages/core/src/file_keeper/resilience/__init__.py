"""What stands between the storage and its provider when the provider fails: each is a backend around a backend."""
