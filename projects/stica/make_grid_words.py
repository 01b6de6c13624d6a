#!/usr/bin/env python3
r"""Make a set of spoken words, one a clip, from a speaker of the GRID corpus: lips fill the frame.

    python projects/stica/make_grid_words.py --grid /data/grid --speaker s1 --out /data/words

GRID (Cooke, Barker, Cunningham and Shao 2006, CC BY 4.0, zenodo.org/record/3625687) has 1000
sentences of each speaker: a video of 3 s at 25 frames per second, and the times of its words.
Written are OUT/train/CLASS/SENTENCE.mp4 and OUT/test/..., a clip of 20 frames (0.8 s) around the
middle of each word, 112 by 112 pixels, with mono audio of 24 kHz. At the ends of a sentence a clip
is shifted to lie within it. All clips of a sentence are in one split and show the same square.

OUT/clips.csv records sentences, splits, squares and first frames, and ``--like`` makes the set of
such a record again. projects/stica/grid_words_s1.csv is that of RESULTS.md. Without it, a hash of
the sentence's name and ``--seed`` decides the split, and a face detector the square.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from grid_clips import (
    FPS,
    FRAMES,
    SIDE,
    SPLITS,
    Box,
    Look,
    Row,
    Sentence,
    cut,
    face_detector,
    look,
    read_record,
    write_record,
)

from slowfast.config import UserError
from slowfast.datasets.prepare.workers import run_tasks
from slowfast.utils.exit_codes import EXIT_FAILED, exit_with
from slowfast.utils.progress import ProgressMeter

GROUPS = {
    "digit": "zero one two three four five six seven eight nine".split(),
    "command": "bin lay place set".split(),
    "color": "blue green red white".split(),
    "adverb": "again now please soon".split(),
}
CLASSES = {word: f"{group}_{word}" for group, words in GROUPS.items() for word in words}
TICKS_PER_FRAME = 1000
"""Times of words count samples of 25 kHz."""
SPLIT_DEFAULTS = {"train": 75, "test": 25, "test_fraction": 0.25, "seed": 0}

# OpenCV's detector finds squares from the forehead to the chin. These shares of their side place a
# square as in the set of RESULTS.md.
MOUTH_DOWN, MOUTH_SIDE = 0.77, 0.725
STRAY = 0.3
"""A square farther than this share of its side from the median square is replaced by that."""

Problems = dict[str, str]
"""Sentence -> why it cannot be used."""


def main(words: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    args = parse(words)
    return exit_with(lambda: make(args), interrupted="stopped; the same command resumes")


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="The same command resumes where it was stopped. GRID is only read. DATASET.md",
    )
    add = parser.add_argument
    add("--grid", type=Path, required=True, metavar="FOLDER",
        help="with the unpacked files, in any folders that name the speaker")  # fmt: skip
    add("--speaker", default="s1", help="default: %(default)s")
    add("--out", type=Path, required=True, metavar="FOLDER", help="where to write; created")
    add("--words", nargs="+", choices=[f"{g}s" for g in GROUPS], default=[f"{g}s" for g in GROUPS],
        help="groups of classes; default: all")  # fmt: skip
    add("--jobs", type=_at_least_1, default=0, help="processes; default: one per core")
    add("--timeout", type=_at_least_1, default=60, metavar="SEC",
        help="give a file up after so long without progress; default: %(default)s")  # fmt: skip
    square = parser.add_argument_group("squares").add_mutually_exclusive_group()
    square.add_argument("--box", type=_box, metavar="LEFT,TOP,SIDE",
        help="the square of all sentences, in pixels; default: by a face detector")  # fmt: skip
    square.add_argument("--like", type=Path, metavar="CSV",
        help="make the clips of this record; sets the split, too")  # fmt: skip
    add = parser.add_argument_group("split").add_argument
    add("--train", type=_at_least_1, metavar="N", help="clips of each class; default: 75")
    add("--test", type=_at_least_1, metavar="N", help="clips of each class; default: 25")
    add("--test-fraction", type=float, metavar="SHARE",
        help="of the sentences with the same digit; default: 0.25")  # fmt: skip
    add("--seed", type=int, help="of the split and the choice of clips; default: 0")
    args = parser.parse_args(words)
    given = [f"--{k.replace('_', '-')}" for k in SPLIT_DEFAULTS if getattr(args, k) is not None]
    if args.like and given:
        parser.error(f"{given[0]}: --like sets the split; leave one of the two out.")
    for key, value in SPLIT_DEFAULTS.items():
        setattr(args, key, value if getattr(args, key) is None else getattr(args, key))
    if not 0 < args.test_fraction < 1:
        parser.error(f"--test-fraction: got {args.test_fraction:g}; expected a share between 0 "
                     "and 1, such as 0.25.")  # fmt: skip
    return args


def make(args: argparse.Namespace) -> int:
    """Make the set; returns the exit status."""
    groups = [group.removesuffix("s") for group in args.words]
    classes = sorted(CLASSES[word] for group in groups for word in GROUPS[group])
    problems: Problems = {}
    sentences = find_sentences(args.grid, args.speaker, problems, with_words=not args.like)
    if args.like:
        rows = read_record(args.like, classes)
        problems |= {row.sentence: "no .mpg file" for row in rows if row.sentence not in sentences}
        rows = [row for row in rows if row.sentence in sentences]
    else:
        rows = plan(args, sentences, classes, problems)
    counts = count(rows)
    lacking = [f"{split}/{name}" for split in SPLITS for name in classes if not counts[split, name]]
    if lacking:
        raise UserError(
            f"no clip for {_some(lacking)}; expected some of each class in train and in test. Give "
            f"more sentences, or fewer --words.{_reasons(problems)}"
        )
    check_folder(args.out, rows)
    write_record(args.out / "clips.csv", rows)
    tasks = [(sentences[row.sentence], row, args.out) for row in rows]
    planned, done = len(problems), run_all(cut, tasks, args, "cutting clips", problems)
    counts = count(row for row in rows if row.sentence in done)
    for split in SPLITS:
        numbers = [counts[split, name] for name in classes]
        sys.stdout.write(f"  {split:<6} {sum(numbers)} clips of {len(classes)} classes, "
                         f"{_range(numbers)} of each\n")  # fmt: skip
    made, kept = (sum(found[i] for found in done.values()) for i in (0, 1))
    sys.stdout.write(
        f"  clips  {made} written, {kept} were there; {FRAMES / FPS:g} s, {SIDE} by {SIDE} pixels\n"
        f"Written to {args.out}: train, test, clips.csv{_reasons(problems)}\n"
    )
    return EXIT_FAILED if len(problems) > (0 if args.like else planned) else 0


def find_sentences(
    grid: Path, speaker: str, problems: Problems, *, with_words: bool
) -> dict[str, Sentence]:
    """Find the files of a speaker, whatever the layout of the folder.

    Args:
        grid: Folder to search.
        speaker: Is a folder of a file's path, or the part of its name before a _, as in s1_50kHz.
            Upper and lower case are the same.
        problems: Receives sentences that cannot be used.
        with_words: Read the times of words, too.

    Returns:
        Name -> sentence, in order.

    Raises:
        UserError: If there is no video.
    """
    files: dict[str, dict[str, Path]] = {".mpg": {}, ".wav": {}, ".align": {}}
    for path in sorted(grid.rglob("[!.]*")):
        folders = (grid.absolute().name, *path.relative_to(grid).parts[:-1])
        is_speakers = any(f.lower().partition("_")[0] == speaker.lower() for f in folders)
        if is_speakers and path.suffix.lower() in files and "__MACOSX" not in folders:
            files[path.suffix.lower()].setdefault(path.stem.lower(), path)
    videos, audio, aligns = files.values()
    if not videos:
        raise UserError(
            f"--grid, --speaker: got {grid} and {speaker}; found no video of {speaker}. Expected "
            f"{grid}/{speaker}/bbaf2n.mpg or the like: unpack the speaker's videos there."
        )
    if with_words:
        problems |= dict.fromkeys(aligns.keys() - videos.keys(), "no .mpg file")
    sentences = {}
    for name, video in sorted(videos.items()):
        try:
            words = read_words(aligns.get(name)) if with_words else {}
            sentences[name] = Sentence(name, video, audio.get(name), words)
        except ValueError as error:
            problems[name] = str(error)
    return sentences


def read_words(align: Path | None) -> dict[str, tuple[float, float]]:
    """Read an .align file: a line START END WORD for each word or silence.

    Returns:
        Word -> its start and end, in frames; words that are no class are left out.

    Raises:
        ValueError: With the reason, if there is no file or one that cannot be understood.
    """
    if align is None:
        raise ValueError("no .align file")
    words = {}
    for number, line in enumerate(align.read_text("latin-1").splitlines(), 1):
        match line.lower().split():
            case []:
                pass
            case [start, end, word] if start.isdecimal() and end.isdecimal():
                if word in CLASSES:
                    words[word] = int(start) / TICKS_PER_FRAME, int(end) / TICKS_PER_FRAME
            case _:
                got = f"got {line.strip()[:40]!r}; expected START END WORD"
                raise ValueError(f"{align.name}, line {number}: {got}")
    return words


def run_all(
    function: Callable[..., Any],
    tasks: list[Any],
    args: argparse.Namespace,
    title: str,
    problems: Problems,
) -> dict[str, Any]:
    """Call a function for sentences, in processes.

    Args:
        function: ``look`` or ``cut``; a result of text is a reason.
        tasks: Tuples that begin with a sentence.
        args: ``jobs`` and ``timeout`` are read.
        title: Of the progress bar.
        problems: Receives the reasons.

    Returns:
        Name -> result, in order of the tasks.
    """
    done = {}
    results = run_tasks(function, tasks, num_processes=args.jobs, timeout_sec=args.timeout)
    with closing(results), ProgressMeter(title, len(tasks), unit="sentences") as meter:
        for result in results:
            name = result.task[0].name
            if result.code or isinstance(result.value, str):
                problems[name] = result.reason or result.value
            else:
                done[name] = result.value
            meter.update()
    return {task[0].name: done[task[0].name] for task in tasks if task[0].name in done}


def plan(
    args: argparse.Namespace,
    sentences: Mapping[str, Sentence],
    classes: Collection[str],
    problems: Problems,
) -> list[Row]:
    """Decide the split, the square and the clips of each sentence that can be used."""
    if args.box is None:
        face_detector()  # that there is none is told before the work begins
    tasks = [(sentence, args.box is None) for sentence in sentences.values()]
    looks = run_all(look, tasks, args, "looking at videos", problems)
    for width, height in {seen.size for seen in looks.values()} if args.box else ():
        if args.box[0] + args.box[2] > width or args.box[1] + args.box[2] > height:
            raise UserError(
                f"--box: got {','.join(map(str, args.box))}; expected a square LEFT,TOP,SIDE "
                f"within frames of {width} by {height} pixels."
            )
    boxes = dict.fromkeys(looks, args.box) if args.box else mouth_boxes(looks)
    firsts = {
        name: {
            CLASSES[word]: min(max(round((start + end - FRAMES) / 2), 0), seen.num_frames - FRAMES)
            for word, (start, end) in sentences[name].words.items()
            if end <= seen.num_frames
        }
        for name, seen in looks.items()
    }
    order = sorted(looks, key=lambda name: _hash(f"{args.seed} {args.speaker.lower()} {name}"))
    splits = split_sentences({name: firsts[name] for name in order}, args.test_fraction)
    rows = {name: Row(name, splits[name], boxes[name], {}) for name in sorted(looks)}
    counts: Counter[tuple[str, str]] = Counter()
    for name in order:
        for label in classes:
            key = splits[name], label
            if label in firsts[name] and counts[key] < getattr(args, splits[name]):
                counts[key] += 1
                rows[name].clips[label] = firsts[name][label]
    return [row for row in rows.values() if row.clips]


def split_sentences(order: Mapping[str, Collection[str]], test_fraction: float) -> dict[str, str]:
    """Split sentences; of those with the same digit, the first are for testing.

    Args:
        order: Name -> its classes, in random order.
        test_fraction: Share of the sentences with the same digit, rounded.

    Returns:
        Name -> split.
    """
    by_digit = defaultdict(list)
    for name, labels in order.items():
        by_digit[next((c for c in labels if c.startswith("digit")), "")].append(name)
    tests = {n for names in by_digit.values() for n in names[: round(test_fraction * len(names))]}
    return {name: "test" if name in tests else "train" for name in order}


def mouth_boxes(looks: Mapping[str, Look]) -> dict[str, Box]:
    """Place a square on the lower part of each face, of the same side for all sentences.

    Args:
        looks: Name -> what was seen.

    Returns:
        Name -> square within the frames: the median one without a face, or far from the others.

    Raises:
        UserError: If fewer than half of the sentences have a face.
    """
    faces = {name: seen.face for name, seen in looks.items() if seen.face}
    if 2 * len(faces) < len(looks) or not faces:
        raise UserError(
            f"--box: not given; found a face in {len(faces)} of {len(looks)} sentences, expected "
            "half of them or more. Give a square that fits the speaker: --box LEFT,TOP,SIDE"
        )
    side = 2 * round(MOUTH_SIDE / 2 * statistics.median(face.side for face in faces.values()))
    middles = {name: (face.x, face.top + MOUTH_DOWN * face.side) for name, face in faces.items()}
    usual = tuple(map(statistics.median, zip(*middles.values(), strict=True)))
    boxes = {}
    for name, seen in looks.items():
        middle = middles.get(name, usual)
        if max(abs(a - b) for a, b in zip(middle, usual, strict=True)) > STRAY * side:
            middle = usual
        left, top = (
            min(max(round(center - side / 2), 0), length - side)
            for center, length in zip(middle, seen.size, strict=True)
        )
        boxes[name] = left, top, side
    return boxes


def count(rows: Iterable[Row]) -> Counter[tuple[str, str]]:
    """Count the clips of each split and class."""
    return Counter((row.split, name) for row in rows for name in row.clips)


def check_folder(out: Path, rows: list[Row]) -> None:
    """Refuse a folder with clips of another set.

    Raises:
        UserError: If there is one.
    """
    planned = {row.file(name) for row in rows for name in row.clips}
    there = {p.relative_to(out) for split in SPLITS for p in out.glob(f"{split}/*/[!.]*")}
    if others := sorted(map(str, there - planned)):
        raise UserError(
            f"--out: {out} holds {_some(others)} of another set; expected a new folder, or one "
            "where this set was begun with the same options. Give another --out, or delete it."
        )


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode()).digest()


def _some(names: list[str]) -> str:
    return f"{names[0]} and {len(names) - 1} more" if len(names) > 1 else names[0]


def _range(numbers: list[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"


def _reasons(problems: Problems) -> str:
    """List reasons with the number of their sentences, the most frequent first."""
    by_reason = defaultdict(list)
    for name, reason in sorted(problems.items()):
        by_reason[reason].append(name)
    lines = sorted(by_reason.items(), key=lambda item: -len(item[1]))
    head = f"\nLeft out: {len(problems)} sentence{'s' * (len(problems) > 1)}" if problems else ""
    return head + "".join(f"\n  {_some(names)}: {reason}" for reason, names in lines)


def _at_least_1(word: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"got {word}; expected a number of 1 or more.")
    return int(word)


def _box(word: str) -> Box:
    numbers = word.split(",")
    if len(numbers) != 3 or not all(n.isdecimal() for n in numbers) or int(numbers[2]) < 2:
        raise argparse.ArgumentTypeError(
            f"got {word}; expected LEFT,TOP,SIDE in pixels of the videos, such as 106,156,100."
        )
    left, top, side = map(int, numbers)
    return left, top, side


if __name__ == "__main__":
    sys.exit(main())
