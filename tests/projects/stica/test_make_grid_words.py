"""A set of words is made from a small corpus in GRID's layout, whose frames and tones tell
where and when a clip was cut."""

import csv
import shutil
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from helpers.media_files import Audio, numbered_frame, read_numbers, write_media

from slowfast.datasets.decoding.reader import open_media, probe_media
from slowfast.datasets.prepare.workers import TaskResult
from slowfast.utils.exit_codes import EXIT_FAILED, EXIT_USER_ERROR

ROOT = Path(__file__).parents[3]
WIDTH, HEIGHT = 96, 80
BOX = (20, 30, 48)
COMMANDS, COLORS, PREPOSITIONS = "bin lay place set", "blue green red white", "at by in with"
DIGITS, ADVERBS = "zero one two three four five six seven eight nine", "again now please soon"
STARTS = (2.0, 14.5, 24.0, 33.0, 42.0, 60.0)
"""First frame of each word; the first and last are too near the ends for a clip around them."""
LENGTH = 9.0
LETTERS = "abcdefgh"


def words_of(number):
    """The words of sentence ``number``; each tenth one has the same digit."""
    third = number // 10
    pick = [COMMANDS, COLORS, PREPOSITIONS, LETTERS, DIGITS, ADVERBS]
    turns = [number + third, number // 2 + third, number, number, number, number // 3 + third]
    lists = [list(words) if words == LETTERS else words.split() for words in pick]
    return [words[turn % len(words)] for words, turn in zip(lists, turns, strict=True)]


def name_of(words):
    digit = DIGITS.split().index(words[4]) or "z"
    return "".join(str(digit) if word == words[4] else word[0] for word in words)


def tone_hz(slot):
    return 400 + 150 * slot


def frame(number):
    """The upper half of the square shows the number, the lower half its columns and its rows."""
    left, top, side = BOX
    row, column = np.mgrid[:HEIGHT, :WIDTH]
    inside = np.where(column < left + side // 2, column - left, row - top - side // 2)
    gray = (60 + 6 * inside).clip(20, 230).astype(np.uint8)
    image = np.repeat(gray[..., None], 3, axis=-1)
    bars = numbered_frame(number, (side, side))[: side // 2]
    image[top : top + side // 2, left : left + side] = bars
    return image


def speech(rate):
    """A tone of its own for each word, float32 (n,), 3 s."""
    time = np.arange(3 * rate) / rate
    wave = np.zeros_like(time)
    for slot, start in enumerate(STARTS):
        inside = (time >= start / 25) & (time < (start + LENGTH) / 25)
        wave[inside] = 0.5 * np.sin(2 * np.pi * tone_hz(slot) * time[inside])
    return wave.astype(np.float32)


def write_video(path, *, audio=True, num_frames=75):
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="mpeg") as out:
        video = out.add_stream("mpeg1video", rate=25)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.bit_rate = 4_000_000
        track = out.add_stream("mp2", rate=44100, layout="stereo") if audio else None
        samples = np.tile(speech(44100), (2, 1))
        for number in range(num_frames):
            image = av.VideoFrame.from_ndarray(frame(number), format="rgb24")
            out.mux(video.encode(image))
        out.mux(video.encode(None))
        for start in range(0, samples.shape[1] if track else 0, 1152):
            part = (samples[:, start : start + 1152] * 32767).astype(np.int16)
            part_frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(part.T).reshape(1, -1), format="s16", layout="stereo"
            )
            part_frame.sample_rate, part_frame.time_base, part_frame.pts = (
                44100,
                Fraction(1, 44100),
                start,
            )
            out.mux(track.encode(part_frame))
        if track:
            out.mux(track.encode(None))


def write_align(path, words):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["0 2000 sil"]
    for start, word in zip(STARTS, words, strict=True):
        lines.append(f"{1000 * start:.0f} {1000 * (start + LENGTH):.0f} {word}")
    lines[4:4] = ["33000 33000 sp", ""]
    path.write_text("\n".join([*lines, "69000 74500 sil"]) + "\n")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Forty sentences of s1, four of each digit, and one of another speaker."""
    grid = tmp_path_factory.mktemp("grid")
    write_video(grid / "one.mpg")
    for number in range(40):
        words = words_of(number)
        name = name_of(words)
        upper = number == 7
        video = grid / "s1" / (f"{name}.MPG".upper() if upper else f"{name}.mpg")
        video.parent.mkdir(exist_ok=True)
        shutil.copy(grid / "one.mpg", video)
        write_align(grid / "alignments/s1" / f"{name}.align",
                    [w.upper() for w in words] if upper else words)  # fmt: skip
    write_align(grid / "alignments/s2/bbaf2n.align", words_of(0))
    shutil.copytree(grid / "s1", grid / "__MACOSX/s1")
    (grid / "s1/._bbaf2n.mpg").write_bytes(b"resource fork")
    assert len(list((grid / "s1").glob("[!.]*"))) == 40
    return grid


def run_here(function, tasks, *, num_processes, timeout_sec):
    """Stands in for ``run_tasks``: worker processes take seconds to start."""
    for task in tasks:
        yield TaskResult(task, function(task, lambda: None))


@pytest.fixture(scope="module")
def tool():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "projects/stica"))
        import make_grid_words

        patch.setattr(make_grid_words, "run_tasks", run_here)
        yield make_grid_words


@pytest.fixture
def dry(tool, monkeypatch):
    """The command with media work that takes no time."""
    monkeypatch.setattr(tool, "look", lambda *_: tool.Look(75, (WIDTH, HEIGHT), None))
    monkeypatch.setattr(tool, "cut", lambda *_: (0, 0))
    return tool


def options(grid, out, *more):
    box = () if "--like" in more else ("--box", ",".join(map(str, BOX)))
    return ["--grid", str(grid), "--out", str(out), *box, *map(str, more)]


FEW = ("--train", 1, "--test", 1)


def clips_of(out):
    return sorted(path.relative_to(out) for path in out.glob("*/*/*.mp4"))


def record_of(out):
    with (out / "clips.csv").open(newline="") as lines:
        return {row["sentence"]: row for row in csv.DictReader(lines)}


@pytest.fixture(scope="module")
def made(tool, corpus, tmp_path_factory):
    """The set of the corpus."""
    out = tmp_path_factory.mktemp("made") / "words"
    assert tool.main(options(corpus, out, *FEW)) == 0
    return out


@pytest.mark.slow
def test_processes_make_the_same_files(made, corpus, tmp_path):
    command = [sys.executable, str(ROOT / "projects/stica/make_grid_words.py")]
    words = options(corpus, tmp_path / "words", *FEW, "--jobs", 2)
    done = subprocess.run([*command, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "22 clips of 22 classes, 1 of each" in done.stdout
    assert "44 written, 0 were there" in done.stdout
    assert "Left out" not in done.stdout
    assert clips_of(tmp_path / "words") == clips_of(made)
    for clip in clips_of(made):
        assert (tmp_path / "words" / clip).read_bytes() == (made / clip).read_bytes()


def test_layout_counts_and_a_split_by_sentence(made):
    clips = clips_of(made)
    per_class = {}
    for split, name, file in (clip.parts for clip in clips):
        per_class.setdefault(name, {}).setdefault(split, []).append(file)
    assert len(per_class) == 22
    assert all(len(n["train"]) == len(n["test"]) == 1 for n in per_class.values())
    train, test = ({c.stem for c in clips if c.parts[0] == side} for side in ("train", "test"))
    assert not train & test


def test_a_clip_has_the_frames_the_square_and_the_tone_of_its_word(made):
    record = record_of(made)
    slots = {"command": 0, "color": 1, "digit": 4, "adverb": 5}
    expected_first = {"command": 0, "color": 9, "digit": 36, "adverb": 54}
    # 2 + 4.5 - 10 is before the beginning; 54.5 is rounded to even
    for clip in clips_of(made):
        group = clip.parts[1].partition("_")[0]
        first = expected_first[group]
        row = record[clip.stem]
        assert f"{clip.parts[1]}:{first}" in row["clips"].split()
        assert row["split"] == clip.parts[0]
        assert (row["left"], row["top"], row["side"]) == tuple(map(str, BOX))
        info = probe_media(made / clip)
        assert (info.width, info.height, info.fps) == (112, 112, 25)
        assert info.audio_end_sec == pytest.approx(0.8, abs=1 / 24000)
        with open_media(made / clip) as reader:
            frames = np.stack([pixels for _, pixels in reader.iter_video()]).astype(float)
            wave, share = reader.read_audio(0.0, 19200, 24000)
        assert len(frames) == 20
        assert share == 1
        assert read_numbers(frames) == list(range(first, first + 20))
        # Pixels of the sentence that columns 8 to 48, and rows 64 to 104, show.
        columns = (frames[:, 64:104, 8:48].mean((0, 1, 3)) - 60) / 6
        rows = (frames[:, 64:104, 64:104].mean((0, 2, 3)) - 60) / 6
        scale = BOX[2] / 112
        np.testing.assert_allclose(columns, np.arange(8.5, 48) * scale - 0.5, atol=0.6)
        np.testing.assert_allclose(rows, np.arange(8.5, 48) * scale - 0.5, atol=0.6)
        begin = (STARTS[slots[group]] - first) / 25
        assert_tone(wave, tone_hz(slots[group]), begin, begin + LENGTH / 25)


def assert_tone(wave, hertz, begin_sec, end_sec):
    """The tone begins and ends at these instants, to 6 ms."""
    time = np.arange(len(wave)) / 24000
    width = 240
    carrier = wave * np.exp(-2j * np.pi * hertz * time)
    level = np.abs(np.convolve(carrier, np.ones(width) / width, "same"))
    loud = np.flatnonzero(level > 0.125)  # half of the level of an amplitude of 0.5
    assert time[loud[0]] == pytest.approx(begin_sec, abs=0.006)
    assert time[loud[-1]] == pytest.approx(end_sec, abs=0.006)


def test_the_same_command_makes_missing_and_broken_clips(made, tool, corpus, capsys, tmp_path):
    out = shutil.copytree(made, tmp_path / "words")
    gone, broken, *rest = clips_of(out)
    (out / gone).unlink()
    (out / broken).write_bytes((out / broken).read_bytes()[:300])
    before = {clip: (out / clip).stat().st_mtime_ns for clip in rest}
    assert tool.main(options(corpus, out, *FEW)) == 0
    assert "2 written, 42 were there" in capsys.readouterr().out
    assert {clip: (out / clip).stat().st_mtime_ns for clip in rest} == before
    assert (out / broken).read_bytes() == (made / broken).read_bytes()
    assert record_of(out) == record_of(made)


def test_the_clips_of_a_record_are_the_same_and_need_no_times(made, tool, corpus, tmp_path):
    sentences = tool.find_sentences(corpus / "s1", "s1", {}, with_words=False)
    for row in tool.read_record(made / "clips.csv", list(tool.CLASSES.values()))[:3]:
        written = tool.cut((sentences[row.sentence], row, tmp_path), lambda: None)
        assert written == (len(row.clips), 0)
    assert clips_of(tmp_path)
    for clip in clips_of(tmp_path):
        assert (tmp_path / clip).read_bytes() == (made / clip).read_bytes()


def test_sentences_of_a_record_that_are_not_there_are_named(dry, corpus, capsys, tmp_path, made):
    grid = tmp_path / "grid"
    shutil.copytree(corpus / "s1", grid / "s1")
    record = tmp_path / "clips.csv"
    twice = (made / "clips.csv").read_text() + "bbaf2n,train,1,2,48,digit_two:28\n"
    record.write_text(twice)
    assert dry.main(options(grid, tmp_path / "less", "--like", record)) == EXIT_FAILED
    assert "Left out: 1 sentence\n  bbaf2n: no .mpg file" in capsys.readouterr().out


def test_the_seed_decides_the_split_and_digits_alone_have_the_same(dry, corpus, tmp_path, made):
    clips = {}
    for name, seed in (("same", 0), ("other", 5)):
        words = options(corpus, tmp_path / name, *FEW, "--seed", seed, "--words", "digits")
        assert dry.main(words) == 0
        clips[name] = {
            (row["split"], clip, sentence)
            for sentence, row in record_of(tmp_path / name).items()
            for clip in row["clips"].split()
        }
    of_all = {
        (row["split"], clip, sentence)
        for sentence, row in record_of(made).items()
        for clip in row["clips"].split()
        if clip.startswith("digit")
    }
    assert clips["same"] == of_all
    assert clips["other"] != of_all


def test_a_folder_of_another_set_is_refused(dry, corpus, tmp_path, made, capsys):
    assert dry.main(options(corpus, made, *FEW, "--words", "digits")) == EXIT_USER_ERROR
    said = capsys.readouterr().err
    assert f"--out: {made} holds test/adverb_again/" in said
    assert "and 23 more of another set; expected a new folder" in said


def small(grid, corpus, numbers=range(40)):
    """Copy sentences of the corpus."""
    names = [name_of(words_of(number)) for number in numbers]
    for path in corpus.glob("s1/[!.]*"), corpus.glob("alignments/s1/*"):
        for file in path:
            if file.stem.lower() in names:
                target = grid / file.relative_to(corpus)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, target)
    return names


def test_sentences_that_cannot_be_used_are_named_with_the_reason(
    tool, corpus, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(tool, "cut", lambda *_: (0, 0))
    grid = tmp_path / "grid"
    names = small(grid, corpus, [*range(10), *range(20, 30), *range(30, 40)])
    align = grid / "alignments/s1"
    (align / f"{names[0]}.align").unlink()
    (grid / f"s1/{names[1]}.mpg").unlink()
    (grid / f"s1/{names[2]}.mpg").write_bytes(bytes(range(256)) * 40)
    (align / f"{names[3]}.align").write_text("0 23750 sil\n23750 bin\n")
    write_video(grid / f"s1/{names[4]}.mpg", audio=False)
    write_video(grid / f"s1/{names[5]}.mpg", num_frames=12)
    movie = bytearray((grid / f"s1/{names[6]}.mpg").read_bytes())
    movie[len(movie) // 3 : len(movie) // 2] = bytes(len(movie) // 2 - len(movie) // 3)
    (grid / f"s1/{names[6]}.mpg").write_bytes(movie)
    out = tmp_path / "words"
    words = ("--words", "digits", "--test-fraction", 0.5)
    assert tool.main(options(grid, out, *words)) == 0
    said = capsys.readouterr().out
    assert "Left out: 7 sentences" in said
    for number, reason in (
        (0, "no .align file"),
        (1, "no .mpg file"),
        (2, "it is not a media file"),
        (3, f"{names[3]}.align, line 2: got '23750 bin'; expected START END WORD"),
        (4, "no audio in it, and no .wav file of the same name"),
        (5, "12 frames, 0 damaged, 0 out of step; expected 20 or more, at 25 Hz"),
        (6, "frames, "),
    ):
        line = next(line for line in said.splitlines() if line.startswith(f"  {names[number]}:"))
        assert reason in line
    assert not record_of(out).keys() & set(names[:7])
    assert "10 classes, 1 to 2 of each" in said


def test_audio_of_its_own_is_used_where_the_video_has_none(tool, corpus, tmp_path):
    grid = tmp_path / "grid"
    (name, *_) = small(grid, corpus, [0, 10])
    write_video(grid / f"s1/{name}.mpg", audio=False)
    (grid / "s1_50kHz").mkdir()
    wav = Audio(codec="pcm_s16le", rate=25000, layout="mono", samples=speech(25000)[None])
    write_media(grid / f"s1_50kHz/{name}.wav", wav)
    row = tool.Row(name, "train", BOX, {"digit_zero": 36})
    found = tool.find_sentences(grid, "S1", {}, with_words=True)[name]
    assert tool.cut((found, row, tmp_path / "words"), lambda: None) == (1, 0)
    with open_media(tmp_path / "words/train/digit_zero" / f"{name}.mp4") as reader:
        wave = reader.read_audio(0.0, 19200, 24000)[0]
    assert_tone(wave, tone_hz(4), 6 / 25, 15 / 25)


def test_words_beyond_the_end_of_a_video_are_not_cut(tool, corpus, tmp_path, capsys):
    grid = tmp_path / "grid"
    name, *_ = small(grid, corpus, range(20))
    write_video(grid / f"s1/{name}.mpg", num_frames=45)  # its digit ends at 51
    out = tmp_path / "words"
    words = ("--words", "digits", "--test-fraction", 0.5)
    assert tool.main(options(grid, out, *words)) == EXIT_USER_ERROR
    assert "error: no clip for " in capsys.readouterr().err
    assert not out.exists()


def test_faces_place_squares_of_one_side_and_strays_get_the_median(tool):
    from grid_clips import Face, Look

    faces = {"a": (160, 90, 136), "b": (164, 92, 138), "c": (166, 94, 138), "d": (167, 95, 140)}
    looks = {name: Look(75, (360, 288), Face(*face)) for name, face in faces.items()}
    looks |= {"none": Look(75, (360, 288), None), "far": Look(75, (360, 288), Face(60, 30, 138))}
    boxes = tool.mouth_boxes(looks)
    assert boxes["a"] == (110, round(90 + 0.77 * 136) - 50, 100)
    assert boxes["b"] == (114, round(92 + 0.77 * 138) - 50, 100)
    assert boxes["none"] == boxes["far"] == (114, round(92 + 0.77 * 138) - 50, 100)
    with pytest.raises(tool.UserError, match=r"found a face in 1 of 3 sentences"):
        tool.mouth_boxes({"a": looks["a"], "b": looks["none"], "c": looks["none"]})


def test_the_largest_face_of_three_frames_is_taken(tool, monkeypatch):
    import grid_clips

    seen = iter([[(10, 20, 30, 30), (5, 6, 60, 60)], [], [(7, 8, 62, 62)]])
    fake = SimpleNamespace(detectMultiScale=lambda *a, **k: next(seen))
    monkeypatch.setattr(grid_clips, "face_detector", lambda: fake)
    assert grid_clips.find_face([frame(k) for k in range(9)]) == (36.5, 7.0, 61.0)


def test_without_a_face_detector_the_remedies_are_named(
    tool, monkeypatch, corpus, capsys, tmp_path
):
    import grid_clips

    grid_clips.face_detector.cache_clear()
    monkeypatch.delattr(grid_clips.cv2, "CascadeClassifier", raising=False)
    assert tool.main(["--grid", str(corpus), "--out", str(tmp_path / "words")]) == EXIT_USER_ERROR
    said = capsys.readouterr().err
    assert "has no face detector" in said
    assert "--box 106,156,100" in said
    assert "pip install 'opencv-python-headless<5'" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--speaker", "s9"), "found no video of s9. Expected "),
        (("--words", "digits", "--box", "80,60,48"), "--box: got 80,60,48; expected a square"),
    ],
)
def test_mistakes_end_with_what_is_wrong(dry, corpus, tmp_path, capsys, words, message):
    base = ["--grid", str(corpus), "--out", str(tmp_path / "words"), "--box", "20,30,48"]
    assert dry.main([*base, *words]) == EXIT_USER_ERROR
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--box", "1,2"), "got 1,2; expected LEFT,TOP,SIDE"),
        (("--test-fraction", "1.5"), "got 1.5; expected a share between 0 and 1"),
        (("--train", "0"), "got 0; expected a number of 1 or more"),
        (("--like", "x.csv", "--seed", "3"), "--seed: --like sets the split"),
    ],
)
def test_options_are_checked(tool, capsys, words, message):
    with pytest.raises(SystemExit):
        tool.main(["--grid", "g", "--out", "o", *words])
    assert message in capsys.readouterr().err


def test_a_record_that_cannot_be_read_is_named_with_its_line(tool, corpus, tmp_path, capsys):
    record = tmp_path / "clips.csv"
    record.write_text("sentence,split,left,top,side,clips\nbbaf2n,train,1,2,48,digit_two:x\n")
    assert tool.main(options(corpus, tmp_path / "o", "--like", record)) == EXIT_USER_ERROR
    assert (
        f"--like: {record}, line 2: got 'bbaf2n,train,1,2,48,digit_two:x'; expected sentence,"
        in (capsys.readouterr().err)
    )


def test_the_record_of_the_results_page_has_what_the_page_says(tool):
    classes = list(tool.CLASSES.values())
    rows = tool.read_record(ROOT / "projects/stica/grid_words_s1.csv", classes)
    assert len({row.sentence for row in rows}) == len(rows) == 1000
    counts = Counter((row.split, label) for row in rows for label in row.clips)
    assert counts == {(s, c): n for s, n in (("train", 75), ("test", 25)) for c in classes}
    assert all(0 <= first <= 75 - 20 for row in rows for first in row.clips.values())
    assert all(row.box[0] + 100 <= 360 and row.box[1] + 100 <= 288 for row in rows)
    assert {row.box[2] for row in rows} == {100}
