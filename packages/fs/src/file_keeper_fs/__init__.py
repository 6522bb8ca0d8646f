"""Local file system storage for file-keeper."""
