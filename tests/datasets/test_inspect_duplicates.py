"""Duplicates: copies by their bytes, re-encoded ones by what they show and audio like."""

import dataclasses
import shutil

import numpy as np
from helpers.media_files import FPS, X264, Audio, Video, numbered_frame, write_media

from slowfast.datasets.inspect.checker import inspect_media
from slowfast.datasets.inspect.duplicates import audio_fingerprint, find_duplicates, video_hash

RATE = 16000


def noise(seed, seconds=2.0, rate=RATE):
    """Noise whose color changes ten times a second: audio with something to recognize."""
    rng = np.random.default_rng(seed)
    wave = []
    for _ in range(round(seconds * 10)):
        tone = rng.uniform(200, 3500)
        time = np.arange(rate // 10) / rate
        wave.append(0.2 * np.sin(2 * np.pi * tone * time) + 0.02 * rng.standard_normal(len(time)))
    return np.concatenate(wave).astype(np.float32)


def scene(seed, size=(128, 96)):
    """A video of its own; ``still`` of a video track."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(20, 235, (6, 8, 3))
    zoom = np.kron(coarse, np.ones((size[1] // 6, size[0] // 8, 1)))
    return zoom.astype(np.uint8)


def audio(seed):
    return Audio(rate=RATE, layout="mono", samples=noise(seed)[None])


def video(seed, size=(128, 96), **options):
    return Video(size=size, still=scene(seed, size), options=X264 | options)


def groups(folder):
    reports = [inspect_media(path) for path in sorted(folder.iterdir())]
    names = {str(path): path.name for path in folder.iterdir()}
    return [(g.kind, [names[path] for path in g.paths]) for g in find_duplicates(reports)]


def test_copies_are_found_by_their_bytes(tmp_path):
    write_media(tmp_path / "b.mp4", video(0), audio(0))
    shutil.copy(tmp_path / "b.mp4", tmp_path / "a copy.mp4")
    write_media(tmp_path / "c.mp4", video(1), audio(1))
    assert groups(tmp_path) == [("bytes", ["a copy.mp4", "b.mp4"])]


def test_a_smaller_worse_version_is_found_by_its_content(tmp_path):
    write_media(tmp_path / "a.mp4", video(0), audio(0))
    write_media(tmp_path / "b.mkv", video(0, (64, 48), crf="35"), audio(0)._replace(rate=RATE))
    write_media(tmp_path / "c.mp4", video(1), audio(1))
    assert groups(tmp_path) == [("content", ["a.mp4", "b.mkv"])]


def test_the_same_video_with_other_audio_or_the_reverse_is_another_file(tmp_path):
    for seen, heard in ((0, 0), (0, 1), (1, 0)):
        write_media(tmp_path / f"{seen}{heard}.mp4", video(seen), audio(heard))
    assert groups(tmp_path) == []


def test_audio_files_are_found_by_content(tmp_path):
    write_media(tmp_path / "a.wav", audio(0)._replace(codec="pcm_s16le", options={}))
    write_media(tmp_path / "b.mp3", audio(0)._replace(codec="libmp3lame", options={}))
    write_media(tmp_path / "c.wav", audio(1)._replace(codec="pcm_s16le", options={}))
    assert groups(tmp_path) == [("content", ["a.wav", "b.mp3"])]


def test_files_that_end_in_silence_are_not_the_same_for_it(tmp_path):
    for seed in range(6):
        padded = Audio("pcm_s16le", RATE, "mono", {}, samples=noise(seed)[None].copy())
        padded.samples[:, RATE:] = 0
        write_media(tmp_path / f"{seed}.wav", padded)
    assert groups(tmp_path) == []


def test_without_audio_a_still_scene_proves_nothing(tmp_path):
    for number, crf in enumerate(("20", "30")):
        write_media(tmp_path / f"still {number}.mp4", video(0, crf=crf))
    assert groups(tmp_path) == []


def test_without_audio_moving_frames_do(tmp_path):
    moving = Video(size=(128, 96))
    write_media(tmp_path / "a.mp4", moving)
    write_media(tmp_path / "b.mp4", moving._replace(options=X264 | {"crf": "28"}))
    write_media(tmp_path / "longer.mp4", moving._replace(ticks=range(3 * FPS)))
    assert groups(tmp_path) == [("content", ["a.mp4", "b.mp4"])]


def test_bad_files_and_reports_without_prints_are_no_duplicates(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(b"no media")
    (tmp_path / "empty.mp4").touch()
    write_media(tmp_path / "c.mp4", video(0), audio(0))
    shutil.copy(tmp_path / "c.mp4", tmp_path / "d.mp4")
    headers = [inspect_media(path, level="headers") for path in sorted(tmp_path.iterdir())]
    assert find_duplicates(headers) == []
    assert groups(tmp_path) == [("bytes", ["c.mp4", "d.mp4"])]
    good, problems = inspect_media(tmp_path / "c.mp4"), inspect_media(tmp_path / "a.mp4").problems
    alike = [dataclasses.replace(good, path=name, file_hash=name) for name in ("x", "y")]
    assert len(find_duplicates(alike)) == 1
    assert find_duplicates([dataclasses.replace(one, problems=problems) for one in alike]) == []


def test_the_order_of_reports_changes_nothing(tmp_path):
    write_media(tmp_path / "a.mp4", video(0), audio(0))
    write_media(tmp_path / "b.mkv", video(0, crf="30"), audio(0))
    shutil.copy(tmp_path / "a.mp4", tmp_path / "c.mp4")
    reports = [inspect_media(path) for path in sorted(tmp_path.iterdir())]
    expected = find_duplicates(reports)
    assert [group.kind for group in expected] == ["bytes", "content"]
    assert find_duplicates(reports[::-1]) == expected


def test_frames_of_one_color_tell_nothing():
    flat = np.full((40, 60, 3), 90, np.uint8)
    assert video_hash([flat, None]) == ""
    assert video_hash([flat, numbered_frame(3)]).startswith("- ")


def number(words):
    return int(words.replace(" ", ""), 16)


def test_fingerprints_of_audio_differ_in_half_of_their_bits():
    prints = [number(audio_fingerprint(noise(seed), RATE)) for seed in range(8)]
    shares = [(a ^ b).bit_count() / 120 for a in prints for b in prints if a < b]
    assert min(shares) > 0.3
    assert 0.4 < np.mean(shares) < 0.6


def test_silence_and_what_is_too_short_have_no_print():
    assert audio_fingerprint(np.zeros(RATE, np.float32), RATE) == ""
    mostly_silent = noise(0)
    mostly_silent[RATE // 2 :] = 0
    assert audio_fingerprint(mostly_silent, RATE) == ""
    half = noise(0)
    half[-RATE // 2 :] = 0
    assert audio_fingerprint(half, RATE).endswith(" - - - -")
    assert audio_fingerprint(noise(0)[:400], RATE) == ""


def test_common_frames_do_not_make_the_search_quadratic(tmp_path):
    path = write_media(tmp_path / "a.mp4", video(0), audio(0))
    report = inspect_media(path)
    reports = [
        dataclasses.replace(
            report,
            path=f"{number}.mp4",
            file_hash=str(number),
            audio_fingerprint=audio_fingerprint(np.roll(noise(0), 777 * number), RATE),
        )
        for number in range(600)
    ]
    assert find_duplicates(reports) == []
