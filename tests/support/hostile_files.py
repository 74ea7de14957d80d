"""Files that a stranger could send: references to elsewhere, headers that lie, bombs, damage."""

import io
import struct
import subprocess
import zipfile
import zlib

import av
import numpy as np

from stages.media.footage.ffmpeg import ffmpeg_path

PLAYLISTS = {
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{url}\n#EXT-X-ENDLIST\n",
    "ffconcat": "ffconcat version 1.0\nfile '{url}'\n",
    "mpd": (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT1S"><Period><AdaptationSet contentType="video">'
        '<Representation id="1" bandwidth="1"><BaseURL>{url}</BaseURL></Representation>'
        "</AdaptationSet></Period></MPD>"
    ),
    "sdp": (
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\n"
    ),
    "svg": (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        'width="64" height="48"><image xlink:href="{url}" width="64" height="48"/></svg>'
    ),
    "sub": "[SCRIPT]\n{url}\n",
    "asx": '<asx version="3.0"><entry><ref href="{url}"/></entry></asx>',
    "mvg": "push graphic-context\nviewbox 0 0 64 48\nimage over 0,0 0,0 '{url}'\n",
}


def video(path, codec="mpeg4", frames=6, size=(48, 64), level=None, sound=False, **options):
    """Write a moving pattern, or pictures of one grey level."""
    rng = np.random.default_rng(0)
    ground = rng.integers(0, 256, (size[0], size[1] + frames, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width = size
        stream.pix_fmt = "rgb24" if codec in ("rawvideo", "png") else "yuv420p"
        noise = container.add_stream("pcm_s16le", rate=8000, layout="mono") if sound else None
        for t in range(frames):
            picture = ground[:, t : t + size[1]] if level is None else np.full((*size, 3), level)
            frame = av.VideoFrame.from_ndarray(
                np.ascontiguousarray(picture, np.uint8), format="rgb24"
            )
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if noise is not None:
            tone = av.AudioFrame.from_ndarray(np.ones((1, 1920), np.int16), "s16", "mono")
            tone.rate = 8000
            container.mux(noise.encode(tone))
            container.mux(noise.encode(None))
    return path


def playlist(kind, url, port=9):
    """Return a text that names another place."""
    return PLAYLISTS[kind].format(url=url, port=port).encode()


def with_reference(mov, target):
    """Return a QuickTime file whose frames are said to lie in another file (an alias)."""
    name = target.name.encode()
    alias = bytes(4) + struct.pack(">HH", 150, 2) + bytes(142)
    path = bytes(target)
    records = struct.pack(">HH", 2, len(path)) + path + b"\0" * (len(path) % 2)
    records += struct.pack(">HH", 18, len(path)) + path + b"\0" * (len(path) % 2)
    entry = b"alis" + bytes(4) + alias[:10] + name[:27].ljust(28, b"\0") + alias[38:] + records
    entry += struct.pack(">HH", 0xFFFF, 0)
    payload = bytes(4) + struct.pack(">I", 1) + struct.pack(">I", len(entry) + 4) + entry
    at = mov.index(b"dref") - 4
    (old,) = struct.unpack_from(">I", mov, at)
    out = bytearray(mov[:at] + struct.pack(">I", len(payload) + 8) + b"dref" + payload)
    out += mov[at + old :]
    for parent in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
        start = mov.rindex(parent, 0, at) - 4
        (size,) = struct.unpack_from(">I", mov, start)
        struct.pack_into(">I", out, start, size + len(payload) + 8 - old)
    return bytes(out)


def patched(data, box, *fields):
    """Return an MP4 with whole numbers in the first box of a name written over: (offset, value)."""
    out, at = bytearray(data), data.index(box) + 4
    for offset, value in fields:
        struct.pack_into(">I", out, at + offset, value)
    return bytes(out)


def many_frames(mov, count=10**9):
    """Return a QuickTime file of frames of equal size that announces far more of them."""
    stsz = patched(mov, b"stsz", (8, count))
    stts = patched(stsz, b"stts", (8, count))
    return patched(stts, b"stsc", (12, count))


def long_frames(mov, seconds=2**31 - 1):
    """Return a QuickTime file each of whose frames lasts for years."""
    slow = patched(patched(mov, b"mdhd", (12, 1)), b"stts", (12, seconds))
    return slow.replace(b"edts", b"free")  # an edit list would hide what lies so far away


def huge_y4m(rows=100_000, columns=100_000):
    """Return a raw video that announces enormous frames and has none."""
    return f"YUV4MPEG2 W{columns} H{rows} F25:1 Ip A1:1 C420jpeg\nFRAME\n".encode()


def huge_gif(side=40_000):
    """Return a GIF of a picture with enormous sides and hardly any data."""
    screen = b"GIF89a" + struct.pack("<HH", side, side) + b"\x80\0\0" + bytes(3) + b"\xff" * 3
    image = b"," + struct.pack("<HHHHB", 0, 0, side, side, 0) + b"\x02\x02\x4c\x01\0"
    return screen + image + b";"


def png(rows, columns, rows_stored=None, extra=b""):
    """Return a black grey PNG; with fewer rows stored than announced, a header that lies."""
    stored = rows if rows_stored is None else rows_stored
    packer, packed = zlib.compressobj(9), b""
    line = bytes(1 + columns)
    for _ in range(stored):
        packed += packer.compress(line)
    packed += packer.flush()
    head = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    parts = _chunk(b"IHDR", head) + extra + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def text_bomb(megabytes=256):
    """Return a PNG chunk of text that unpacks to far more than it is."""
    return _chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(megabytes << 20), 9))


def _chunk(name, content):
    checksum = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + checksum


def npy_header(shape, dtype="|u1", order=False):
    """Return the start of a .npy file of any claim."""
    text = f"{{'descr': '{dtype}', 'fortran_order': {order}, 'shape': {shape}, }}"
    text = text.ljust(-(-(len(text) + 11) // 64) * 64 - 11) + "\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text.encode()


def npz_bomb(shape, dtype="|u1", stored=None, order=False):
    """Return a .npz with a member of zeros that unpacks to far more than it is."""
    buffer = io.BytesIO()
    left = int(np.prod(shape) * np.dtype(dtype).itemsize) if stored is None else stored
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
        archive.open("m.npy", "w", force_zip64=True) as member,
    ):
        member.write(npy_header(shape, dtype, order))
        for _ in range(left >> 20):
            member.write(bytes(1 << 20))
        member.write(bytes(left & ((1 << 20) - 1)))
    return buffer.getvalue()


def flipped(data, rng, bits=16, within=None):
    """Return data with some bits the other way round."""
    out, end = bytearray(data), min(within or len(data), len(data))
    for bit in rng.integers(0, 8 * end, bits):
        out[bit >> 3] ^= 1 << (bit & 7)
    return bytes(out)


def cut(data, rng):
    """Return data that ends early."""
    return data[: int(rng.integers(0, len(data)))]


def moved(data, rng):
    """Return data of which a part is left out, doubled, emptied or noise."""
    start, stop = sorted(int(cut) for cut in rng.integers(0, len(data) + 1, 2))
    part = data[start:stop]
    new = [b"", part * 2, bytes(len(part)), rng.bytes(len(part)), b"\xff" * len(part)]
    return data[:start] + new[int(rng.integers(len(new)))] + data[stop:]


def numbered(data, rng):
    """Return data with a few numbers of four bytes replaced by extreme ones."""
    out = bytearray(data)
    extremes = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x10000, 0xFFFF)
    for _ in range(int(rng.integers(1, 5))):
        offset = int(rng.integers(0, max(min(len(data), 4096) - 4, 1)))
        out[offset : offset + 4] = struct.pack(">I", extremes[int(rng.integers(len(extremes)))])
    return bytes(out[: len(data)])


MUTATIONS = {
    "bits": flipped,
    "bits of the head": lambda data, rng: flipped(data, rng, 8, 512),
    "cut": cut,
    "parts": moved,
    "numbers": numbered,
}


def remuxed(source, target):
    """Write a video into another container."""
    command = [ffmpeg_path(), "-nostdin", "-loglevel", "error", "-y", "-i", str(source)]
    subprocess.run([*command, "-c", "copy", str(target)], check=True, capture_output=True)
    return target
