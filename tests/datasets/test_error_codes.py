"""One vocabulary: what the reader raises is named, for the loader's records and the checker's."""

import os
import wave

import pytest
from helpers.media_kinds import KINDS, make_kind

from slowfast.datasets.decoding.error_codes import (
    PROBLEMS,
    SEVERITIES,
    problem,
    timeout_message,
    worker_crash_message,
)
from slowfast.datasets.decoding.file import translate_av_errors
from slowfast.datasets.decoding.reader import MediaError, open_media


def fault_of(path):
    with pytest.raises(MediaError) as caught:
        open_media(path)
    return problem(caught.value.code, caught.value.reason)


def test_every_problem_has_words():
    for code, kind in PROBLEMS.items():
        assert kind.severity in SEVERITIES, code
        assert kind.title
        assert kind.remedy or kind.severity == "note", code
        assert problem(code).reason == kind.title


def test_a_detail_replaces_the_title():
    found = problem("short", "it is 0.20 s long")
    assert (found.code, found.severity, found.reason) == ("short", "note", "it is 0.20 s long")


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        ("zero_bytes.mp4", "empty", "it is 0 bytes long"),
        ("text_named.mp4", "not_media", "it is not a media file, or damaged beyond reading"),
        ("random_bytes.mp4", "not_media", "it is not a media file"),
        ("truncated_no_moov.mp4", "not_media", "damaged beyond reading"),
        ("broken_symlink.mp4", "missing", "a link to nothing"),
        ("png_image_named.mp4", "still_image", "still image"),
    ],
)
def test_what_the_reader_refuses_is_named(tmp_path, name, code, reason):
    assert KINDS[name].expect == "error"
    found = fault_of(make_kind(name, tmp_path / "made"))
    assert (found.code, found.severity) == (code, "error")
    assert reason in found.reason
    assert found.remedy


def test_an_audio_file_without_samples_is_named(tmp_path):
    with wave.open(str(tmp_path / "empty.wav"), "wb") as file:
        file.setparams((1, 2, 44100, 0, "NONE", ""))
    found = fault_of(tmp_path / "empty.wav")
    assert found.code == "no_tracks"
    assert "neither video nor audio" in found.reason


def test_what_is_no_file_is_named(tmp_path):
    assert fault_of(tmp_path).code == "not_a_file"
    os.mkfifo(tmp_path / "pipe.mp4")
    assert fault_of(tmp_path / "pipe.mp4").code == "not_a_file"
    assert fault_of(tmp_path / "none.mp4").code == "missing"


def test_what_the_system_raises_is_named():
    for raised, code, reason in (
        (PermissionError(13, "no"), "forbidden", "it may not be read: permission denied"),
        (OSError(5, "Input/output error"), "unreadable", "Input/output error"),
        (UnicodeError("odd name"), "unreadable", "odd name"),
    ):
        with pytest.raises(MediaError) as caught, translate_av_errors("x.mp4"):
            raise raised
        assert (caught.value.code, caught.value.reason) == (code, reason)
        assert caught.value.code in PROBLEMS


def test_reasons_of_processes_that_hang_or_die():
    assert worker_crash_message(-11) == "its worker process died (exit code -11)"
    assert timeout_message(60.0, "--timeout") == "not decoded within --timeout (60 s)"
