"""YAML files of users: encodings, base files, and files that would never end."""

import sys

import pytest

from slowfast.config import UserError, load_config
from slowfast.config.yaml_text import load_yaml, read_with_base


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings(tmp_path, encoding):
    path = write(tmp_path / "a.yaml", "OUTPUT_DIR: café\n", encoding)
    assert read_with_base(path) == {"OUTPUT_DIR": "café"}


def test_an_empty_file_has_no_keys(tmp_path):
    assert read_with_base(write(tmp_path / "a.yaml", "")) == {}
    assert load_config(write(tmp_path / "b.yaml", "# nothing\n"), validate=False).cfg.TASK == ""


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join(f'*{old}' for _ in range(10))}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("OUTPUT_DIR: 'caf\xe9'", "is not UTF-8 text .byte 16.; save it as UTF-8"),
        ("\0\1", "not valid YAML"),
        ("- a\n- b", "must hold 'KEY: value' lines"),
        ("just text", "must hold 'KEY: value' lines"),
        ("a: [", "not valid YAML"),
        ("a: !!python/object/apply:os.system ['true']", "not valid YAML"),
        ("a: " + "[" * 3000 + "]" * 3000, "nested too deeply"),
        (BOMB, "more than 1000000 values"),
        ("a: &a [*a]", "alias of something that contains it"),
        ("_BASE_: a.yaml", "based on this"),
        ("_BASE_: none.yaml", "is missing: "),
        ("_BASE_: 3", "expected the name of a file"),
        ("_BASE_: [3]", "expected the name of a file"),
        ("x: " + "y" * 10_000_001, "has at most 10000000"),
    ],
)
def test_what_is_refused(tmp_path, text, reason):
    path = write(tmp_path / "a.yaml", text, "latin-1")
    with pytest.raises(UserError, match=reason):
        read_with_base(path)


def test_files_that_are_based_on_each_other(tmp_path):
    write(tmp_path / "a.yaml", "_BASE_: b/c.yaml\n")
    (tmp_path / "b").mkdir()
    write(tmp_path / "b/c.yaml", "_BASE_: ../link.yaml\n")
    (tmp_path / "link.yaml").symlink_to(tmp_path / "a.yaml")
    with pytest.raises(UserError, match="based on this"):
        read_with_base(tmp_path / "a.yaml")


def test_keys_win_over_those_of_base_files(tmp_path):
    write(tmp_path / "a.yaml", "_BASE_: [b.yaml, c.yaml]\nA: {x: 1}\n")
    write(tmp_path / "b.yaml", "A: {x: 2, y: 2}\nB: 2\n")
    write(tmp_path / "c.yaml", "A: {y: 3, z: 3}\nB: 3\n")
    assert read_with_base(tmp_path / "a.yaml") == {"A": {"x": 1, "y": 3, "z": 3}, "B": 3}
    write(tmp_path / "a.yaml", "_BASE_: b.yaml\nB: {x: 1}\n")
    with pytest.raises(UserError, match="B is a section, but a value"):
        read_with_base(tmp_path / "a.yaml")


def test_aliases_are_fine(tmp_path):
    path = write(tmp_path / "a.yaml", "a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}\n")
    assert load_yaml(path) == {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1, "y": 2}}


@pytest.mark.parametrize("name", ["", "../x", "a b", "a/b"])
def test_the_name_of_a_project(tmp_path, name):
    path = write(tmp_path / "a.yaml", f"PROJECTS: ['{name}']\n")
    with pytest.raises(UserError, match="expected the name of a package"):
        load_config(path)


def test_a_module_of_the_working_folder_is_not_imported(tmp_path, monkeypatch):
    write(tmp_path / "surprise_project.py", "raise SystemExit('imported')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), *sys.path])
    path = write(tmp_path / "a.yaml", "PROJECTS: ['surprise_project']\n")
    with pytest.raises(UserError, match="no project 'surprise_project'"):
        load_config(path)
    assert sys.path[:2] == ["", str(tmp_path)]
    with pytest.raises(SystemExit, match="imported"):  # a folder that the user named
        load_config(path, ["PROJECTS_PATH", f"['{tmp_path}']"])


def test_a_key_that_is_there_twice_is_named(tmp_path, caplog):
    path = write(tmp_path / "a.yaml", "TRAIN:\n  BATCH_SIZE: 4\n  BATCH_SIZE: 8\n")
    assert load_yaml(path) == {"TRAIN": {"BATCH_SIZE": 8}}
    assert f"{path}:3: BATCH_SIZE is there twice; this counts" in caplog.text
    caplog.clear()
    merged = "a: &a {x: 1}\nb: &b {x: 2}\nc: {<<: *a, x: 3}\nd: {<<: [*a, *b]}\n"
    assert load_yaml(write(path, merged))["c"] == {"x": 3}
    assert caplog.text == ""
