"""Faults on demand between a client and a server: `proxy.FaultProxy`, and `strict_s3.StrictS3` built on it."""
