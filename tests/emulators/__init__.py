"""The servers that the tests run against: each module starts one kind, on a free loopback port.

`s3.start()` (moto, also over TLS), `gcs.start()` (gcp-storage-emulator) and `azure.start()` (Azurite) answer with a
small frozen record: `url`, credentials, `new_bucket()`, `reset()`, `stop()`. `fixtures` gives them to
tests, one a worker.
"""
