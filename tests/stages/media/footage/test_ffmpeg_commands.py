"""The commands of the ffmpeg program: written in one module, each kept to the files it may read."""

import ast
import subprocess
from fractions import Fraction
from pathlib import Path

import pytest

from stages.media.footage.ffmpeg_commands import decode_command, picture_command, sound_command

ROOT = Path(__file__).resolve().parents[4]
SOUND = {"start": Fraction(1, 2), "length": Fraction(2), "cut": True}
COMMANDS = {
    "picture": picture_command("exr", "gbrpf32le", most_pixels=12),
    "decode": decode_command((4, 6), (1, 25), "rgb24", most_pixels=99, start_s=1.5, decoder="vp9"),
    **{
        container: sound_command(Path("/a"), Path("/b"), container, ["flac", "opus"], **SOUND)
        for container in ("mp4", "mov", "webm")
    },
}


def value_of(command, option):
    return command[command.index(option) + 1]


def inputs(command):
    """Yield the source of each input with the options that stand before it."""
    begin = 1
    for k, part in enumerate(command):
        if part == "-i":
            yield command[k + 1], command[begin:k]
            begin = k + 2


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_each_input_may_open_nothing_else(command):
    sources = dict(inputs(command))
    strange = sources.pop("fd:")
    assert value_of(strange, "-protocol_whitelist") == "fd"
    assert "-format_whitelist" in strange
    for source, options in sources.items():
        assert (source, value_of(options, "-protocol_whitelist")) == ("file:/a", "file")
    assert "-nostdin" in command


def test_sound_that_a_container_takes_is_copied_and_other_sound_is_encoded():
    def codecs(container):
        return [value_of(COMMANDS[container], f"-c:a:{k}") for k in range(2)]

    assert codecs("mp4") == ["copy", "copy"]
    assert codecs("mov") == ["pcm_s16le", "pcm_s16le"]
    assert codecs("webm") == ["libopus", "copy"]


def test_a_video_is_decoded_from_its_start_unless_a_time_is_given():
    whole = decode_command((4, 6), (1, 25), "rgb24", most_pixels=99)
    assert not {"-ss", "-vcodec"} & set(whole)
    assert value_of(COMMANDS["decode"], "-ss") == "1.500000"
    from_zero = decode_command((4, 6), (1, 25), "rgb24", most_pixels=99, start_s=0.0)
    assert value_of(from_zero, "-ss") == "0.000000"


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_the_program_knows_all_options(command, tmp_path):
    command = [part.replace("file:/b", f"file:{tmp_path}/b") for part in command]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode != 0  # there is nothing to decode
    assert not any(text in done.stderr for text in ("Unrecognized option", "Option not found"))


def test_no_other_module_builds_commands():
    def imported(path):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)

    importing = {
        path.relative_to(ROOT).as_posix()
        for top in ("pipeline", "stages", "steadymask")
        for path in (ROOT / top).rglob("*.py")
        if "ffmpeg" in imported(path)
    }
    assert importing == {"stages/media/footage/ffmpeg_commands.py"}
