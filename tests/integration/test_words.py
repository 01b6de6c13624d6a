"""The words that this project once had instead of the field's do not come back."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = "slowfast projects tools benchmarks tests docs configs".split()
# Not wanted, also as a part of an identifier -> what to write.
WORDS = {
    r"pictures?": "video, frame, image or plot",
    r"sounds?": "audio",
    r"cells?": "spatial position (of a map), variant (of a sweep), field or text (of a table)",
    r"wholes|whole (map|clip)s?|the whole(?=[.,;:)])": "full feature map, full clip",
    r"towers?": "encoder",
    r"read-?outs?": "pooling",
    r"few labels": "few-shot",
    r"judge[sd]?|judging": "evaluate",
    r"kept decoded": "cached decoded frames",
    r"guess(es|ed|ing)?": "chance level",
    r"one clock": "shared PTS timeline",
    r"late tracks?": "stream with a start-time offset",
    r"bands and steps|mel bands?|spectrogram steps": "mel bins and time frames",
    r"on bytes": "on uint8",
    r"terms?": "losses, loss components",
    r"anew|mend(s|ed|ing)?|loudly": "again, fix, prints a warning",
    r"data sets?": "dataset",
    r"draws|drawn": "samples, sampled (random numbers)",
    r"by chance": "with probability p",
    r"travels? together": "are batched together",
    r"go(es)? on": "resumes, continues",
    r"beside": "next to",
    r"place keys?": "path keys",
    r"makers?": "builder",
    r"(behavi|col|fav|neighb)our\w*|greys?|licences?": "the American spelling",
    r"(initial|normal|optim|organ)is(e|ed|ing|ation)": "the American spelling",
}
ANY = re.compile(rf"(?<![a-z])({'|'.join(WORDS)})(?![a-z])", re.IGNORECASE)
# File -> texts that are right where they stand.
ALLOWED = {
    "": (
        r"groups?\s+of\s+pictures",  # of codecs (GOP)
        "terms of (use|the license)",
        r"\bREADOUT\b",  # TEMPORAL_TRANSFORMER.READOUT, a key of published YAMLs
        "VggSound",
        "guessed_rate",  # PyAV's
        "guess_type",  # Python's mimetypes
    ),
    "CHANGELOG.md": ("`[^`]*`",),  # names before and after
    # Old names that are still read, and the tests of that.
    "projects/stica/report_loss.py": ('"--term"',),
    "slowfast/cli/export_weights.py": ('"--licence"',),
    "slowfast/cli/prepare_data.py": ('"--require-sound"',),
    "slowfast/config/renamed.py": (r'"[\w.]+"',),
    "slowfast/datasets/inspect/report.py": (
        r'"\w+": "(video|audio|no_audio|audio_covers_little)"',
    ),
    "slowfast/models/zoo/packaged.py": ('"licence"',),
    "tests/cli/test_export_weights.py": ("--licence",),
    "tests/cli/test_prepare_data.py": ("--require-sound",),
    "tests/config/test_load.py": ("colour", "FEW_SHOT_DRAWS"),
    "tests/datasets/test_inspect.py": ('"(picture|sound|no_sound)"',),
    "tests/integration/test_quickstart.py": (r"\bcells?\b",),  # of a notebook
    "tests/models/test_zoo_packaged.py": ("licence: [bc]",),
    "tests/visualization/test_sweep_plot.py": ("'\"cell\"'",),
    # Names of runs in published sweeps.
    "configs/StiCA/sweeps/demo_released.yaml": ("released-readout",),
    "projects/stica/report_ablation.py": ('"readout"',),
}


def sources():
    """Every file with prose or code, by its path from the root."""
    paths = [*ROOT.glob("*.md"), ROOT / "Makefile"]
    for folder in FOLDERS:
        found = (ROOT / folder).rglob("*")
        paths += [path for path in found if path.suffix in (".py", ".md", ".yaml")]
    for path in sorted(paths):
        name = path.relative_to(ROOT).as_posix()
        if path.resolve() != Path(__file__).resolve():
            yield name, path.read_text(encoding="utf-8")


def find(name, text):
    """Yield a line for each word that is not wanted."""
    for allowed in (*ALLOWED[""], *ALLOWED.get(name, ())):
        text = re.sub(allowed, "", text)
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    for match in ANY.finditer(text):
        found = (new for word, new in WORDS.items() if re.match(word, match[0], re.IGNORECASE))
        line = text.count("\n", 0, match.start()) + 1
        yield f"{name}:{line}: {match[0]!r}: {next(found, '')}"


def test_words_of_the_field():
    found = [line for name, text in sources() for line in find(name, text)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text", ["a Picture", "no_sound", "SoundNet", "q_cells", "read-out", "by chance", "colourful"]
)
def test_the_search_finds_them(text):
    assert len(list(find("x.py", text))) == 1


def test_every_exception_is_needed():
    texts = dict(sources())
    for name, allowed in ALLOWED.items():
        text = texts[name] if name else "\n".join(texts.values())
        for pattern in allowed:
            assert re.search(pattern, text), f"{name}: {pattern}"
