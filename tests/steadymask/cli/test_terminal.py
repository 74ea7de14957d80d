"""What strangers named does not command the terminal."""

import pytest
from rich.table import Table

from steadymask.cli.terminal import LONGEST, escaped_text, line, plain_console


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("плащ-猫 é", "плащ-猫 é"),
        ("\x1b]0;owned\x07", r"\x1b]0;owned\x07"),
        ("a\rb\x08\x7f\x9b", r"a\rb\x08\x7f\x9b"),
        ("txt.\u202e4pm", r"txt.\u202e4pm"),
        ("\udcff", r"\udcff"),
    ],
)
def test_what_a_terminal_would_obey_is_written_out(text, shown):
    assert line(text) == shown


def test_a_name_cannot_pretend_to_be_another_message():
    assert line("a\nfailed: b") == r"a\nfailed: b"
    assert escaped_text("a\nb") == "a\nb"


def test_an_endless_message_ends():
    assert len(line("x" * 10**6)) < LONGEST + 9


@pytest.mark.parametrize(("columns", "whole"), [(None, True), ("60", False)])
def test_a_table_in_a_file_is_cut_only_if_asked_for(capsys, monkeypatch, columns, whole):
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    table = Table("clip", "[name]")
    table.add_row("a" * 90, "[red]b[/red]")
    plain_console().print(table)
    output = capsys.readouterr().out
    assert ("a" * 90 in output) == whole
    assert not whole or "[red]b[/red]" in output
