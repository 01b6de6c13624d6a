"""Without PyAV and OpenCV models train on what is decoded; what needs them says so."""

import subprocess
import sys
import textwrap

import pytest
from helpers.media_files import Video, write_media

pytestmark = pytest.mark.slow

BLOCKER = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
"""
WORDS = """
WORDS = ("MODEL.MODEL_NAME VideoResNet MODEL.ARCH r3d_18 MODEL.NUM_CLASSES 3 NUM_GPUS 0 "
    "RESNET.WIDTH_PER_GROUP 4 DATA.NUM_FRAMES 4 DATA.TRAIN_CROP_SIZE 16 NUM_THREADS 1 "
    "DATA.TRAIN_JITTER_SCALES [16,20] TRAIN.BATCH_SIZE 2 DATA_LOADER.NUM_WORKERS 1").split()
"""


def run(folder, blocked, code):
    """Run code in a Python that cannot import some libraries."""
    script = f"BLOCKED = {blocked}\n" + BLOCKER + WORDS + textwrap.dedent(code)
    return subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, timeout=120
    )


def test_import_build_and_train(tmp_path):
    (tmp_path / "a.yaml").write_text("OUTPUT_DIR: run\n")
    done = run(
        tmp_path,
        ["av", "cv2"],
        """
        import slowfast, slowfast.cli.main, slowfast.inference.load, slowfast.cli.runner
        import slowfast.engine.registrations
        assert not {"av", "cv2"} & set(sys.modules)
        from slowfast.cli.main import main
        words = ["--fake-data", "--steps", "2", "--warmup", "0", "--json", "x.json"]
        status = main(["benchmark", "--cfg", "a.yaml", *words, *WORDS])
        assert status == 0, status
        """,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "x.json").exists()


@pytest.mark.parametrize("workers", ["0", "1"])
@pytest.mark.parametrize(
    ("library", "message"),
    [
        ("av", "reading and writing media files needs PyAV, which cannot be imported"),
        ("cv2", "images and augmentation need OpenCV, which cannot be imported"),
    ],
)
def test_what_needs_a_library_ends_with_one_message(tmp_path, library, message, workers):
    (tmp_path / "a.yaml").write_text("OUTPUT_DIR: run\n")
    for number in range(4):
        path = tmp_path / "videos" / "train" / "a" / f"{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_media(path, Video(ticks=range(30), fps=30))
    done = run(
        tmp_path,
        [library],
        f"""
        from slowfast.cli.main import main
        data = ["DATA.PATH_TO_DATA_DIR", "videos", "DATA_LOADER.NUM_WORKERS", "{workers}"]
        sys.exit(main(["train", "--cfg", "a.yaml", *WORDS, *data, "TEST.ENABLE", "False"]))
        """,
    )
    assert done.returncode == 2, done.stderr
    assert f"{message} (No module named '{library}'): pip install" in done.stderr
    assert "Traceback" not in done.stderr
