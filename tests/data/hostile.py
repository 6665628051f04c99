"""Images that somebody damaged, or made to harm: the same ones for every number."""

import io
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

#: Names in scripts of all kinds, from right to left, with pictures, line breaks, escapes of terminals, and of 255
#: bytes.
NAMES = [
    *(
        "ä ö,\"'",
        "日本語",
        "שלום",
        "العربية",
        "\u202egnp.live",
        "🩸🔬",
        "a\nb",
        "a\rb",
        "a\tb",
        "\x1b[2J",
        "%00",
        "=cmd()",
        "-rf",
        "$(id)",
    ),
    *("a;b", "a|b", "<script>alert(1)<", " ", "..", "con", "e\u0301", "ﷺ" * 80, "x" * 251),
]


def whole() -> dict[str, bytes]:
    """Small pictures in every format and mode that is read, by a name that says which."""
    rng = np.random.default_rng(0)
    rgb = Image.fromarray(rng.integers(0, 256, (40, 37, 3), dtype=np.uint8))
    deep = Image.fromarray(rng.integers(0, 65536, (40, 37)).astype(np.uint16))
    turned = Image.Exif()
    turned[0x0112] = 6
    alpha = rgb.convert("RGBA")
    alpha.putalpha(Image.linear_gradient("L").resize(rgb.size))
    one, row = Image.new("RGB", (1, 1), "red"), Image.new("RGB", (1, 300), "red")
    return {
        **{f"rgb.{kind}": _file(rgb, kind) for kind in ("png", "jpeg", "bmp", "tiff", "webp")},
        **{f"grey.{kind}": _file(rgb.convert("L"), kind) for kind in ("png", "jpeg", "bmp", "tiff")},
        **{f"palette.{kind}": _file(rgb.quantize(16), kind) for kind in ("png", "bmp", "tiff")},
        **{f"alpha.{kind}": _file(alpha, kind) for kind in ("png", "tiff", "webp")},
        **{f"deep.{kind}": _file(deep, kind) for kind in ("png", "tiff")},
        **{f"bits.{kind}": _file(rgb.convert("1"), kind) for kind in ("png", "bmp", "tiff")},
        **{f"packed_{how}.tiff": _file(rgb, "tiff", compression=how) for how in ("tiff_lzw", "tiff_deflate", "jpeg")},
        "cmyk.jpeg": _file(rgb.convert("CMYK"), "jpeg"),
        "cmyk.tiff": _file(rgb.convert("CMYK"), "tiff"),
        "clear.png": _file(rgb.quantize(16), "png", transparency=3),
        "turned.jpeg": _file(rgb, "jpeg", exif=turned),
        "progressive.jpeg": _file(rgb, "jpeg", progressive=True),
        "pages.tiff": _file(rgb, "tiff", save_all=True, append_images=[rgb.rotate(90, expand=True), one]),
        "moving.webp": _file(rgb, "webp", save_all=True, append_images=[rgb.rotate(180)], duration=100),
        "moving.png": _file(rgb, "png", save_all=True, append_images=[rgb.rotate(180)], duration=100),
        **{f"one.{kind}": _file(one, kind) for kind in ("png", "jpeg", "webp")},
        **{f"row.{kind}": _file(row, kind) for kind in ("png", "jpeg", "tiff")},
    }


def damaged(count: int) -> Iterator[tuple[str, bytes, bool]]:
    """So many damaged files: their name, content, and whether they are sure to be beyond reading."""
    rng = np.random.default_rng(1)
    pictures = list(whole().items())
    for i in range(count):
        name, data = pictures[i % len(pictures)]
        stem, kind = name.split(".")
        way = (i // len(pictures)) % 8
        where = int(rng.integers(1, len(data)))
        hopeless = way in (0, 1)
        if way == 0:
            data = b"" if i % 3 == 0 else b"not an image" if i % 3 == 1 else bytes(len(data))
        elif way == 1:
            data = data[: min(where, 20)]
        elif way == 2:
            data = data[:where]
        elif way == 3:
            data = data[:where] + bytes([data[where] ^ (1 << int(rng.integers(8)))]) + data[where + 1 :]
        elif way == 4:
            data = data[:where] + rng.bytes(8) + data[where + 8 :]
        elif way == 5:
            data = data[:where] + data[where // 2 :]
        elif way == 6:
            # Sizes and counts lie within the first bytes.
            early = int(rng.integers(4, min(60, len(data))))
            data = data[:early] + b"\xff\xff\xff\x7f" + data[early + 4 :]
        else:
            kind = str(rng.choice(["png", "jpg", "tif", "bmp", "webp"]))
        yield f"{i:04d}-{stem}.{kind}", data, hopeless


def bombs() -> dict[str, bytes]:
    """Small files that ask for gigabytes."""
    bits = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bits, "tiff", compression="group4")
    webp = bytearray(
        _file(Image.new("RGBA", (2, 2)), "webp", save_all=True, append_images=[Image.new("RGBA", (2, 2), "red")])
    )
    webp[24:30] = (16_383).to_bytes(3, "little") * 2
    jpeg = bytearray(_file(Image.new("RGB", (8, 8)), "jpeg"))
    start = jpeg.index(b"\xff\xc0") + 5
    jpeg[start : start + 4] = struct.pack(">HH", 65_500, 65_500)
    return {
        "bomb.png": _png(20_000, 20_000, zlib.compress(bytes(20_000 * 2501))),
        # Pillow by itself does no more than warn of these.
        "field.png": _png(13_000, 13_000, zlib.compress(bytes(13_000 * 1626))),
        "deep.png": _png(20_000, 20_000, b"", depth=16, colour=6),
        "text.png": _png(2, 2, zlib.compress(bytes(4)), words=zlib.compress(bytes(2**28))),
        "bomb.tif": bits.getvalue(),
        "bomb.webp": bytes(webp),
        "bomb.jpg": bytes(jpeg),
        "bomb.bmp": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 20_000, 20_000, 1, 24, 0, 0, 0, 0, 0, 0),
    }


def largest(kind: str) -> bytes:
    """As large as an image may be, of the kinds that need the most memory."""
    return _file(
        Image.new("RGBA", (5000, 5000), (200, 1, 2, 100)), kind, **({"lossless": True} if kind == "webp" else {})
    )


def write_names(folder: Path, data: bytes) -> int:
    """Copies under `NAMES` and one that is not UTF-8, as far as the file system takes them; how many there are."""
    folder.mkdir(parents=True)
    names = [*(name.encode() for name in NAMES), b"\xff\xfe"]
    for name in names:
        try:
            with open(os.path.join(os.fsencode(folder), name + b".png"), "wb") as file:
                file.write(data)
        except OSError:  # of file systems that refuse some names
            continue
    return len([name for name in os.listdir(folder) if not name.startswith(".")])


def _file(image: Image.Image, kind: str, **how: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **how)
    return file.getvalue()


def _png(width: int, height: int, pixels: bytes, *, depth: int = 1, colour: int = 0, words: bytes = b"") -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    text = chunk(b"zTXt", b"Comment\0\0" + words) if words else b""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + text + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
