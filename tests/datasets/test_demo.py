"""The demo set: what is planted is there, what is not planted is not, and the cache is safe."""

import dataclasses

import av
import numpy as np
import pytest

from slowfast.config import UserError, get_cfg
from slowfast.datasets.demo import generator as demo
from slowfast.datasets.demo.generator import DemoSpec, class_names, generate_demo, spec_from_cfg
from slowfast.datasets.demo.render_audio import SAMPLE_RATE_HZ, render_audio
from slowfast.datasets.demo.render_video import FRAME_SIDE, FRAMES_PER_SEC, render_video
from slowfast.datasets.demo.scene_spec import CLIP_SEC, KINDS, class_events, plan_clip, sample_plan

NUISANCES = (
    *("nuisance_space", "nuisance_time", "nuisance_color", "nuisance_background"),
    "noise",
)
SPEC = DemoSpec(num_train_per_class=2, num_test_per_class=1)
PLAIN = DemoSpec(**dict.fromkeys(NUISANCES, False))
# Place and tempo vary, the rest is plain: what can be measured against what was planned.
MOVING = dataclasses.replace(PLAIN, nuisance_space=True, nuisance_time=True)
PAIRS = (("turn", "sparkle"), ("vee", "bubbles"))


def plan(spec, kinds, seed=0):
    return sample_plan(spec, kinds, np.random.default_rng(seed))


def frame_times():
    return np.arange(round(CLIP_SEC * FRAMES_PER_SEC)) / FRAMES_PER_SEC


def loudness(audio):
    """Root mean square in steps of 10 ms."""
    return np.sqrt((audio.reshape(-1, SAMPLE_RATE_HZ // 100) ** 2).mean(axis=1))


def decode(path):
    with av.open(str(path)) as container:
        frames = [(f.time, f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]
    with av.open(str(path)) as container:
        audio = [(f.time, f.to_ndarray()[0]) for f in container.decode(audio=0)]
    return frames, audio


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    return generate_demo(folder, SPEC)


# The plan.


def test_ten_classes_and_the_orders_that_differ():
    classes = class_events(DemoSpec())
    assert len(classes) == 10
    assert sum(one == other for one, other in classes.values()) == 6
    for pair in PAIRS:
        assert pair in classes.values()
        assert pair[::-1] in classes.values()
    assert class_names(DemoSpec()) == sorted(classes)


def test_without_order_classes_each_class_is_one_kind():
    classes = class_events(DemoSpec(order_classes=False))
    assert classes == {kind: (kind, kind) for kind in KINDS}


@pytest.mark.parametrize("order_classes", [True, False])
def test_with_shared_audio_three_pairs_of_classes_differ_only_in_video(order_classes):
    usual = DemoSpec(order_classes=order_classes)
    spec = dataclasses.replace(usual, shared_audio_classes=True)
    clips = {name: plan(spec, kinds) for name, kinds in class_events(spec).items()}
    before = {name: plan(usual, kinds) for name, kinds in class_events(usual).items()}
    assert clips.keys() == before.keys()
    for name, clip in clips.items():
        assert (clip.seen, clip.scene) == (before[name].seen, before[name].scene)
    pairs = (("ripple", "tunnel"), ("roll", "slide"), ("cross", "spin"))
    for one, other in pairs:
        assert clips[one].heard == clips[other].heard
        assert clips[one].seen != clips[other].seen
        assert np.array_equal(render_audio(clips[one]), render_audio(clips[other]))
    changed = {name for name in clips if clips[name].heard != before[name].heard}
    assert changed == {"tunnel", "slide", "spin"}


def test_clips_of_all_indices_splits_classes_and_seeds_differ():
    plans = {
        plan_clip(DemoSpec(seed=seed), split, name, index).scene.seed
        for seed in (0, 1)
        for split in ("train", "test")
        for name in class_names(DemoSpec())
        for index in range(3)
    }
    assert len(plans) == 2 * 2 * 10 * 3


def test_events_follow_each_other_inside_the_clip_at_the_same_times_in_all_clips():
    clips = [plan(DemoSpec(), ("vee", "bubbles"), seed) for seed in range(20)]
    assert len({tuple((e.start_sec, e.duration_sec) for e in clip.seen) for clip in clips}) == 1
    for clip in (*clips, *(plan(DemoSpec(sync=False), ("vee", "bubbles"), s) for s in range(20))):
        first, second = clip.heard
        assert (first.kind, second.kind) == ("vee", "bubbles")
        assert first.start_sec >= 0.3
        assert second.start_sec >= first.start_sec + first.duration_sec + 0.1 - 1e-9
        assert second.start_sec + second.duration_sec <= 2.7 + 1e-9
    assert all(clip.heard == clip.seen for clip in clips)


def test_samples_do_not_look_at_the_kinds():
    one, other = plan(DemoSpec(), ("turn", "sparkle")), plan(DemoSpec(), ("roll", "roll"))
    assert one.scene == other.scene
    for a, b in zip(one.seen, other.seen, strict=True):
        assert dataclasses.replace(a, kind="") == dataclasses.replace(b, kind="")


@pytest.mark.parametrize("switch", ["sync", "shared_instance"])
def test_without_a_switch_the_audio_has_times_or_tempo_and_size_of_its_own(switch):
    clip = plan(DemoSpec(**{switch: False}), ("vee", "bubbles"))
    for seen, heard in zip(clip.seen, clip.heard, strict=True):
        assert seen.kind == heard.kind
        assert (seen.start_sec != heard.start_sec) is (switch == "sync")
        assert (seen.tempo_hz != heard.tempo_hz) is (switch == "shared_instance")
        assert (seen.size != heard.size) is (switch == "shared_instance")


@pytest.mark.parametrize("switch", NUISANCES)
def test_a_nuisance_switch_fixes_its_samples_and_no_other(switch):
    fixed = {
        "nuisance_space": {"size", "center"},
        "nuisance_time": {"tempo_hz"},
        "nuisance_color": {"color", "tint", "contrasts"},
        "nuisance_background": {"texture", "flicker", "distractor"},
        "noise": {"grain", "loudness", "noise"},
    }[switch]
    off = [plan(DemoSpec(**{switch: False}), ("vee", "vee"), seed) for seed in (0, 1)]
    on = [plan(DemoSpec(), ("vee", "vee"), seed) for seed in (0, 1)]

    def fields(clip):
        scene = dataclasses.asdict(clip.scene)
        return scene | dataclasses.asdict(clip.seen[0])

    for key in fields(off[0]).keys() - {"kind", "direction", "seed"}:
        if key in fixed:
            assert fields(off[0])[key] == fields(off[1])[key], key
            assert fields(on[0])[key] != fields(off[0])[key], key
        elif not (switch == "noise" and key == "noise"):
            assert [fields(p)[key] for p in off] == [fields(p)[key] for p in on], key


# Video.


def test_the_video_shows_events_when_they_are_planned_and_nothing_else():
    clip = plan(MOVING, ("ripple", "ripple"), 3)
    video = render_video(clip)
    assert video.shape == (36, FRAME_SIDE, FRAME_SIDE, 3)
    assert video.dtype == np.uint8
    contrast = video.std(axis=(1, 2, 3))
    times, fade_sec = frame_times(), 0.05
    for event in clip.seen:
        since, left = times - event.start_sec, event.start_sec + event.duration_sec - times
        assert contrast[np.minimum(since, left) > fade_sec].min() > 20
        contrast[np.minimum(since, left) > -fade_sec] = 0
    assert (contrast == 0).all()


@pytest.mark.parametrize("seed", range(3))
def test_color_and_motion_are_the_same_for_all_kinds(seed):
    videos = [render_video(plan(MOVING, (k, k), seed)).astype(float) for k in KINDS]
    means = np.stack([video.mean(axis=(1, 2)) for video in videos])  # (kinds, T, 3)
    np.testing.assert_allclose(means, 127.0, atol=0.2)
    for lag in (1, 2, 3):
        motion = np.stack([np.abs(v[lag:] - v[:-lag]).mean(axis=(1, 2, 3)) for v in videos])
        expected = np.broadcast_to(np.median(motion, axis=0), motion.shape)
        np.testing.assert_allclose(motion, expected, rtol=0.02, atol=0.1)
    shades = np.stack([np.sort(v[..., 0].reshape(len(v), -1), axis=1) for v in videos])
    assert np.abs(shades - np.median(shades, axis=0)).mean() < 1.5  # gray levels


def test_kinds_look_different():
    videos = [render_video(plan(PLAIN, (k, k))).astype(float) for k in KINDS]
    for i, one in enumerate(videos):
        for other in videos[:i]:
            assert np.abs(one - other)[8:12].mean() > 10


@pytest.mark.parametrize("pair", PAIRS)
def test_order_classes_are_the_same_when_time_is_averaged_out(pair):
    one, other = (plan(PLAIN, kinds) for kinds in (pair, pair[::-1]))
    frames, swapped = render_video(one), render_video(other)
    assert np.abs(frames.astype(float) - swapped).max() > 50  # not the same films
    np.testing.assert_array_equal(
        np.sort(frames.reshape(len(frames), -1), axis=0),
        np.sort(swapped.reshape(len(frames), -1), axis=0),
    )
    spectra = []
    for clip in (one, other):
        audio = render_audio(clip).astype(float)
        starts = [round(event.start_sec * SAMPLE_RATE_HZ) for event in clip.heard]
        parts = np.stack([audio[start : start + SAMPLE_RATE_HZ] for start in starts])
        spectra.append((np.abs(np.fft.rfft(parts, axis=1)) ** 2).sum(axis=0))
    np.testing.assert_allclose(spectra[0], spectra[1], rtol=1e-3, atol=1e-6 * spectra[0].max())


def test_background_and_grain_are_there_only_when_switched_on():
    switches = ((), ("nuisance_background",), ("noise",), ("nuisance_color",))
    specs = [dataclasses.replace(PLAIN, **dict.fromkeys(names, True)) for names in switches]
    first = [render_video(plan(spec, ("roll", "roll")))[0].astype(int) for spec in specs]
    plain, background, grain, color = first
    assert (plain == 127).all()
    assert 0.5 < background.std() < 10
    assert 0.5 < grain.std() < 4
    assert color.std(axis=(0, 1)).max() == 0
    assert len(set(color[0, 0])) > 1


# Audio.


def test_the_audio_is_loud_when_events_are_planned_and_silent_else():
    for kind in KINDS:
        clip = plan(MOVING, (kind, kind), 5)
        level = loudness(render_audio(clip))
        times = (np.arange(level.size) + 0.5) / 100
        inside = np.zeros(level.size, dtype=bool)
        for event in clip.heard:
            end = event.start_sec + event.duration_sec
            inside |= (times > event.start_sec - 0.01) & (times < end + 0.01)
            begun = (times > event.start_sec) & (times < event.start_sec + 0.2)
            assert level[begun].max() > 0.02, kind
        assert level[~inside].max() == 0, kind


def test_small_discs_have_a_high_pitch():
    def centroid(size):
        clip = plan(PLAIN, ("slide", "slide"))
        heard = tuple(dataclasses.replace(event, size=size) for event in clip.heard)
        spectrum = np.abs(np.fft.rfft(render_audio(dataclasses.replace(clip, heard=heard))))
        return (spectrum * np.arange(spectrum.size)).sum() / spectrum.sum()

    assert centroid(0.0) > 1.5 * centroid(1.0)


def test_kinds_differ_in_audio():
    spectra = []
    for kind in KINDS:
        audio = render_audio(plan(PLAIN, (kind, kind)))
        frames = np.lib.stride_tricks.sliding_window_view(audio, 512)[::256] * np.hanning(512)
        spectra.append(np.log(np.abs(np.fft.rfft(frames, axis=1)) + 0.1))
    for i, one in enumerate(spectra):
        for other in spectra[:i]:
            assert np.abs(one - other).mean() > 0.05


# The files.


def test_files_decode_to_what_was_rendered(root):
    folders = sorted(path.name for path in (root / "train").iterdir())
    assert folders == class_names(SPEC)
    assert len(list(root.glob("train/*/*.mp4"))) == 20
    assert len(list(root.glob("test/*/*.mp4"))) == 10
    clip = plan_clip(SPEC, "train", "vee_then_bubbles", 1)
    frames, audio = decode(root / "train" / "vee_then_bubbles" / "0001.mp4")
    np.testing.assert_allclose([time for time, _ in frames], frame_times(), atol=1e-3)
    difference = np.stack([pixels for _, pixels in frames]).astype(float) - render_video(clip)
    assert np.abs(difference).mean() < 6
    decoded = np.zeros(round((CLIP_SEC + 0.2) * SAMPLE_RATE_HZ))
    for time, samples in audio:
        start = round(time * SAMPLE_RATE_HZ)
        kept = samples[max(0, -start) :][: decoded.size - max(0, start)]
        decoded[max(0, start) : max(0, start) + kept.size] = kept
    original = render_audio(clip)
    agreement = np.corrcoef(decoded[: original.size], original)[0, 1]
    assert agreement > 0.9  # on the file's own clock: a lag of 1 ms would destroy it


def test_same_seed_same_bytes_also_from_worker_processes(root, tmp_path):
    again = generate_demo(tmp_path, SPEC, num_workers=1)
    assert again.name == root.name
    for path in root.glob("*/*/*.mp4"):
        assert (again / path.relative_to(root)).read_bytes() == path.read_bytes()


def test_the_cache_is_used_and_other_specs_have_folders_of_their_own(root):
    calls = []
    assert generate_demo(root.parent, SPEC, progress=lambda *c: calls.append(c)) == root
    assert calls == []
    for change in ({"seed": 1}, {"sync": False}, {"num_test_per_class": 2}):
        assert demo.fingerprint(dataclasses.replace(SPEC, **change)) != demo.fingerprint(SPEC)


TINY = DemoSpec(num_train_per_class=1, num_test_per_class=1)


@pytest.fixture
def quick(monkeypatch):
    """Makes empty files instead of clips."""
    monkeypatch.setattr(demo, "encode_clip", lambda path, video, audio: path.write_bytes(b""))
    monkeypatch.setattr(demo, "render_video", lambda plan: None)
    monkeypatch.setattr(demo, "render_audio", lambda plan: None)


def test_a_set_that_lacks_files_is_made_again(quick, tmp_path, caplog):
    folder = generate_demo(tmp_path, TINY)
    (folder / "train" / "roll" / "0000.mp4").unlink()
    assert generate_demo(tmp_path, TINY) == folder
    assert (folder / "train" / "roll" / "0000.mp4").is_file()
    assert "lacks files" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_an_interrupted_run_leaves_nothing(quick, tmp_path):
    calls = []

    def interrupt(done, total):
        calls.append((done, total))
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate_demo(tmp_path, TINY, progress=interrupt)
    assert calls == [(done, 20) for done in range(1, 8)]
    assert list(tmp_path.iterdir()) == []


def test_of_two_processes_the_first_wins(quick, tmp_path):
    def other_process(done, total):
        if done == total:
            generate_demo(tmp_path, TINY)  # finishes while the outer one is at its last file
            (tmp_path / f"demo-{demo.fingerprint(TINY)}" / "mark").touch()

    folder = generate_demo(tmp_path, TINY, progress=other_process)
    assert (folder / "mark").exists()
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_drafts_of_killed_runs_are_removed_when_they_are_old(quick, tmp_path, monkeypatch):
    (tmp_path / ".demo-killed").mkdir()
    generate_demo(tmp_path, TINY)
    assert (tmp_path / ".demo-killed").exists()
    monkeypatch.setattr(demo, "_STALE_SEC", -1.0)
    generate_demo(tmp_path, dataclasses.replace(TINY, seed=1))
    assert not (tmp_path / ".demo-killed").exists()


def test_workers_that_cannot_start_are_done_without(quick, tmp_path, monkeypatch, caplog):
    def broken(*args):
        raise demo.BrokenProcessPool

    monkeypatch.setattr(demo, "_map_processes", broken)
    folder = generate_demo(tmp_path, TINY, num_workers=2)
    assert len(list(folder.glob("*/*/*.mp4"))) == 20
    assert "cannot be started" in caplog.text


# The configuration.


def test_spec_from_cfg():
    cfg = get_cfg()
    cfg.DEMO_SET.merge_from_list(["SEED", 3, "NUM_TRAIN_PER_CLASS", 4, "NUM_TEST_PER_CLASS", 2])
    assert spec_from_cfg(cfg) == DemoSpec(4, 2, seed=3)
    cfg.DEMO_SET.merge_from_list(["VARIATION", []])
    plain = dataclasses.replace(PLAIN, num_train_per_class=4, num_test_per_class=2, seed=3)
    assert spec_from_cfg(cfg) == plain
    others = ["time", "color", "background", "noise"]
    cfg.DEMO_SET.merge_from_list(["VARIATION", others, "SYNC", False, "ORDER_CLASSES", False])
    expected = DemoSpec(4, 2, seed=3, order_classes=False, sync=False, nuisance_space=False)
    assert spec_from_cfg(cfg) == expected
    cfg.DEMO_SET.INSTANCE_CUE = False
    expected = dataclasses.replace(expected, shared_instance=False)
    assert spec_from_cfg(cfg) == expected
    cfg.DEMO_SET.SHARED_AUDIO_CLASSES = True
    assert spec_from_cfg(cfg) == dataclasses.replace(expected, shared_audio_classes=True)


def test_an_unknown_nuisance_is_named():
    cfg = get_cfg()
    cfg.DEMO_SET.VARIATION = ["color", "nosie"]
    with pytest.raises(UserError, match=r"DEMO_SET.VARIATION: .*'nosie'.*Did you mean 'noise'"):
        spec_from_cfg(cfg)


@pytest.mark.parametrize(
    ("key", "value"), [("NUM_TRAIN_PER_CLASS", 0), ("NUM_TEST_PER_CLASS", 0), ("SEED", -1)]
)
def test_an_impossible_spec_is_refused(key, value):
    cfg = get_cfg()
    cfg.DEMO_SET[key] = value
    with pytest.raises(UserError, match=f"DEMO_SET.{key}: got {value}; expected"):
        spec_from_cfg(cfg)
