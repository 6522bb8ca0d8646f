"""A user's program. Where a line ends in "wrong", a type checker must say so, and nowhere else."""

from __future__ import annotations

import datetime
import io
from pathlib import Path

import file_keeper as fk

storage = fk.make_storage("media", {"type": "memory"})
made: fk.FileData = storage.upload("a", b"content")
storage.upload("b", Path("picture.png"))
storage.upload("c", (chunk for chunk in [b"a", b"b"]), overwrite=made, metadata={"k": "v"})
storage.upload("d", io.BytesIO(b"content"), progress=lambda done, total: None)
storage.upload("e", fk.make_upload(bytearray(b"e")))
storage.upload("f", "text")  # wrong
storage.upload("f", 5)  # wrong
storage.upload("f", ["text"])  # wrong
storage.upload("f", b"", metadata={"k": 5})  # wrong

with storage.open("a") as file:
    start: bytes = file.read(10)
with storage.open("a", "r", encoding="utf-8") as text:
    line: str = text.readline()
with storage.open("a", "wb", overwrite=True) as writer:
    writer.write(b"bytes")
with storage.open("a", "w", overwrite=made) as writes:
    writes.write("text")
with storage.open("a") as again:
    said: str = again.read()  # wrong
with storage.open("a", "rb", encoding="utf-8") as none:  # wrong
    pass
with storage.open("a", "wb", overwriting=True) as no:  # wrong
    pass

for entry in storage.files():
    size: int = entry.size
for either in storage.files(delimiter="/"):
    length: int = either.size  # wrong
for name in storage.scan(prefix="a"):
    upper: str = name.upper()

link: str = storage.temporary_link(made, datetime.timedelta(hours=1))
copied: fk.FileData = storage.copy("target", made)
hash_of: str = copied.hash
gone: bool = storage.remove("a")
content: bytes = storage.content("a")
content = storage.range("a", 0, "5")  # wrong
