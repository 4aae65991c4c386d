"""Files that appear whole or not at all."""

import os
import stat

import pytest

from t1c.ir.atomic import replacing


def test_an_older_file_is_replaced_and_keeps_its_mode(tmp_path):
    target = tmp_path / "notes.txt"
    target.write_text("old")
    target.chmod(0o640)
    with replacing(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["notes.txt"]


def test_a_new_file_has_the_mode_of_any_other(tmp_path):
    (tmp_path / "other.txt").touch()
    with replacing(tmp_path / "notes.txt") as temporary:
        temporary.write_text("new")
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "there").mkdir()
    link = tmp_path / "notes.txt"
    link.symlink_to(tmp_path / "there" / "notes.txt")
    with replacing(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink()
    assert link.read_text() == "new"


@pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt])
def test_an_interruption_leaves_the_older_file_alone(tmp_path, interruption):
    target = tmp_path / "notes.txt"
    target.write_text("old")

    def write_half():
        with replacing(target) as temporary:
            temporary.write_text("ne")
            raise interruption

    with pytest.raises(interruption):
        write_half()
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["notes.txt"]


def test_a_place_that_cannot_be_written_to_shows_at_once(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"), replacing(tmp_path / "a/b"):
        pytest.fail("the block ran")
    with pytest.raises(IsADirectoryError, match="is a folder"), replacing(tmp_path):
        pytest.fail("the block ran")
