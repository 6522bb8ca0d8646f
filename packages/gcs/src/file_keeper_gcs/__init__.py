"""Google Cloud Storage for file-keeper."""
