import pytest

from pipeline.errors import ConfigError
from steadymask.cli.units import age_seconds, age_text, size_bytes, size_text


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("200GB", 200 * 10**9),
        ("1.5TB", 1_500 * 10**9),
        ("500MB", 500 * 10**6),
        ("500 mb", 500 * 10**6),
        ("2GiB", 2 * 2**30),
        ("7k", 7000),
        ("7kib", 7 * 1024),
        ("1PB", 10**15),
        ("12B", 12),
        ("12", 12),
        ("0", 0),
        (".5G", 5 * 10**8),
    ],
)
def test_sizes_are_read(text, size):
    assert size_bytes("--max-size", text) == size


@pytest.mark.parametrize(
    "text", ["", "GB", "-1GB", "1XB", "1e9", "nan", "1,5GB", "200GBs", "１GB", "1 G B", "inf"]
)
def test_what_is_no_size_is_refused_with_its_place(text):
    with pytest.raises(ConfigError) as caught:
        size_bytes("--max-size", text)
    assert str(caught.value).startswith("--max-size: expected a size like 500MB")
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30 * 86400),
        ("30d", 30 * 86400),
        ("36h", 36 * 3600),
        ("2w", 14 * 86400),
        ("0.5d", 43200),
    ],
)
def test_ages_are_read(text, seconds):
    assert age_seconds("--keep-last", text) == seconds


@pytest.mark.parametrize("text", ["", "d", "-3d", "30m", "30 days", "yesterday"])
def test_what_is_no_age_is_refused_with_its_place(text):
    with pytest.raises(ConfigError, match="--keep-last: expected an age like 30d, 36h or 2w, got"):
        age_seconds("--keep-last", text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1500, "1.5 kB"),
        (999_900, "1 MB"),
        (240.4e6, "240 MB"),
        (4.8e9, "4.8 GB"),
        (123_456e9, "123.5 TB"),
    ],
)
def test_sizes_are_written_as_people_read_them(size, text):
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0 min ago"), (600, "10 min ago"), (7300, "2 h ago"), (86400 * 3, "3 d ago")],
)
def test_ages_are_written_as_people_read_them(seconds, text):
    assert age_text(seconds) == text
