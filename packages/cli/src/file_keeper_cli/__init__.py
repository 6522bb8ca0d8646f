"""The file-keeper command: files on any storage, from the shell."""
