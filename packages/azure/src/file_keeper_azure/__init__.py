"""Azure Blob Storage for file-keeper."""
