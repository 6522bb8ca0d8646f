"""One storage contract for files on disk, in memory and in every cloud."""
