"""What the bytes are: the media type of a content, from its first bytes and then from its name.

Content decides, the name only refines it: a name chooses among the types that the content can have (plain text
may be CSV, a zip container may be an e-book) and never overrules a signature. Nothing outside this module is
read, so one content under one name has one type on every machine and every Python. Why the table is our own is
told, with figures, in ``docs/decisions/content-types.md``.

Sources: the formats' own specifications; the WHATWG MIME Sniffing Standard (https://mimesniff.spec.whatwg.org/)
for what is text and what is HTML; the IANA registry (https://www.iana.org/assignments/media-types/) for names.
An unregistered type has its customary ``x-`` name. Only WAVE has WHATWG's name: not every browser plays IANA's.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable

SNIFF = 2048
"""Bytes of content that are enough for :func:`detect`; what comes after them is ignored."""

EMPTY = "application/x-empty"
UNKNOWN = "application/octet-stream"

_ZIP, _OLE = "application/zip", "application/x-ole-storage"
_OOXML = "application/vnd.openxmlformats-officedocument."
_ODF = "application/vnd.oasis.opendocument."


def _names(table: str, prefix: str = "") -> dict[str, str]:
    """Read lines of "type extension ..." into extension -> type."""
    return {name: prefix + kind for kind, *names in map(str.split, table.strip().splitlines()) for name in names}


# Formats that are written as text: their content says "text", their name says which.
_TEXT = _names("""
    application/atom+xml atom
    application/dash+xml mpd
    application/geo+json geojson
    application/gpx+xml gpx
    application/graphql graphql gql
    application/json json map har
    application/ld+json jsonld
    application/manifest+json webmanifest
    application/n-triples nt
    application/rdf+xml rdf owl
    application/rss+xml rss
    application/rtf rtf
    application/sparql-query rq
    application/sql sql
    application/toml toml
    application/vnd.apple.mpegurl m3u8
    application/vnd.google-earth.kml+xml kml
    application/vnd.recordare.musicxml+xml musicxml
    application/wsdl+xml wsdl
    application/x-csh csh
    application/x-httpd-php php phtml
    application/x-ipynb+json ipynb
    application/x-ndjson ndjson jsonl
    application/x-plist plist
    application/x-sh sh bash
    application/x-subrip srt
    application/x-tex tex latex
    application/xhtml+xml xhtml xht
    application/xml-dtd dtd
    application/xslt+xml xsl xslt
    application/yaml yaml yml
    audio/x-mpegurl m3u
    image/svg+xml svg
    message/rfc822 eml mht mhtml
    model/gltf+json gltf
    model/mtl mtl
    model/obj obj
    model/step step stp
    model/stl stl
    model/vnd.collada+xml dae
    text/calendar ics ifb
    text/css css
    text/csv csv
    text/html html htm shtml
    text/javascript js mjs cjs
    text/jsx jsx
    text/markdown md markdown
    text/n3 n3
    text/plain txt text log ini cfg conf
    text/richtext rtx
    text/sgml sgml sgm
    text/tab-separated-values tsv
    text/turtle ttl
    text/vcard vcf vcard
    text/vtt vtt
    text/x-diff diff patch
    text/x-python py pyi
    text/x-rst rst
    text/x-scss scss
    text/x-typescript ts tsx
    text/xml xml xsd
""")
# Formats that are zip containers, for those whose first entries do not say it.
_ZIPPED = {
    **_names(
        """
        wordprocessingml.document docx
        wordprocessingml.template dotx
        spreadsheetml.sheet xlsx
        spreadsheetml.template xltx
        presentationml.presentation pptx
        presentationml.template potx
        presentationml.slideshow ppsx
        """,
        _OOXML,
    ),
    **_names("text odt\nspreadsheet ods\npresentation odp\ngraphics odg\nformula odf\ntext-template ott", _ODF),
    **_names("""
        application/epub+zip epub
        application/java-archive jar war ear
        application/vnd.android.package-archive apk
        application/vnd.comicbook+zip cbz
        application/vnd.google-earth.kmz kmz
        application/vnd.ms-excel.sheet.binary.macroEnabled.12 xlsb
        application/vnd.ms-excel.sheet.macroEnabled.12 xlsm
        application/vnd.ms-powerpoint.presentation.macroEnabled.12 pptm
        application/vnd.ms-word.document.macroEnabled.12 docm
        application/vnd.ms-xpsdocument xps
        application/vnd.visio2013 vsdx
        application/x-npz npz
        application/x-xpinstall xpi
        model/3mf 3mf
        model/vnd.usdz+zip usdz
    """),
}
# Formats that are OLE compound files ("docx": an encrypted one is).
_COMPOUND = _names("""
    application/msword doc dot
    application/vnd.ms-excel xls xlt
    application/vnd.ms-outlook msg
    application/vnd.ms-powerpoint ppt pot pps
    application/vnd.ms-project mpp
    application/vnd.visio vsd
    application/x-msi msi
    application/x-mspublisher pub
""") | {name: kind for name, kind in _ZIPPED.items() if kind.startswith(_OOXML)}
# Binary formats without a signature in the first SNIFF bytes: only here does a name alone decide.
_UNSIGNED = _names("""
    application/cbor cbor
    application/pkix-cert cer crt der
    application/vnd.efi.iso iso
    application/vnd.msgpack msgpack
    application/x-apple-diskimage dmg
    application/x-pkcs12 p12 pfx
    application/x-python-code pyc
    image/x-tga tga
    model/stl stl
""")
# Containers that say little about what is in them: (type by content, extension) -> type.
_REFINED = {
    ("video/mp4", "m4a"): "audio/mp4",
    ("application/ogg", "ogv"): "video/ogg",
    ("application/ogg", "oga"): "audio/ogg",
    ("application/ogg", "ogg"): "audio/ogg",
    ("video/matroska", "mka"): "audio/matroska",
    ("video/webm", "weba"): "audio/webm",
    ("video/x-ms-asf", "wma"): "audio/x-ms-wma",
    ("video/x-ms-asf", "wmv"): "video/x-ms-wmv",
}


def _riff(head: bytes) -> str:
    return {b"WEBP": "image/webp", b"WAVE": "audio/wave", b"AVI ": "video/vnd.avi"}.get(head[8:12], "")


def _form(head: bytes) -> str:
    return "audio/aiff" if head[8:12] in (b"AIFF", b"AIFC") else ""


def _bmp(head: bytes) -> str:
    # The length of the second header (BITMAPCOREHEADER ... BITMAPV5HEADER) tells a bitmap from a text "BM...".
    return "image/bmp" if head[14:18] in {bytes((n, 0, 0, 0)) for n in (12, 16, 40, 52, 56, 64, 108, 124)} else ""


def _icon(head: bytes) -> str:
    # A directory of at least one picture, whose first entry has its reserved byte zero.
    return "image/vnd.microsoft.icon" if head[4:6] != b"\0\0" and head[9:10] == b"\0" else ""


def _id3(head: bytes) -> str:
    return "audio/mpeg" if len(head) >= 10 and 2 <= head[3] <= 4 and max(head[6:10]) < 0x80 else ""


def _cafebabe(head: bytes) -> str:
    # The same four bytes: then a class file's version (45 and up) or a fat binary's count of architectures.
    if len(head) < 8:
        return ""
    return "application/java-vm" if int.from_bytes(head[4:8], "big") & 0xFFFF >= 45 else "application/x-mach-binary"


def _exe(head: bytes) -> str:
    if _textual(head):
        return ""
    at = int.from_bytes(head[60:64], "little")
    if len(head) >= 64 and (at >= SNIFF or head[at : at + 4] == b"PE\0\0"):
        return "application/vnd.microsoft.portable-executable"
    return "application/x-dosexec"


def _matroska(head: bytes) -> str:
    return "video/webm" if b"\x42\x82\x84webm" in head[:80] else "video/matroska"


def _ogg(head: bytes) -> str:
    codec = head[28:36]
    if codec.startswith((b"OpusHead", b"\x01vorbis", b"\x7fFLAC", b"Speex")):
        return "audio/ogg"
    return "video/ogg" if codec.startswith(b"\x80theora") else "application/ogg"


def _lzma(head: bytes) -> str:
    size = int.from_bytes(head[5:13], "little")
    return "application/x-lzma" if len(head) >= 13 and (size == 2**64 - 1 or size < 2**38) and not head[13:14].strip(b"\0") else ""


def _archive(head: bytes) -> str:
    return "application/vnd.debian.binary-package" if head[8:21] == b"debian-binary" else "application/x-archive"


_MAIN_PART = re.compile(
    rb'"(application/vnd\.(?:openxmlformats-officedocument|ms-(?:word|excel|powerpoint))\.[\w.-]{1,64}?)\.main(?:\+xml)?"'
)
_ENTRIES = (
    ("word/", _OOXML + "wordprocessingml.document"),
    ("xl/", _OOXML + "spreadsheetml.sheet"),
    ("ppt/", _OOXML + "presentationml.presentation"),
    ("visio/", "application/vnd.visio2013"),
    ("3D/", "model/3mf"),
    ("doc.kml", "application/vnd.google-earth.kmz"),
    ("AndroidManifest.xml", "application/vnd.android.package-archive"),
    ("classes.dex", "application/vnd.android.package-archive"),
    ("META-INF/com/android/", "application/vnd.android.package-archive"),
    ("META-INF/MANIFEST.MF", "application/java-archive"),
)


def _zip(head: bytes) -> str:
    """Type by the entries at the start of a zip archive: ODF's and EPUB's ``mimetype``, OPC's content types, names."""
    entries: list[str] = []
    at = 0
    while at >= 0 and head.startswith(b"PK\3\4", at) and len(head) >= at + 30:
        packed = int.from_bytes(head[at + 18 : at + 22], "little")
        name_end = at + 30 + int.from_bytes(head[at + 26 : at + 28], "little")
        start = name_end + int.from_bytes(head[at + 28 : at + 30], "little")
        name = head[at + 30 : name_end].decode("utf-8", "replace")
        # Only a known family of types: an archive must not be able to call itself text/html.
        if name == "mimetype" and not entries and head[at + 8 : at + 10] == b"\0\0":
            told = head[start : start + packed] if packed else head[start:].partition(b"PK")[0]
            said = told.strip().decode("ascii", "replace")
            if said in _ZIPPED.values() or (said.startswith(("application/vnd.", "image/openraster")) and valid(said)):
                return said
        if name == "[Content_Types].xml":
            body = head[start : start + packed] if packed else head[start:]
            if head[at + 8 : at + 10] == b"\x08\0":
                try:
                    body = zlib.decompressobj(-15).decompress(body, 1 << 15)  # bounded: it may be a bomb
                except zlib.error:
                    body = b""
            if main := _MAIN_PART.search(body):
                said = main[1].decode("ascii")
                return said + ".12" if said.endswith("macroEnabled") else said
        entries.append(name)
        # Walk by sizes, so that the entries of an archive in the archive are not ours; unknown size: look ahead.
        at = start + packed if packed or not head[at + 6] & 8 else head.find(b"PK\3\4", start)
    opc = any(name in ("[Content_Types].xml", "_rels/.rels") for name in entries)
    for mark, kind in _ENTRIES:
        if (opc or "officedocument" not in kind) and any(name.startswith(mark) for name in entries):
            return kind
    return _ZIP


def _compound(head: bytes) -> str:
    """Type by the stream names in an OLE directory, where it lies in the head."""
    for stream, kind in (
        ("WordDocument", "application/msword"),
        ("Workbook", "application/vnd.ms-excel"),
        ("PowerPoint Document", "application/vnd.ms-powerpoint"),
        ("__properties_version1.0", "application/vnd.ms-outlook"),
    ):
        if stream.encode("utf-16-le") in head:
            return kind
    return _OLE


_Rule = str | Callable[[bytes], str]
# What a content starts with. A signature that a text could start with has a rule that looks further.
_SIGNATURES: tuple[tuple[bytes, _Rule], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"RIFF", _riff),
    (b"FORM", _form),
    (b"BM", _bmp),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"II+\0", "image/tiff"),
    (b"MM\0+", "image/tiff"),
    (b"\0\0\1\0", _icon),
    (b"\0\0\2\0", _icon),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "image/jp2"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "image/jxl"),
    (b"\xff\x0a", "image/jxl"),
    (b"8BPS\0", "image/vnd.adobe.photoshop"),
    (b"AT&TFORM", "image/vnd.djvu"),
    (b"gimp xcf ", "image/x-xcf"),
    (b"v/1\1", "image/x-exr"),
    (b"\xd7\xcd\xc6\x9a", "image/wmf"),
    (b"DDS |\0\0\0", "image/vnd-ms.dds"),
    (b"%PDF-", "application/pdf"),
    (b"%!PS", "application/postscript"),
    (b"\xc5\xd0\xd3\xc6", "application/postscript"),
    (b"{\\rtf", "application/rtf"),
    (b"PK\3\4", _zip),
    (b"PK\5\6", _ZIP),
    (b"PK\7\x08PK\3\4", _ZIP),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", _compound),
    (b"\x1f\x8b", "application/gzip"),
    (b"\x1f\x9d", "application/x-compress"),
    (b"BZh", lambda head: "application/x-bzip2" if head[4:10] in (b"1AY&SY", b"\x17rE8P\x90") else ""),
    (b"\xfd7zXZ\0", "application/x-xz"),
    (b"\x28\xb5\x2f\xfd", "application/zstd"),
    (b"\x04\x22\x4d\x18", "application/x-lz4"),
    (b"\xff\x06\0\0sNaPpY", "application/x-snappy-framed"),
    (b"\x5d\0\0", _lzma),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"MSCF\0\0\0\0", "application/vnd.ms-cab-compressed"),
    (b"!<arch>\n", _archive),
    (b"\xed\xab\xee\xdb", "application/x-rpm"),
    (b"SQLite format 3\0", "application/vnd.sqlite3"),
    (b"PAR1", lambda head: "" if _textual(head) else "application/vnd.apache.parquet"),
    (b"Obj\1", "application/avro"),
    (b"ORC", lambda head: "" if _textual(head) else "application/vnd.apache.orc"),
    (b"ARROW1\0\0", "application/vnd.apache.arrow.file"),
    (b"FEA1", lambda head: "" if _textual(head) else "application/x-feather"),
    (b"\x89HDF\r\n\x1a\n", "application/x-hdf5"),
    (b"CDF\1", "application/x-netcdf"),
    (b"CDF\2", "application/x-netcdf"),
    (b"\x93NUMPY", "application/x-npy"),
    (b"bplist0", "application/x-plist"),
    (b"ID3", _id3),
    (b"fLaC\0", "audio/flac"),
    (b"fLaC\x80", "audio/flac"),
    (b"OggS\0", _ogg),
    (b"MThd\0\0\0\6", "audio/midi"),
    (b"#!AMR", "audio/AMR"),
    (b".snd\0\0\0", "audio/basic"),
    (b"\x1a\x45\xdf\xa3", _matroska),
    (b"FLV\1", "video/x-flv"),
    (b"\0\0\1\xba", "video/mpeg"),
    (b"\0\0\1\xb3", "video/mpeg"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video/x-ms-asf"),
    (b"wOFF", lambda head: "" if _textual(head) else "font/woff"),
    (b"wOF2", lambda head: "" if _textual(head) else "font/woff2"),
    (b"\0\1\0\0\0", "font/ttf"),
    (b"true\0", "font/ttf"),
    (b"OTTO\0", "font/otf"),
    (b"ttcf\0", "font/collection"),
    (b"glTF\2\0\0\0", "model/gltf-binary"),
    (b"\x7fELF", "application/x-elf"),
    (b"MZ", _exe),
    (b"\xfe\xed\xfa\xce", "application/x-mach-binary"),
    (b"\xfe\xed\xfa\xcf", "application/x-mach-binary"),
    (b"\xce\xfa\xed\xfe", "application/x-mach-binary"),
    (b"\xcf\xfa\xed\xfe", "application/x-mach-binary"),
    (b"\xca\xfe\xba\xbe", _cafebabe),
    (b"\0asm", "application/wasm"),
    (b"\xd4\xc3\xb2\xa1", "application/vnd.tcpdump.pcap"),
    (b"\xa1\xb2\xc3\xd4", "application/vnd.tcpdump.pcap"),
)
_BY_FIRST: dict[int, list[tuple[bytes, _Rule]]] = {}
for _magic, _rule in _SIGNATURES:
    _BY_FIRST.setdefault(_magic[0], []).append((_magic, _rule))

_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "image/avif"),
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis"), "image/heic"),
    **dict.fromkeys((b"mif1", b"msf1"), "image/heif"),
    **dict.fromkeys((b"M4A ", b"M4B ", b"M4P "), "audio/mp4"),
    b"qt  ": "video/quicktime",
    b"crx ": "image/x-canon-cr3",
}
