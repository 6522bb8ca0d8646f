"""The signatures of binary formats: which type the first bytes of a content name.

The half of :mod:`file_keeper.contenttype` that knows formats; that module knows texts and names, and is the one to
call. Each signature comes from its format's own specification, the types' names from IANA's registry.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable

ZIP = "application/zip"
OLE = "application/x-ole-storage"
_OOXML = "application/vnd.openxmlformats-officedocument."


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


def _truetype(head: bytes) -> str:
    # At least one table, and the first one's tag is ASCII: other formats begin with the same version number.
    return "font/ttf" if head[5:6] != b"\0" and head[12:13].isalnum() and head[12:16].isascii() else ""


def _cafebabe(head: bytes) -> str:
    # The same four bytes: then a class file's version (45 and up) or a fat binary's count of architectures.
    if len(head) < 8:
        return ""
    return "application/java-vm" if int.from_bytes(head[4:8], "big") & 0xFFFF >= 45 else "application/x-mach-binary"


def _exe(head: bytes) -> str:
    at = int.from_bytes(head[60:64], "little")
    if len(head) >= 64 and (at >= 2048 or head[at : at + 4] == b"PE\0\0"):
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
    # The size is unknown or sane, and the range coder's first byte is zero.
    return "application/x-lzma" if head[13:14] == b"\0" and (size == 2**64 - 1 or size < 2**38) else ""


def _bzip2(head: bytes) -> str:
    return "application/x-bzip2" if head[4:10] in (b"1AY&SY", b"\x17rE8P\x90") else ""


_MAIN_PART = (  # patterns are compiled at their first use, by `re` itself: an import pays for none
    rb'"(application/vnd\.(?:openxmlformats-officedocument|ms-(?:word|excel|powerpoint))\.[\w.-]{1,64}?)\.main(?:\+xml)?"'
)
_SELF_NAMED = (
    r"application/(?:epub\+zip|x-krita|vnd\.etsi\.asic-[es]\+zip|vnd\.(?:oasis\.opendocument|sun\.xml)\.[A-Za-z.-]{1,64})"
    r"|image/openraster"
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
            if re.fullmatch(_SELF_NAMED, said):
                return said
        if name == "[Content_Types].xml":
            body = head[start : start + packed] if packed else head[start:]
            if head[at + 8 : at + 10] == b"\x08\0":
                try:
                    body = zlib.decompressobj(-15).decompress(body, 1 << 15)  # bounded: it may be a bomb
                except zlib.error:
                    body = b""
            if main := re.search(_MAIN_PART, body):
                said = main[1].decode("ascii")
                return said + ".12" if said.endswith("macroEnabled") else said
        entries.append(name)
        # Walk by sizes, so that the entries of an archive in the archive are not ours; unknown size: look ahead.
        at = start + packed if packed or not head[at + 6] & 8 else head.find(b"PK\3\4", start)
    opc = any(name in ("[Content_Types].xml", "_rels/.rels") for name in entries)
    for mark, kind in _ENTRIES:
        if (opc or "officedocument" not in kind) and any(name.startswith(mark) for name in entries):
            return kind
    return ZIP


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
    return OLE


_Rule = str | Callable[[bytes], str]
# What a content starts with. A signature that a text could start with has a rule that looks further.
_SIGNATURES: tuple[tuple[_Rule, *tuple[bytes, ...]], ...] = (
    ("image/png", b"\x89PNG\r\n\x1a\n"),
    ("image/jpeg", b"\xff\xd8\xff"),
    ("image/gif", b"GIF87a", b"GIF89a"),
    (_riff, b"RIFF", b"RF64"),
    (_form, b"FORM"),
    (_bmp, b"BM"),
    ("image/tiff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    (_icon, b"\0\0\1\0", b"\0\0\2\0"),
    ("image/jp2", b"\0\0\0\x0cjP  \r\n\x87\n"),
    ("image/jxl", b"\0\0\0\x0cJXL \r\n\x87\n"),
    ("image/vnd.adobe.photoshop", b"8BPS\0"),
    ("image/vnd.djvu", b"AT&TFORM"),
    ("image/x-xcf", b"gimp xcf "),
    ("image/x-exr", b"v/1\1"),
    ("image/wmf", b"\xd7\xcd\xc6\x9a"),
    ("application/pdf", b"%PDF-"),
    ("application/postscript", b"%!PS", b"\xc5\xd0\xd3\xc6"),
    ("application/rtf", b"{\\rtf"),
    (_zip, b"PK\3\4"),
    (ZIP, b"PK\5\6", b"PK\7\x08PK\3\4"),
    (_compound, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
    ("application/gzip", b"\x1f\x8b\x08"),
    ("application/x-compress", b"\x1f\x9d"),
    (_bzip2, b"BZh"),
    ("application/x-xz", b"\xfd7zXZ\0"),
    ("application/zstd", b"\x28\xb5\x2f\xfd"),
    ("application/x-lz4", b"\x04\x22\x4d\x18"),
    ("application/x-snappy-framed", b"\xff\x06\0\0sNaPpY"),
    (_lzma, b"\x5d\0\0"),
    ("application/x-7z-compressed", b"7z\xbc\xaf\x27\x1c"),
    ("application/vnd.rar", b"Rar!\x1a\x07"),
    ("application/vnd.ms-cab-compressed", b"MSCF\0\0\0\0"),
    ("application/vnd.debian.binary-package", b"!<arch>\ndebian-binary"),
    ("application/x-archive", b"!<arch>\n"),
    ("application/x-rpm", b"\xed\xab\xee\xdb"),
    ("application/vnd.sqlite3", b"SQLite format 3\0"),
    ("application/avro", b"Obj\1"),
    ("application/vnd.apache.arrow.file", b"ARROW1\0\0"),
    ("application/x-hdf5", b"\x89HDF\r\n\x1a\n"),
    ("application/x-netcdf", b"CDF\1", b"CDF\2"),
    ("application/x-npy", b"\x93NUMPY"),
    ("application/x-plist", b"bplist0"),
    ("application/x-matlab-data", b"MATLAB 5.0 MAT-file"),
    (_id3, b"ID3"),
    ("audio/flac", b"fLaC\0", b"fLaC\x80"),
    (_ogg, b"OggS\0"),
    ("audio/midi", b"MThd\0\0\0\6"),
    ("audio/AMR", b"#!AMR"),
    ("audio/basic", b".snd\0\0\0"),
    (_matroska, b"\x1a\x45\xdf\xa3"),
    ("video/x-flv", b"FLV\1"),
    ("video/mpeg", b"\0\0\1\xba", b"\0\0\1\xb3"),
    ("video/x-ms-asf", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),
    (_truetype, b"\0\1\0\0\0", b"true\0"),
    ("font/otf", b"OTTO\0"),
    ("font/collection", b"ttcf\0"),
    ("model/gltf-binary", b"glTF\2\0\0\0"),
    ("application/x-elf", b"\x7fELF"),
    (
        "application/x-mach-binary",
        *(b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe"),
    ),
    (_cafebabe, b"\xca\xfe\xba\xbe"),
    ("application/wasm", b"\0asm"),
    ("application/vnd.tcpdump.pcap", b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4"),
)
_BY_FIRST: dict[int, list[tuple[bytes, _Rule]]] = {}
for _rule, *_magics in _SIGNATURES:
    for _magic in _magics:
        _BY_FIRST.setdefault(_magic[0], []).append((_magic, _rule))

# Signatures that a text could start with: they count once the content is known to be binary.
_WEAK: tuple[tuple[bytes, _Rule], ...] = (
    (b"MZ", _exe),
    (b"\xff\x0a", "image/jxl"),
    (b"PAR1", "application/vnd.apache.parquet"),
    (b"ORC", "application/vnd.apache.orc"),
    (b"FEA1", "application/x-feather"),
    (b"wOFF", "font/woff"),
    (b"wOF2", "font/woff2"),
    (b"icns", "image/x-icns"),
    *((b"P4" + space, "image/x-portable-bitmap") for space in (b"\n", b" ")),
    *((b"P5" + space, "image/x-portable-graymap") for space in (b"\n", b" ")),
    *((b"P6" + space, "image/x-portable-pixmap") for space in (b"\n", b" ")),
)

_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "image/avif"),
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis"), "image/heic"),
    **dict.fromkeys((b"mif1", b"msf1"), "image/heif"),
    **dict.fromkeys((b"M4A ", b"M4B ", b"M4P "), "audio/mp4"),
    b"qt  ": "video/quicktime",
    b"crx ": "image/x-canon-cr3",
}


def _isobmff(head: bytes) -> str:
    """Type of an ISO base media file by its brands (ISO/IEC 14496-12, 4.3); QuickTime's older files have none."""
    if head[4:8] != b"ftyp":
        return "video/quicktime" if head[4:8] in (b"moov", b"mdat", b"wide") else ""
    end = min(int.from_bytes(head[:4], "big"), 256)
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, end, 4))]
    if brands[0] in (b"mif1", b"msf1"):  # a HEIF picture: a compatible brand says which coding
        brands = [brand for brand in brands if _BRANDS.get(brand, "image/heif") != "image/heif"] + brands
    if brands[0][:2] == b"3g":
        return "video/3gpp2" if brands[0][:3] == b"3g2" else "video/3gpp"
    return _BRANDS.get(brands[0], "video/mp4")


def _frames(head: bytes, extension: str) -> str:
    """MP3 without a tag and ADTS AAC: a frame header that leads to a second one (WHATWG MIME Sniffing, 6.2.3)."""
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return ""
    if head[1] & 0xF6 == 0xF0:
        kind, size = "audio/aac", (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    else:
        version, rate, hertz = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
        if head[1] >> 1 & 3 != 1 or version == 1 or rate in (0, 15) or hertz == 3:
            return ""
        kbits = ((0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320), _MPEG2_KBITS)[version != 3][rate]
        sampled = (44100, 48000, 32000)[hertz] >> (0 if version == 3 else 1 if version == 2 else 2)
        kind, size = "audio/mpeg", (144 if version == 3 else 72) * kbits * 1000 // sampled + (head[2] >> 1 & 1)
    again = head[size : size + 2]
    if size < 7 or len(again) < 2:
        return kind if size >= 7 and extension in ("mp3", "aac") else ""
    return kind if again[0] == 0xFF and (again[1] ^ head[1]) & 0xFE == 0 else ""


_MPEG2_KBITS = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)


def by_signature(head: bytes) -> str:
    """Type that the first bytes of ``head`` (not empty) name for certain, or "".

    A container that does not show what it holds is ``ZIP`` or ``OLE``.
    """
    for magic, rule in _BY_FIRST.get(head[0], ()):
        if head.startswith(magic) and (kind := rule if isinstance(rule, str) else rule(head)):
            return kind
    return ""


def by_structure(head: bytes, extension: str) -> str:
    """Type of a content that is known not to be text, by its weaker or later marks, or "".

    ``extension`` (lower case, no dot) decides only for one audio frame that has no successor to check it with.
    """
    for magic, rule in _WEAK:
        if head.startswith(magic):
            return rule if isinstance(rule, str) else rule(head)
    if kind := _isobmff(head) or _frames(head, extension):
        return kind
    if head[257:262] == b"ustar":
        return "application/x-tar"
    if re.fullmatch(rb" *[0-7]+[\0 ]+", head[148:156]) and len(head) >= 512:  # tar before POSIX: only its checksum
        total = sum(head[:148]) + 8 * 0x20 + sum(head[156:512])
        return "application/x-tar" if int(head[148:156].strip(b"\0 "), 8) == total else ""
    if head[128:132] == b"DICM":
        return "application/dicom"
    if head[:1] == head[188:189] == head[376:377] == b"G":
        return "video/mp2t"
    if head[34:36] == b"LP" and head[8:12] in (b"\1\0\2\0", b"\2\0\2\0", b"\2\0\1\0"):
        return "application/vnd.ms-fontobject"
    if head[60:68] == b"BOOKMOBI":
        return "application/x-mobipocket-ebook"
    return "application/x-hdf5" if b"\x89HDF\r\n\x1a\n" in (head[512:520], head[1024:1032]) else ""
