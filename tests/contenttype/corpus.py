"""Small real files of many kinds, made here with the standard library or written by hand from their specifications."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import marshal
import pickle
import random
import sqlite3
import struct
import tarfile
import wave
import zipfile
import zlib
from typing import NamedTuple

OOXML = "application/vnd.openxmlformats-officedocument."
ODF = "application/vnd.oasis.opendocument."
PE = "application/vnd.microsoft.portable-executable"


class Case(NamedTuple):
    """One file: its honest name, its bytes, its type, and whether the type shows without the name."""

    name: str
    data: bytes
    expected: str
    nameless: bool = True


def junk(size: int, seed: int = 7) -> bytes:
    return random.Random(seed).randbytes(size)


def png(width: int = 4, height: int = 4) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    pixels = b"".join(b"\0" + junk(width * 3, row) for row in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def zipped(entries: dict[str, bytes], *, stored: tuple[str, ...] = (), streamed: bool = False) -> bytes:
    """A zip archive; ``streamed`` as written to a pipe, with sizes after the data."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise OSError

        def seek(self, *_: int) -> int:
            raise OSError

    file = Pipe() if streamed else io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, body in entries.items():
            kind = zipfile.ZIP_STORED if name in stored else zipfile.ZIP_DEFLATED
            archive.writestr(zipfile.ZipInfo(name), body, kind)
    return file.getvalue()


def ooxml(folder: str, main: str, *, filler: int = 0, streamed: bool = False, order: int = 0) -> bytes:
    """A minimal Office Open XML package: ``order`` 1 puts the document before the content types."""
    overrides = "".join(
        f'<Override PartName="/{folder}/p{i}.xml" ContentType="application/x{i}"/>' for i in range(filler)
    )
    types = (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?><Types xmlns="http://schemas.openxmlformats.org/'
        'package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.'
        'relationships+xml"/><Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/{folder}/main.xml" ContentType="{main}.main+xml"/>{overrides}</Types>'
    )
    rels = '<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"/>'
    entries = {"[Content_Types].xml": types.encode(), "_rels/.rels": rels.encode(), f"{folder}/main.xml": b"<x/>" * 900}
    if order:
        entries = dict(reversed(entries.items()))
    return zipped(entries, streamed=streamed)


def odf(kind: str) -> bytes:
    return zipped(
        {"mimetype": kind.encode(), "META-INF/manifest.xml": b"<m/>", "content.xml": b"<c/>"}, stored=("mimetype",)
    )


def ole(stream: str = "", *, far: bool = False) -> bytes:
    """The header of an OLE compound file and, unless ``far``, its directory with one stream."""
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6)
    body = header.ljust(512, b"\xff") + (b"\xff" * 512 if not far else b"\xff" * 8192)
    for name in ("Root Entry", stream):
        body += name.encode("utf-16-le").ljust(64, b"\0") + struct.pack("<H", 2 * len(name) + 2) + bytes(62)
    return body + bytes(2048)


def tar(kind: int) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=kind) as archive:
        info = tarfile.TarInfo("folder/a.txt")
        info.size = 5
        archive.addfile(info, io.BytesIO(b"hello"))
    return file.getvalue()


def tar_v7() -> bytes:
    header = bytearray(
        b"a.txt".ljust(100, b"\0") + b"0000644\0" + b"0001750\0" * 2 + b"00000000005\0" + b"14000000000\0"
    )
    header += b" " * 8 + b"0"
    header = header.ljust(512, b"\0")
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + b"hello".ljust(512, b"\0") + bytes(1024)


def sqlite() -> bytes:
    base = sqlite3.connect(":memory:")
    base.execute("create table t (a, b)")
    data = base.serialize()
    base.close()
    return data


def wav() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(junk(400))
    return file.getvalue()


def mp3() -> bytes:
    frame = b"\xff\xfb\x90\x00" + junk(413, 3).replace(b"\xff", b"\0")  # MPEG-1 layer III, 128 kbit/s, 44.1 kHz
    return frame * 6


def aac() -> bytes:
    body = junk(193, 4).replace(b"\xff", b"\0")
    return (b"\xff\xf1\x50\x80" + bytes((200 >> 3, (200 & 7) << 5 | 0x1F, 0xFC)) + body) * 6


def ogg(packet: bytes) -> bytes:
    return (
        b"OggS\0\2"
        + bytes(8)
        + b"\1\0\0\0"
        + bytes(4)
        + b"\0\0\0\0"
        + b"\1"
        + bytes((len(packet),))
        + packet
        + junk(200)
    )


def ftyp(brand: bytes, *compatible: bytes) -> bytes:
    box = b"ftyp" + brand + b"\0\0\2\0" + b"".join((brand, *compatible))
    return struct.pack(">I", len(box) + 4) + box + b"\0\0\0\x08free" + struct.pack(">I", 400) + b"mdat" + junk(392)


def ebml(doctype: bytes) -> bytes:
    body = (
        b"\x42\x86\x81\1\x42\xf7\x81\1\x42\xf2\x81\4\x42\xf3\x81\x08\x42\x82" + bytes((0x80 | len(doctype),)) + doctype
    )
    return b"\x1a\x45\xdf\xa3" + bytes((0x80 | len(body),)) + body + b"\x18\x53\x80\x67" + junk(100)


def elf(kind: int = 2) -> bytes:
    return b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHI", kind, 62, 1) + junk(200)


def pe() -> bytes:
    dos = b"MZ\x90\0\3\0\0\0\4\0\0\0\xff\xff\0\0".ljust(60, b"\0") + struct.pack("<I", 128)
    dos = (dos + b"\x0e\x1f\xba\x0e\0\xb4\t\xcd!\xb8\1L\xcd!This program cannot be run in DOS mode.\r\r\n$").ljust(
        128, b"\0"
    )
    return dos + b"PE\0\0\x64\x86\3\0" + bytes(16) + b"\x0b\2" + bytes(400)


def sfnt(version: bytes) -> bytes:
    tables = b"".join(
        tag + struct.pack(">III", 0, 300 + i, 40) for i, tag in enumerate((b"cmap", b"glyf", b"head", b"hhea"))
    )
    return version + struct.pack(">HHHH", 4, 64, 2, 0) + tables + bytes(400)


def icon() -> bytes:
    picture = png()
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(picture), 22) + picture


def bmp() -> bytes:
    return (
        b"BM"
        + struct.pack("<IHHI", 54 + 48, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, 4, 4, 1, 24, 0, 48, 0, 0, 0, 0)
        + junk(48)
    )


def eot() -> bytes:
    return struct.pack("<IIII", 500, 400, 0x20001, 0) + bytes(18) + b"LP" + bytes(464)


def ts() -> bytes:
    return b"".join(b"G\x40\0" + bytes((0x10 | i & 15,)) + bytes(184) for i in range(8))


PROSE = "The quick brown fox jumps over the lazy dog, and then it rains.\nNothing else happened that day.\n"
HTML = b"<!DOCTYPE html>\n<html lang='en'><head><title>T</title></head><body><p>Hi</p></body></html>\n"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"><rect width="4" height="4"/></svg>\n'
XML = b'<?xml version="1.0" encoding="UTF-8"?>\n'
CSV = b"id,name,price\n1,apple,0.5\n2,pear,0.7\n"
PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer << /Root 1 0 R >>\n%%EOF\n"
GIF = b"GIF89a\1\0\1\0\x80\0\0\xff\xff\xff\0\0\0!\xf9\4\1\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;"
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0\xff\xdb\0C\0" + bytes(range(1, 65)) + junk(200) + b"\xff\xd9"
LONG_JSON = json.dumps({"rows": [{"id": i, "name": f"row {i}"} for i in range(400)]}, indent=1).encode()


def binary() -> list[Case]:
    word, sheet, show = (
        OOXML + kind for kind in ("wordprocessingml.document", "spreadsheetml.sheet", "presentationml.presentation")
    )
    macro = "application/vnd.ms-excel.sheet.macroEnabled"
    jar = {
        "META-INF/": b"",
        "META-INF/MANIFEST.MF": b"Manifest-Version: 1.0\r\n\r\n",
        "A.class": b"\xca\xfe\xba\xbe\0\0\0\x3d" + junk(90),
    }
    apk = {"AndroidManifest.xml": b"\3\0\x08\0" + junk(90), "classes.dex": b"dex\n035\0" + junk(90)}
    return [
        Case("a.png", png(), "image/png"),
        Case("a.jpg", JPEG, "image/jpeg"),
        Case("a.gif", GIF, "image/gif"),
        Case(
            "a.webp", b"RIFF" + struct.pack("<I", 212) + b"WEBPVP8 " + struct.pack("<I", 200) + junk(200), "image/webp"
        ),
        Case("a.avif", ftyp(b"avif", b"mif1", b"miaf"), "image/avif"),
        Case("b.avif", ftyp(b"mif1", b"avif", b"miaf"), "image/avif"),
        Case("a.heic", ftyp(b"heic", b"mif1"), "image/heic"),
        Case("b.heic", ftyp(b"mif1", b"heic"), "image/heic"),
        Case("a.heif", ftyp(b"mif1", b"miaf"), "image/heif"),
        Case("a.bmp", bmp(), "image/bmp"),
        Case("a.tiff", b"II*\0\x08\0\0\0" + struct.pack("<HHHII", 1, 256, 3, 1, 4) + bytes(90), "image/tiff"),
        Case("b.tif", b"MM\0*\0\0\0\x08" + struct.pack(">HHHII", 1, 256, 3, 1, 4) + bytes(90), "image/tiff"),
        Case("a.ico", icon(), "image/vnd.microsoft.icon"),
        Case(
            "a.psd",
            b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 4, 4, 8, 3) + bytes(90),
            "image/vnd.adobe.photoshop",
        ),
        Case("a.jp2", b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 \0\0\0\0jp2 " + junk(90), "image/jp2"),
        Case("a.jxl", b"\xff\x0a\xfa\x1f\x01" + junk(90), "image/jxl"),
        Case("a.ppm", b"P6\n4 4\n255\n" + bytes(range(48)), "image/x-portable-pixmap"),
        Case("a.pgm", b"P5\n# made by hand\n4 4\n255\n" + bytes(range(16)), "image/x-portable-graymap"),
        Case("a.icns", b"icns\0\0\1\0ic07\0\0\0\xf8" + junk(240), "image/x-icns"),
        Case("a.pdf", PDF, "application/pdf"),
        Case("a.ps", b"%!PS-Adobe-3.0\n%%Pages: 1\nshowpage\n", "application/postscript"),
        Case("a.rtf", b"{\\rtf1\\ansi{\\fonttbl\\f0 Arial;}\\f0 Hello}", "application/rtf"),
        Case("a.zip", zipped({"a.txt": b"hello"}), "application/zip"),
        Case("empty.zip", zipped({}), "application/zip"),
        Case("a.docx", ooxml("word", word), word),
        Case("long.docx", ooxml("word", word, filler=300), word),
        Case("piped.docx", ooxml("word", word, streamed=True), word),
        Case("late.docx", ooxml("word", word, order=1), word),
        Case("a.xlsx", ooxml("xl", sheet), sheet),
        Case("a.xlsm", ooxml("xl", macro), macro + ".12"),
        Case("a.pptx", ooxml("ppt", show), show),
        Case("a.odt", odf(ODF + "text"), ODF + "text"),
        Case("a.ods", odf(ODF + "spreadsheet"), ODF + "spreadsheet"),
        Case("a.epub", odf("application/epub+zip"), "application/epub+zip"),
        Case("a.jar", zipped(jar), "application/java-archive"),
        Case("a.apk", zipped(apk), "application/vnd.android.package-archive"),
        Case("signed.apk", zipped(jar | apk), "application/vnd.android.package-archive"),
        Case("a.kmz", zipped({"doc.kml": b"<kml/>"}), "application/vnd.google-earth.kmz"),
        Case("a.doc", ole("WordDocument"), "application/msword"),
        Case("a.xls", ole("Workbook"), "application/vnd.ms-excel"),
        Case("a.ppt", ole("PowerPoint Document"), "application/vnd.ms-powerpoint"),
        Case("a.msg", ole("__properties_version1.0"), "application/vnd.ms-outlook"),
        Case("far.doc", ole("WordDocument", far=True), "application/msword", nameless=False),
        Case("encrypted.docx", ole("EncryptedPackage"), word, nameless=False),
        Case("a.gz", gzip.compress(b"hello", mtime=0), "application/gzip"),
        Case("hello.csv.gz", gzip.compress(CSV, mtime=0), "application/gzip"),
        Case("a.tar.gz", gzip.compress(tar(tarfile.USTAR_FORMAT), mtime=0), "application/gzip"),
        Case("a.bz2", bz2.compress(b"hello"), "application/x-bzip2"),
        Case("empty.bz2", bz2.compress(b""), "application/x-bzip2"),
        Case("a.xz", lzma.compress(b"hello"), "application/x-xz"),
        Case("a.lzma", lzma.compress(b"hello", lzma.FORMAT_ALONE), "application/x-lzma"),
        Case("a.zst", b"\x28\xb5\x2f\xfd\x04\0\x29\0\0hello\x80\x9b\x5e\xd3", "application/zstd"),
        Case("a.lz4", b"\x04\x22\x4d\x18\x64\x40\xa7\5\0\0\x80hello\0\0\0\0\x42\x42\x42\x42", "application/x-lz4"),
        Case("a.7z", b"7z\xbc\xaf\x27\x1c\0\4" + junk(90), "application/x-7z-compressed"),
        Case("a.rar", b"Rar!\x1a\7\1\0" + junk(90), "application/vnd.rar"),
        Case("b.rar", b"Rar!\x1a\7\0\xcf\x90\x73\0\0\x0d\0\0\0" + junk(90), "application/vnd.rar"),
        Case("a.tar", tar(tarfile.USTAR_FORMAT), "application/x-tar"),
        Case("gnu.tar", tar(tarfile.GNU_FORMAT), "application/x-tar"),
        Case("pax.tar", tar(tarfile.PAX_FORMAT), "application/x-tar"),
        Case("v7.tar", tar_v7(), "application/x-tar"),
        Case(
            "a.deb",
            b"!<arch>\ndebian-binary   1700000000  0     0     100644  4         `\n2.0\n",
            "application/vnd.debian.binary-package",
        ),
        Case("a.sqlite", sqlite(), "application/vnd.sqlite3"),
        Case("a.parquet", b"PAR1\x15\x04\x15\x10" + junk(90) + b"PAR1", "application/vnd.apache.parquet"),
        Case(
            "a.avro",
            b'Obj\1\4\x16avro.schema\x1e{"type":"string"}\x14avro.codec\x08null\0' + junk(40),
            "application/avro",
        ),
        Case("a.orc", b"ORC\x11\0\0\x0a\x06\x12\x04\x08\x01P\0" + junk(90), "application/vnd.apache.orc"),
        Case(
            "a.arrow",
            b"ARROW1\0\0\xff\xff\xff\xff\x80\0\0\0" + junk(90) + b"ARROW1",
            "application/vnd.apache.arrow.file",
        ),
        Case("v1.feather", b"FEA1\0\0\0\0" + junk(90) + b"FEA1", "application/x-feather"),
        Case("a.h5", b"\x89HDF\r\n\x1a\n\0\0\0\0\0\x08\x08\0" + junk(90), "application/x-hdf5"),
        Case("block.h5", bytes(512) + b"\x89HDF\r\n\x1a\n\0\0\0\0\0\x08\x08\0" + junk(90), "application/x-hdf5"),
        Case(
            "a.npy",
            b"\x93NUMPY\1\0v\0{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }".ljust(127) + b"\n" + junk(24),
            "application/x-npy",
        ),
        Case("a.npz", zipped({"a.npy": b"\x93NUMPY\1\0v\0"}), "application/x-npz", nameless=False),
        Case(
            "a.mat",
            b"MATLAB 5.0 MAT-file, Platform: POSIX".ljust(124) + b"\0\1IM" + junk(90),
            "application/x-matlab-data",
        ),
        Case("a.wav", wav(), "audio/wave"),
        Case("long.wav", b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0" + bytes(28), "audio/wave"),
        Case("a.mp3", mp3(), "audio/mpeg"),
        Case("tagged.mp3", b"ID3\4\0\0\0\0\1\0TIT2\0\0\0\6\0\0\3Title" + bytes(110) + mp3(), "audio/mpeg"),
        Case("a.aac", aac(), "audio/aac"),
        Case("a.flac", b"fLaC\0\0\0\x22\x10\0\x10\0" + junk(120), "audio/flac"),
        Case("a.ogg", ogg(b"\x01vorbis\0\0\0\0\2\x44\xac\0\0"), "audio/ogg"),
        Case("a.opus", ogg(b"OpusHead\1\2\x38\1\x80\xbb\0\0\0\0\0"), "audio/ogg"),
        Case("a.ogv", ogg(b"\x80theora\3\2\1"), "video/ogg"),
        Case("a.aiff", b"FORM\0\0\0\x40AIFFCOMM" + junk(60), "audio/aiff"),
        Case("a.mid", b"MThd\0\0\0\6\0\1\0\2\1\xe0MTrk" + junk(60), "audio/midi"),
        Case("a.mp4", ftyp(b"isom", b"iso2", b"avc1", b"mp41"), "video/mp4"),
        Case("b.mp4", ftyp(b"mp42", b"mp41"), "video/mp4"),
        Case("a.m4a", ftyp(b"M4A ", b"mp42", b"isom"), "audio/mp4"),
        Case("dash.m4a", ftyp(b"isom", b"mp41"), "audio/mp4", nameless=False),
        Case("a.mov", ftyp(b"qt  "), "video/quicktime"),
        Case("old.mov", b"\0\0\0\x08wide\0\0\1\0mdat" + junk(200), "video/quicktime"),
        Case("a.3gp", ftyp(b"3gp5", b"isom"), "video/3gpp"),
        Case("a.mkv", ebml(b"matroska"), "video/matroska"),
        Case("a.webm", ebml(b"webm"), "video/webm"),
        Case("a.avi", b"RIFF\0\1\0\0AVI LIST\xc0\0\0\0hdrlavih" + junk(200), "video/vnd.avi"),
        Case("a.ts", ts(), "video/mp2t"),
        Case("a.mpg", b"\0\0\1\xba\x44\0\4\0\4\1" + junk(200), "video/mpeg"),
        Case("a.woff", b"wOFF\0\1\0\0" + bytes(100), "font/woff"),
        Case("a.woff2", b"wOF2\0\1\0\0" + bytes(100), "font/woff2"),
        Case("a.ttf", sfnt(b"\0\1\0\0"), "font/ttf"),
        Case("a.otf", sfnt(b"OTTO"), "font/otf"),
        Case("a.eot", eot(), "application/vnd.ms-fontobject"),
        Case("program", elf(), "application/x-elf"),
        Case("lib.so", elf(3), "application/x-elf"),
        Case("a.exe", pe(), PE),
        Case("a.dll", pe(), PE),
        Case("macho", b"\xcf\xfa\xed\xfe\7\0\0\1\3\0\0\0\2\0\0\0" + junk(90), "application/x-mach-binary"),
        Case("fat", b"\xca\xfe\xba\xbe\0\0\0\2\1\0\0\7\0\0\0\3\0\0\x40\0" + junk(90), "application/x-mach-binary"),
        Case("a.wasm", b"\0asm\1\0\0\0" + junk(90), "application/wasm"),
        Case("A.class", b"\xca\xfe\xba\xbe\0\0\0\x3d\0\x10" + junk(90), "application/java-vm"),
        Case("a.pcap", b"\xd4\xc3\xb2\xa1\2\0\4\0" + bytes(16) + junk(90), "application/vnd.tcpdump.pcap"),
        Case("a.dcm", bytes(128) + b"DICM\2\0\0\0UL\4\0" + junk(90), "application/dicom"),
        Case("a.glb", b"glTF\2\0\0\0\x60\0\0\0" + b'\x14\0\0\0JSON{"asset":{}}    ', "model/gltf-binary"),
        Case("a.bin", junk(1000), "application/octet-stream"),
        Case("a.pickle", pickle.dumps({"a": [1, 2.5, None]}, 4), "application/octet-stream"),
        Case("a.marshal", marshal.dumps({"a": [1, 2.5, None]}), "application/octet-stream"),
        Case("packed.bin", b"\x83\xa1a\x01\xa1b\xcb@\x04\0\0\0\0\0\0\xa1c\xc3" * 9, "application/octet-stream"),
        Case(
            "a.msgpack",
            b"\x83\xa1a\x01\xa1b\xcb@\x04\0\0\0\0\0\0\xa1c\xc3" * 9,
            "application/vnd.msgpack",
            nameless=False,
        ),
    ]


def text() -> list[Case]:
    russian = "Съешь ещё этих мягких французских булок, да выпей же чаю.\n" * 3
    atom = XML + b'<feed xmlns="http://www.w3.org/2005/Atom"><title>t</title></feed>'
    xhtml = (
        XML
        + b'<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "x.dtd">\n<html xmlns="http://www.w3.org/1999/xhtml"/>'
    )
    doctype = b'<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "svg11.dtd" [ <!ENTITY a "b"> ]>\n'
    return [
        Case("empty.txt", b"", "application/x-empty"),
        Case("a.txt", PROSE.encode(), "text/plain"),
        Case("README", PROSE.encode(), "text/plain"),
        Case("bom.txt", b"\xef\xbb\xbf" + "Grüße\n".encode(), "text/plain"),
        Case("utf16.txt", PROSE.encode("utf-16"), "text/plain"),
        Case("utf16be.txt", b"\xfe\xff" + russian.encode("utf-16-be"), "text/plain"),
        Case("emoji.txt", ("naïve 😀 文件\n" * 400).encode(), "text/plain"),
        Case("latin1.txt", "Résumé: déjà vu, garçon, naïveté.\n".encode("latin-1"), "text/plain"),
        Case("cyrillic.txt", russian.encode("cp1251"), "text/plain"),
        Case("japanese.txt", ("これは日本語の文書です。\n" * 8).encode("shift-jis"), "text/plain"),
        Case("iso2022.txt", ("これは日本語の文書です。\n" * 8).encode("iso-2022-jp"), "text/plain"),
        Case("a.html", HTML, "text/html"),
        Case("late.html", b"\n\n  <!-- " + b"licence " * 40 + b"-->\n" + HTML, "text/html"),
        Case("bare.html", b"<div class=x>hello</div>", "text/html"),
        Case("bom.html", b"\xef\xbb\xbf" + HTML, "text/html"),
        Case("utf16.html", HTML.decode().encode("utf-16"), "text/html"),
        Case("a.xhtml", xhtml, "application/xhtml+xml"),
        Case("a.svg", SVG, "image/svg+xml"),
        Case("b.svg", XML + b"<!-- made by hand -->\n" + doctype + SVG, "image/svg+xml"),
        Case("a.xml", XML + b"<order><item/></order>", "text/xml"),
        Case("a.atom", atom, "application/atom+xml"),
        Case("a.rss", XML + b'<rss version="2.0"><channel/></rss>', "application/rss+xml"),
        Case("a.kml", XML + b'<kml xmlns="http://www.opengis.net/kml/2.2"/>', "application/vnd.google-earth.kml+xml"),
        Case("a.xsl", XML + b'<xsl:stylesheet version="1.0" xmlns:xsl="x"/>', "application/xslt+xml"),
        Case("a.json", b'{"a": [1, 2, {"b": null}]}\n', "application/json"),
        Case("long.json", LONG_JSON, "application/json"),
        Case("list.json", b"[1, 2, 3]\n", "application/json"),
        Case("a.jsonl", b'{"a": 1}\n{"a": 2}\n{"a": 3}\n', "application/x-ndjson"),
        Case("a.geojson", b'{"type": "Point", "coordinates": [1, 2]}', "application/geo+json", nameless=False),
        Case("ascii.pgm", b"P2\n2 2\n255\n0 1\n2 3\n", "image/x-portable-graymap", nameless=False),
        Case("a.csv", CSV, "text/csv", nameless=False),
        Case("a.tsv", CSV.replace(b",", b"\t"), "text/tab-separated-values", nameless=False),
        Case("a.md", b"# Title\n\nSome *text* and `code`.\n\n* one\n* two\n", "text/markdown", nameless=False),
        Case("centre.md", b'<p align="center"><img src="logo.png"></p>\n\n# Title\n', "text/markdown", nameless=False),
        Case("a.css", b"body { margin: 0; color: #333 }\n.a > b { top: 1px }\n", "text/css", nameless=False),
        Case("a.js", b"'use strict';\nexport const a = () => 1;\n", "text/javascript", nameless=False),
        Case("a.py", b"import os\n\n\ndef main() -> None:\n    print(os.name)\n", "text/x-python", nameless=False),
        Case("script.py", b"#!/usr/bin/env python3\nprint(1)\n", "text/x-python"),
        Case("a.sh", b"#!/bin/sh\nset -e\necho hello\n", "application/x-sh"),
        Case("configure", b"#! /usr/bin/env bash\necho hello\n", "application/x-sh"),
        Case("a.yaml", b"---\na: 1\nb:\n  - c\n", "application/yaml", nameless=False),
        Case("a.toml", b'[a]\nb = "c"\n', "application/toml", nameless=False),
        Case("a.ics", b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nEND:VCALENDAR\r\n", "text/calendar"),
        Case("a.vcf", b"BEGIN:VCARD\r\nVERSION:4.0\r\nFN:A\r\nEND:VCARD\r\n", "text/vcard"),
        Case("a.vtt", b"WEBVTT\n\n00:01.000 --> 00:04.000\nHello\n", "text/vtt", nameless=False),
        Case("a.php", b"<?php\necho 1;\n", "application/x-httpd-php"),
    ]


def spoofed() -> list[Case]:
    """Contents under names that lie about them."""
    return [
        Case("png.txt", png(), "image/png"),
        Case("png.html", png(), "image/png"),
        Case("html.png", HTML, "text/html"),
        Case("html.txt", HTML, "text/html"),
        Case("html.json", HTML, "text/html"),
        Case("script.jpg", b"<script>alert(1)</script>", "text/html"),
        Case("image.gif", b"<IMG SRC=x onerror=alert(1)>" + b"<body>", "text/plain"),
        Case("svg.png", SVG, "image/svg+xml"),
        Case("svg.txt", SVG, "image/svg+xml"),
        Case("junk.png", junk(1000), "application/octet-stream"),
        Case("junk.pdf", junk(1000), "application/octet-stream"),
        Case("junk.txt", junk(1000), "application/octet-stream"),
        Case("junk.docx", junk(1000), "application/octet-stream"),
        Case("text.png", PROSE.encode(), "text/plain"),
        Case("text.zip", PROSE.encode(), "text/plain"),
        Case("text.docx", PROSE.encode(), "text/plain"),
        Case("exe.pdf", pe(), PE),
        Case("elf.jpg", elf(), "application/x-elf"),
        Case("pdf.jpg", PDF, "application/pdf"),
        Case("gzip.csv", gzip.compress(CSV, mtime=0), "application/gzip"),
        Case("zip.csv", zipped({"a": b"b"}), "application/zip"),
        Case("docx.xlsx", ooxml("word", OOXML + "wordprocessingml.document"), OOXML + "wordprocessingml.document"),
        Case("docx.zip", ooxml("word", OOXML + "wordprocessingml.document"), OOXML + "wordprocessingml.document"),
        Case("folder.zip", zipped({"word/notes.txt": b"x"}), "application/zip"),
        Case(
            "nested.zip",
            zipped({"a.docx": ooxml("word", OOXML + "wordprocessingml.document")}, stored=("a.docx",)),
            "application/zip",
        ),
        Case("odt.zip", odf(ODF + "text"), ODF + "text"),
        Case("liar.zip", odf("text/html"), "application/zip"),
        Case("mp3.jpg", mp3(), "audio/mpeg"),
        Case("cache.ttf", b"\0\1\0\0\0\0\0\x0c\0\0\x01\x60" + bytes(300), "application/octet-stream"),
        Case("p5.pgm.txt", b"P5 is a road, P6 another.\n", "text/plain"),
        Case("bmw.bmp", b"BMW makes cars, MZ made motorcycles.\n", "text/plain"),
        Case("mz.exe", b"MZ was a motorcycle.\n", "text/plain"),
        Case("par.txt", b"PAR1 is a magic, ORC a monster, ID3 a tag.\n", "text/plain"),
    ]
