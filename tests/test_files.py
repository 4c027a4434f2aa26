import errno

import pytest

from airloom.files import fingerprint, read_json, sha256, whole, write_json


def break_off(path, error=None):
    path.write_text("half")
    raise error or RuntimeError("half way")


def break_off_folder(path):
    path.mkdir()
    break_off(path / "new")


def test_a_file_appears_whole(tmp_path):
    target = tmp_path / "deep" / "a.nc"
    with whole(target) as aside:
        assert aside.suffix == ".nc"
        aside.write_text("all")
        assert not target.exists()
    assert target.read_text() == "all"
    assert list(target.parent.iterdir()) == [target]


def test_an_exception_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError, match="half way"), whole(tmp_path / "a.txt") as aside:
        break_off(aside)
    assert list(tmp_path.iterdir()) == []


def test_an_exception_leaves_the_former_file(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("former")
    with pytest.raises(RuntimeError, match="half way"), whole(target) as aside:
        break_off(aside)
    assert target.read_text() == "former"
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_leaves_nothing(tmp_path):
    with pytest.raises(OSError, match="No space left"), whole(tmp_path / "a.txt") as aside:
        break_off(aside, OSError(errno.ENOSPC, "No space left on device"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_replaces_a_folder(tmp_path):
    target = tmp_path / "store"
    target.mkdir()
    (target / "old").touch()
    with whole(target) as aside:
        aside.mkdir()
        (aside / "new").touch()
    assert [p.name for p in target.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [target]


def test_a_broken_folder_leaves_the_former_one(tmp_path):
    target = tmp_path / "store"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(RuntimeError, match="half way"), whole(target) as aside:
        break_off_folder(aside)
    assert [p.name for p in target.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [target]


def test_json_comes_back(tmp_path):
    write_json(tmp_path / "a.json", {"unit": "µg m⁻³", "n": [1, 2.5, None]})
    assert read_json(tmp_path / "a.json") == {"unit": "µg m⁻³", "n": [1, 2.5, None]}


def test_json_that_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {(1, 2): "a tuple is no key"})
    assert list(tmp_path.iterdir()) == []


def test_hashes(tmp_path):
    (tmp_path / "empty").touch()
    # the published SHA-256 of no bytes
    assert sha256(tmp_path / "empty") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})
