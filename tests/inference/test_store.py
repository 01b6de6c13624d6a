"""``slowfast embed`` and ``slowfast search``: vectors on disk, resume, ranks, search."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from helpers.media_files import Audio, Video, write_media
from helpers.media_kinds import make_kind
from helpers.small_run import write_stica_run

import slowfast
from slowfast.cli.main import main
from slowfast.config import UserError
from slowfast.engine.evaluator import Evaluation
from slowfast.engine.precision import Precision
from slowfast.inference.embeddings import ClipEmbedding, VideoEmbedding
from slowfast.inference.search import nearest, search
from slowfast.inference.store import VectorStore
from slowfast.inference.video_keys import FileState
from slowfast.utils.io import read_json

NAMES = ("a/0.mp4", "a/1.mp4", "b/2.mp4", "b/=3.mp4")
WEIGHTS = ["--weights", "zoo://stica-demo", "--workers", "0", "--batch-size", "2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Class folders; the last file has no audio."""
    root = tmp_path_factory.mktemp("videos")
    for number, name in enumerate(NAMES):
        path = root / "test" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        tracks = [Audio(seconds=3.0)] if number < 3 else []
        write_media(path, Video(ticks=range(60 + 10 * number)), *tracks)
    return root


@pytest.fixture(scope="module")
def store(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "vectors"
    assert main(["embed", str(folder), *WEIGHTS, "-o", str(out)]) == 0
    return VectorStore(out)


def table(store, name="videos"):
    content = pq.read_table(store.folder / name).sort_by(
        [("path", "ascending")] + ([("clip", "ascending")] if name == "clips" else [])
    )
    return content.to_pydict()


def test_the_rows_are_those_of_the_python_api(folder, store):
    model = slowfast.load("zoo://stica-demo", device="cpu", overrides=["TEST.BATCH_SIZE", 2])
    wanted = sorted(model.embed(folder, num_workers=0), key=lambda video: video.path)
    rows = table(store)
    assert rows["path"] == [f"test/{name}" for name in sorted(NAMES)]
    assert rows["label"] == ["a", "a", "b", "b"]
    for number, video in enumerate(wanted):
        for name in ("video", "audio", "video_embedding", "audio_embedding"):
            stored, vector = rows[name][number], video.features.get(name)
            assert (stored is None) == (vector is None)
            if vector is not None:
                np.testing.assert_array_equal(np.float32(stored), vector)
    assert [vector is None for vector in rows["audio"]] == [False, False, False, True]
    arrays = np.load(store.folder / "vectors.npz")
    assert arrays["path"].tolist() == rows["path"]
    assert np.isnan(arrays["audio"]).any(axis=1).tolist() == [x is None for x in rows["audio"]]
    assert read_json(store.folder / "embed.json")["weights"] == "zoo://stica-demo"
    assert len(table(store, "clips")["path"]) == sum(len(video.clips) for video in wanted)


def test_only_new_and_changed_files_are_embedded_again(folder, store, tmp_path, capsys):
    videos, out = tmp_path / "videos", tmp_path / "out"
    shutil.copytree(folder, videos)
    command = ["embed", str(videos), *WEIGHTS, "-o", str(out)]
    assert main(command) == 0
    parts = VectorStore(out).parts()
    assert main(command) == 0
    assert VectorStore(out).parts() == parts
    assert "4 files, 4 of them done" in capsys.readouterr().out
    os.utime(videos / "test/a/0.mp4", ns=(1, 1))
    shutil.copy(videos / "test/a/0.mp4", videos / "test/a/new.mp4")
    (videos / "test/b/2.mp4").unlink()
    assert main(command) == 0
    assert "5 files" not in (text := capsys.readouterr().out)
    assert "4 files, 2 of them done, 1 changed, 1 no longer there (kept: --prune removes" in text
    assert len(table(VectorStore(out))["path"]) == 5
    assert main([*command, "--prune"]) == 0
    rows = table(VectorStore(out))
    assert rows["path"] == ["test/a/0.mp4", "test/a/1.mp4", "test/a/new.mp4", "test/b/=3.mp4"]
    assert len(set(table(VectorStore(out), "clips")["path"])) == 4


def test_other_weights_or_settings_are_refused(folder, store, capsys):
    command = ["embed", str(folder), *WEIGHTS, "-o", str(store.folder)]
    assert main([*command, "--every", "1"]) == 2
    assert "another --every: None there, 1.0 now" in capsys.readouterr().err
    assert (
        main(["embed", str(folder), "--weights", "zoo://stica-grid", "-o", str(store.folder)]) == 2
    )
    text = capsys.readouterr().err
    assert "another --weights: zoo://stica-demo (" in text
    assert ") there, zoo://stica-grid (" in text


def test_bad_files_are_listed(folder, tmp_path):
    videos, out = tmp_path / "videos", tmp_path / "out"
    videos.mkdir()
    shutil.copy(folder / "test/a/0.mp4", videos / "good.mp4")
    (videos / "=bad.mp4").write_bytes(b"no video")
    raw = os.fsencode(videos) + b"/\xff.mp4"
    shutil.copy(folder / "test/a/1.mp4", os.fsdecode(raw))
    assert main(["embed", str(videos), *WEIGHTS, "-o", str(out)]) == 0
    assert "\n'=bad.mp4," in (out / "bad_files.csv").read_text()
    rows = table(VectorStore(out))
    assert rows["path"] == ["\\xff.mp4", "good.mp4"]
    assert rows["path_bytes"] == [b"\xff.mp4", None]
    (videos / "good.mp4").unlink()
    Path(os.fsdecode(raw)).unlink()
    assert main(["embed", str(videos), *WEIGHTS, "-o", str(tmp_path / "none")]) == 2


@pytest.mark.slow
def test_a_thousand_clips_equal_the_features_of_an_evaluation(tmp_path):
    videos, out = tmp_path / "videos", tmp_path / "out"
    (videos / "test/a").mkdir(parents=True)
    for number in range(50):
        video = Video(ticks=range(12 + number % 7), size=(32, 24), flash=number % 9)
        tracks = [Audio(seconds=0.2 + 0.02 * (number % 5))] if number % 10 else []
        write_media(videos / f"test/a/{number:02d}_00.mp4", video, *tracks)
        for copy in range(1, 20):
            os.link(
                videos / f"test/a/{number:02d}_00.mp4",
                videos / f"test/a/{number:02d}_{copy:02d}.mp4",
            )
    cfg, model = write_stica_run(tmp_path / "run")
    words = ["--weights", str(tmp_path / "run"), "--workers", "0"]
    assert main(["embed", str(videos), *words, "-o", str(out)]) == 0
    cfg.defrost()
    cfg.merge_from_list(["DATA.PATH_TO_DATA_DIR", str(videos), "OUTPUT_DIR", str(tmp_path)])
    device = torch.device("cpu")
    features = Evaluation(cfg, model, Precision.from_cfg(cfg, device)).features("test")
    arrays = np.load(out / "vectors.npz")
    assert len(arrays["path"]) == len(features.audio_valid) == 1000
    valid = features.audio_valid.numpy()
    assert 0 < valid.sum() < 1000
    for name in ("video", "audio", "video_embedding", "audio_embedding"):
        rows = valid if name.startswith("audio") else np.ones(1000, bool)
        assert (np.isfinite(arrays[name]).all(axis=1) == rows).all()
        # Batches of 16 are composed equally, but the kernels of a last batch may round otherwise.
        wanted = features.features[name].numpy()[rows]
        np.testing.assert_allclose(arrays[name][rows], wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_two_processes_equal_one(folder, store, tmp_path):
    out = tmp_path / "two"
    words = ["embed", str(folder), *WEIGHTS, "-o", str(out), "--processes", "2"]
    subprocess.run([sys.executable, "-m", "slowfast", *words], check=True)
    one, two = table(store), table(VectorStore(out))
    assert one.keys() == two.keys()
    for name in one:
        if name not in store.record["features"]:
            assert one[name] == two[name], name
            continue
        for a, b in zip(one[name], two[name], strict=True):  # batches differ: rounding
            assert (a is None) == (b is None)
            np.testing.assert_allclose(a or 0, b or 0, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_resumes(folder, tmp_path, number):
    videos, out = tmp_path / "videos", tmp_path / "out"
    (videos / "x").mkdir(parents=True)
    for copy in range(600):
        os.link(folder / "test/a/0.mp4", videos / "x" / f"{copy:03d}.mp4")
    command = [sys.executable, "-m", "slowfast", "embed", str(videos), *WEIGHTS, "-o", str(out)]
    process = subprocess.Popen(command, start_new_session=True)
    deadline = time.monotonic() + 120
    while not VectorStore(out).parts() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(number)
    assert process.wait(60) in (75, -signal.SIGKILL)
    done = len(VectorStore(out).known_files())
    assert 256 <= done < 600
    before = set(VectorStore(out).parts())
    subprocess.run(command, check=True)
    assert before < set(VectorStore(out).parts())  # they are not written again
    assert len(VectorStore(out).known_files()) == 600
    rows = table(VectorStore(out))
    assert len(rows["path"]) == len(set(rows["path"])) == 600
    assert len(table(VectorStore(out), "clips")["path"]) == 600


@pytest.mark.slow
def test_sigterm_to_several_processes_keeps_what_is_finished(folder, tmp_path):
    write_stica_run(tmp_path / "run")
    videos, out = tmp_path / "videos", tmp_path / "out"
    videos.mkdir()
    for copy in range(4000):
        os.link(folder / "test/a/0.mp4", videos / f"{copy:04d}.mp4")
    words = ["embed", str(videos), "--weights", str(tmp_path / "run"), "--workers", "0"]
    words += ["-o", str(out), "--processes", "2"]
    process = subprocess.Popen([sys.executable, "-m", "slowfast", *words])
    deadline = time.monotonic() + 300
    while not VectorStore(out).parts() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) == 75
    known = VectorStore(out).known_files()
    assert 256 <= len(known) < 4000
    # Both processes have written their open part.
    assert {int(key.path[:4]) % 2 for key in known} == {0, 1}


def test_any_bytes_and_windows_are_rows_of_their_own(tmp_path):
    store = VectorStore(tmp_path / "out")
    root = str(tmp_path)
    store.create({"root": root, "features": {"video": 2}})
    names = ["\\xff.mp4", os.fsdecode(b"\xff.mp4"), "w.mp4", "w.mp4"]
    windows = [None, None, (0.0, 2.0), (2.0, float("inf"))]
    clip = ClipEmbedding({"video": np.ones(2, np.float32)})
    videos = [
        VideoEmbedding({"video": np.float32([n, 1])}, f"{root}/{name}", "", [clip], window)
        for n, (name, window) in enumerate(zip(names, windows, strict=True))
    ]
    store.append(videos, [FileState(n, n) for n in range(4)])
    known = store.known_files()
    keys = [store.key_of(v.path, *(v.window or ())) for v in videos]
    assert [known[key].size for key in keys] == [0, 1, 2, 3]
    found = store.find([names[1], f"{root}/{names[0]}"])
    assert found[names[1]].video.tolist() == [1, 1]
    assert found[f"{root}/{names[0]}"].video.tolist() == [0, 1]
    matches = search(store, [VideoEmbedding({"video": np.float32([1, 1])})], top_k=1)[0]
    assert matches[0].file == f"{root}/{names[1]}"
    assert matches[0].path == "\\xff.mp4"
    store.remove({keys[1], keys[2]})
    assert set(store.known_files()) == {keys[0], keys[3]}
    assert len(table(store, "clips")["path"]) == 2
    assert pq.read_schema(store.parts()[0]).metadata[b"slowfast"]


def test_what_a_killed_process_left_is_removed(tmp_path):
    store, _ = fill(tmp_path / "out", 10, 4)
    orphan = store.folder / "clips" / "part-1-x.parquet"
    shutil.copy(store.parts("clips")[0], orphan)
    temporary = store.folder / "videos" / ".part-1.parquet.7.tmp"
    temporary.write_bytes(b"PAR1")
    store.repair()
    assert not orphan.exists()
    assert not temporary.exists()
    assert len(store.known_files()) == 10
    assert len(store.parts("clips")) == 1


def test_a_signal_waits_until_a_part_is_written(tmp_path, monkeypatch):
    write_stica_run(tmp_path / "run")
    write_media(tmp_path / "a.mp4", Video(ticks=range(12), size=(32, 24)))
    append = VectorStore.append

    def interrupted_append(store, *rows):
        signal.raise_signal(signal.SIGINT)
        append(store, *rows)

    monkeypatch.setattr(VectorStore, "append", interrupted_append)
    words = ["embed", str(tmp_path / "a.mp4"), "--weights", str(tmp_path / "run"), "--workers", "0"]
    assert main([*words, "-o", str(tmp_path / "out")]) == 130
    assert len(table(VectorStore(tmp_path / "out"))["path"]) == 1


def test_changed_weights_are_refused_for_new_queries(tmp_path, capsys):
    write_stica_run(tmp_path / "run")
    (tmp_path / "videos").mkdir()
    write_media(tmp_path / "videos/a.mp4", Video(ticks=range(12), size=(32, 24)))
    write_media(tmp_path / "videos/b.mp4", Video(ticks=range(15), size=(32, 24)))
    write_media(tmp_path / "new.mp4", Video(ticks=range(12), size=(32, 24)))
    out = tmp_path / "out"
    words = ["embed", str(tmp_path / "videos"), "--weights", str(tmp_path / "run")]
    assert main([*words, "--workers", "0", "-o", str(out)]) == 0
    query = ["search", str(out), "--page", "", "--query"]
    assert main([*query, str(tmp_path / "new.mp4")]) == 0
    write_stica_run(tmp_path / "run", seed=1)
    assert main([*query, str(tmp_path / "new.mp4")]) == 2
    assert "its weights changed since" in capsys.readouterr().err
    assert main([*query, "a.mp4"]) == 0


def fill(folder, count, dim, seed=0, missing=()):
    """A store of random vectors."""
    store = VectorStore(folder)
    store.create({"root": "/none", "weights": "w", "features": {"video": dim, "audio": dim}})
    vectors = np.random.default_rng(seed).normal(size=(2, count, dim)).astype(np.float32)
    videos = []
    for row in range(count):
        features = {"video": vectors[0, row]}
        if row not in missing:
            features["audio"] = vectors[1, row]
        videos.append(VideoEmbedding(features, path=f"{row:06d}.mp4"))
    for start in range(0, count, 300):
        store.append(
            videos[start : start + 300], [FileState(1, 1)] * len(videos[start : start + 300])
        )
    return store, vectors


def oracle(query, rows, top_k):
    """The slow way: every cosine, sorted."""
    cosines = [float(q @ r / np.linalg.norm(q) / np.linalg.norm(r)) for q in [query] for r in rows]
    return sorted(range(len(rows)), key=lambda i: -cosines[i])[:top_k], cosines


@pytest.mark.parametrize("by", ["video", "audio", "both"])
@pytest.mark.parametrize("use_faiss", [False, True])
def test_search_equals_a_slow_oracle(tmp_path, by, use_faiss):
    store, vectors = fill(tmp_path, 1000, 16, missing={3, 500})
    queries = [VideoEmbedding({"video": vectors[0, i], "audio": vectors[1, i]}) for i in (3, 7)]
    found = search(store, queries, by=by, top_k=12, use_faiss=use_faiss, with_query=True)
    for number, row in enumerate((3, 7)):
        cosines = []
        for name, place in (("video", 0), ("audio", 1)):
            if by in (name, "both"):
                cosines.append(oracle(vectors[place, row], vectors[place], 0)[1])
        mean = np.mean(cosines, axis=0)
        if by != "video":
            mean[[3, 500]] = -9  # without audio
        wanted = np.argsort(-mean, kind="stable")[:12]
        assert [match.path for match in found[number]] == [f"{i:06d}.mp4" for i in wanted]
        np.testing.assert_allclose([m.score for m in found[number]], mean[wanted], atol=1e-5)


def test_ties_keep_the_order_and_blocks_do_not_matter():
    rows = np.float32([[1, 0], [0, 1], [1, 0], [2, 0], [0, 1]])
    for size in (1, 2, 5):
        blocks = [
            (pa.record_batch({"n": list(range(i, min(i + size, 5)))}), [rows[i : i + size]])
            for i in range(0, 5, size)
        ]
        scores, found = nearest([np.float32([[3, 0]])], blocks, 4)
        assert [row["n"] for row in found[0]] == [0, 2, 3, 1]
        assert scores[0].tolist() == [1, 1, 1, 0]


def test_search_commands(folder, store, tmp_path, capsys):
    query = str(folder / "test/a/0.mp4")
    assert main(["search", str(store.folder), "--query", query, "test/b/2.mp4", "-k", "2"]) == 0
    text = capsys.readouterr().out
    assert text.count(" s  test/") == 4
    assert "test/a/0.mp4\n" in text
    page = (store.folder / "search.html").read_text()
    assert page.count("<figure") == 6
    assert page.count("<video") == 6
    copy = tmp_path / "<script>alert(1)<"  # a file outside of the store is embedded
    copy.mkdir()
    shutil.copy(query, copy / "script>.mp4")
    words = ["search", str(store.folder), "--query", str(copy / "script>.mp4"), "--by", "both"]
    out = tmp_path / "page.html"
    assert main([*words, "--format", "csv", "--page", str(out), "--embed-media"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "query,rank,score,path,label,start,end"
    assert ",1,1.0,test/a/0.mp4,a,0.0,2.0" in lines[1]
    assert "<script>alert" not in out.read_text()
    assert "data:video/mp4;base64," in out.read_text()
    words = ["search", str(store.folder), "--query", query, "--page", "", "--format", "json"]
    assert main([*words, "--query-by", "audio", "--by", "video"]) == 0
    found, rows = json.loads(capsys.readouterr().out), table(store)
    embeddings = np.float32(rows["video_embedding"][1:])  # all but the query
    order, cosines = oracle(np.float32(rows["audio_embedding"][0]), embeddings, 3)
    assert [entry["path"] for entry in found] == [rows["path"][1 + i] for i in order]
    assert [e["score"] for e in found] == pytest.approx([cosines[i] for i in order], abs=1e-5)
    silent = ["search", str(store.folder), "--query", "test/b/=3.mp4", "--by", "audio"]
    assert main(silent) == 2
    assert "has no audio" in capsys.readouterr().err
    assert main(["search", str(tmp_path), "--query", query]) == 2
    assert "write some with slowfast embed" in capsys.readouterr().err
    assert main(["search", str(store.folder), "--query", "none.mp4"]) == 2
    assert "is neither a file nor a path in" in capsys.readouterr().err


def test_a_query_is_the_file_that_it_names(folder, store, tmp_path, monkeypatch, capsys):
    other = tmp_path / "test/a/0.mp4"  # in the working folder, named like one of the store
    other.parent.mkdir(parents=True)
    shutil.copy(folder / "test/b/2.mp4", other)
    monkeypatch.chdir(tmp_path)
    words = ["search", str(store.folder), "--query", "test/a/0.mp4", "--page", "", "-k", "1"]
    assert main([*words, "--format", "json"]) == 0
    (match,) = json.loads(capsys.readouterr().out)
    assert match["path"] == "test/b/2.mp4"
    assert match["score"] == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "file", "--weights", "zoo://stica-demo"], "file is a file; name a folder"),
        (["-o", "v", "--weights", "output/mien"], "error: checkpoint not found: output/mien."),
    ],
)
def test_mistakes_of_embed(words, message, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    assert main(["embed", str(folder), *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("value", ["inf", "nan", "-1", "0"])
def test_every_must_be_positive_and_finite(value, capsys):
    with pytest.raises(SystemExit):
        main(["embed", "x", "--weights", "y", "-o", "z", "--every", value])
    assert "expected a positive number" in capsys.readouterr().err


def test_a_replaced_file_is_embedded_again(folder, tmp_path, capsys, caplog):
    videos, out = tmp_path / "videos", tmp_path / "out"
    shutil.copytree(folder / "test", videos)
    assert main(["embed", str(videos), *WEIGHTS, "-o", str(out)]) == 0
    store = VectorStore(out)
    query = str(videos / "a/0.mp4")
    assert set(store.find([query])) == {query}
    assert store.changed_files([query, str(videos / "a/1.mp4")]) == []
    shutil.copy(videos / "b/2.mp4", query)
    assert store.find([query]) == {}
    assert store.changed_files([query, str(videos / "a/1.mp4")]) == ["a/0.mp4"]
    capsys.readouterr()
    words = ["search", str(out), "--query", query, "--top-k", "1", "--page", ""]
    assert main([*words, "--format", "json"]) == 0
    [match] = json.loads(capsys.readouterr().out)
    assert (match["path"], match["score"]) == ("b/2.mp4", pytest.approx(1.0, abs=1e-4))
    assert "changed since" not in caplog.text
    assert main([*words[:3], str(videos / "b/2.mp4"), "--top-k", "3"]) == 0
    assert "a/0.mp4 changed since" in capsys.readouterr().out
    (videos / "a/0.mp4").unlink()
    assert set(store.find([query])) == {query}
    assert store.changed_files([query]) == []


def test_partly_damaged_files_stay_on_the_list(folder, tmp_path, capsys):
    videos, out = tmp_path / "videos", tmp_path / "out"
    videos.mkdir()
    shutil.copy(folder / "test/a/0.mp4", videos / "good.mp4")
    shutil.copy(make_kind("truncated_faststart_half.mp4", tmp_path / "made"), videos / "=half.mp4")
    command = ["embed", str(videos), *WEIGHTS, "-o", str(out), "--every", "0.25"]
    for _ in range(2):
        assert main(command) == 0
        [_, row] = (out / "bad_files.csv").read_text().splitlines()
        assert re.match(r"'=half\.mp4,\"?[1-7] of 8 windows: ", row)
    text = capsys.readouterr().out
    assert "1 files could be decoded only in part" in text
    assert "files could not be decoded" not in text
    assert table(VectorStore(out))["path"] == ["=half.mp4", "good.mp4"]
    shutil.copy(videos / "good.mp4", videos / "=half.mp4")
    assert main(command) == 0
    assert not (out / "bad_files.csv").exists()


@pytest.mark.parametrize("use_faiss", [False, True])
def test_the_query_and_its_clips_are_no_results(tmp_path, use_faiss, capsys):
    store = VectorStore(tmp_path)
    store.create({"root": "/v", "features": {"video": 2}})
    rows = np.random.default_rng(0).normal(size=(4, 3, 2)).astype(np.float32)
    videos = [
        VideoEmbedding(
            {"video": own[0]},
            f"/v/{n}.mp4",
            clips=[ClipEmbedding({"video": row}, i, i + 1) for i, row in enumerate(own)],
        )
        for n, own in enumerate(rows)
    ]
    store.append(videos, [FileState(1, 1)] * 4)
    for clips, count in ((False, 3), (True, 9)):
        options = {"clips": clips, "top_k": 20, "use_faiss": use_faiss}
        found = search(store, videos[:2], **options)
        for number, own in enumerate(found):
            assert len(own) == count
            assert f"{number}.mp4" not in {match.path for match in own}
        assert len(search(store, videos[:1], with_query=True, **options)[0]) == count // 3 * 4
    words = ["search", str(tmp_path), "--query", "0.mp4", "--page", "", "--format", "json"]
    assert main([*words, "--clips", *["--faiss"] * use_faiss]) == 0
    order, _ = oracle(rows[0, 0], rows[1:].reshape(9, 2), 9)
    shown = [(entry["path"], entry["start"]) for entry in json.loads(capsys.readouterr().out)]
    assert shown == [(f"{1 + i // 3}.mp4", i % 3) for i in order]


def test_two_modalities_need_a_joint_space(tmp_path):
    store, vectors = fill(tmp_path, 10, 4)
    with pytest.raises(UserError, match="no joint space"):
        search(store, [VideoEmbedding({"video": vectors[0, 0]})], by="audio", query_by="video")


@pytest.mark.browser
def test_the_page_in_a_browser(folder, store, open_page):
    assert main(["search", str(store.folder), "--query", str(folder / "test/a/0.mp4")]) == 0
    opened = open_page(store.folder / "search.html")
    opened.check()
    assert opened.play("video") > 0
