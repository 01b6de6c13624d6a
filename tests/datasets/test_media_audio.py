import av
import numpy as np
import pytest
from helpers.media_files import Audio, Video, write_many_channels, write_media
from reference.plain_decode import decode_audio

from slowfast.datasets.decoding.reader import open_media, probe_media

RATE = 24000
NOISE = 0.3 * np.random.default_rng(0).standard_normal((2, 88200)).astype(np.float32)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Two seconds of video and audio."""
    return write_media(tmp_path_factory.mktemp("clip") / "clip.mp4", Video(), Audio())


@pytest.mark.parametrize("name", ["audio.wav", "audio.mp4", "audio.mkv", "audio.ogg"])
@pytest.mark.parametrize("rate", [24000, 44100, 16000])
def test_a_window_of_audio_equals_the_whole_decoded_at_once(tmp_path, name, rate):
    codec = {"wav": "pcm_s16le", "ogg": "vorbis"}.get(name[-3:], "aac")
    path = write_media(
        tmp_path / name, Audio(codec, options={"aac_pns": "0"} if "m" in name else {})
    )
    _, whole = decode_audio(path, rate)
    with open_media(path) as reader:
        for start in (1.3, 0.0, 0.5, 0.73):
            audio, share = reader.read_audio(start, 3000, rate)
            first = round(start * rate)
            np.testing.assert_allclose(audio[50:], whole[first : first + 3000][50:], atol=1e-6)
            assert share == 1


@pytest.mark.parametrize("rate", [24000, 16000, 44100])
def test_windows_that_adjoin_join_without_a_seam(clip, rate):
    with open_media(clip) as reader:
        joined = reader.read_audio(0.2, rate, rate)[0]
        parts = [reader.read_audio(0.2 + k / 10, rate // 10, rate)[0] for k in range(10)]
    np.testing.assert_allclose(np.concatenate(parts), joined, atol=1e-6)


def test_a_window_does_not_depend_on_what_was_read_before(tmp_path):
    path = write_media(tmp_path / "noise.m4a", Audio(samples=NOISE, options={}))  # made-up noise
    with open_media(path) as reader:
        first = reader.read_audio(1.0, 4000, RATE)[0]
        reader.read_audio(0.3, 4000, RATE)
        np.testing.assert_array_equal(reader.read_audio(1.0, 4000, RATE)[0], first)


def test_audio_is_zero_outside_of_the_track_and_the_share_says_so(tmp_path):
    path = write_media(tmp_path / "short.wav", Audio("pcm_s16le", options={}, seconds=0.5))
    with open_media(path) as reader:
        before, share = reader.read_audio(-0.5, RATE, RATE)
        assert share == pytest.approx(0.5, abs=1e-3)
        assert not before[: RATE // 2 - 40].any()
        assert before[RATE // 2 :].any()
        after, share = reader.read_audio(0.4, RATE, RATE)
        assert share == pytest.approx(0.1, abs=1e-3)
        assert not after[RATE // 10 + 40 :].any()
        for start in (-2.0, 0.6, 1e6):
            audio, share = reader.read_audio(start, 100, RATE)
            assert share == 0
            assert not audio.any()


def test_two_channels_become_their_mean_and_bass_is_left_out(tmp_path):
    tone = 0.5 * np.sin(np.arange(22050) / 9).astype(np.float32)
    silence = np.zeros_like(tone)
    layouts = {
        "stereo": ([tone, silence], 0.5),
        "mono": ([tone], 1.0),
        "5.1": ([silence, silence, silence, tone, silence, silence], 0.0),  # LFE
    }
    for layout, (channels, gain) in layouts.items():
        track = Audio("pcm_s16le", 22050, layout, {}, samples=np.stack(channels))
        path = write_media(tmp_path / f"{layout}.wav", track)
        with open_media(path) as reader:
            audio, _ = reader.read_audio(0.1, 2000, 22050)
        np.testing.assert_allclose(audio, gain * tone[2205:4205], atol=1e-4)


def test_audio_stays_inside_full_scale(tmp_path):
    loud = 3 * np.sign(np.sin(np.arange(44100) / 9)).astype(np.float32)[None]
    loud[0, 30000] = np.nan
    track = Audio("pcm_f32le", layout="mono", options={}, samples=loud)
    with open_media(write_media(tmp_path / "loud.wav", track)) as reader:
        audio, _ = reader.read_audio(0.2, RATE // 2, RATE)
    assert np.isfinite(audio).all()
    assert abs(audio).max() == 1


@pytest.mark.parametrize(
    ("name", "codec", "layout"),
    [
        ("surround.mp4", "aac", "7.1"),  # planar
        ("surround.mkv", "libopus", "7.1"),
        ("ring.mp4", "aac", "hexadecagonal"),
        ("surround.wav", "pcm_s16le", "22.2"),  # packed
        ("surround.mka", "pcm_f32le", "7.1.2"),
    ],
)
def test_many_channels(tmp_path, name, codec, layout):
    """A tone in all of eight channels and more, planar and packed, is that tone."""
    rate, channels = 48000, len(av.AudioLayout(layout).channels)
    write_many_channels(tmp_path / name, codec, layout)
    with open_media(tmp_path / name) as reader:
        assert reader.info.channels == channels
        audio, share = reader.read_audio(0.25, rate // 2, rate)
    assert share == 1.0
    spectrum = abs(np.fft.rfft(audio * np.hanning(len(audio))))
    assert spectrum.argmax() * rate / len(audio) == pytest.approx(440, abs=2)
    assert 0.4 < abs(audio).max() < 0.8


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("audio.aac", "aac", {}),
        ("audio.mp3", "libmp3lame", {"write_xing": "0"}),
        ("audio.ac3", "ac3", {}),
        ("audio.mp2", "mp2", {}),
        ("audio.eac3", "eac3", {}),
        ("audio.ts", "aac", {}),
        ("audio.mpg", "mp2", {}),
        ("audio.mka", "aac", {}),
        ("audio.ogg", "libopus", {}),
    ],
)
def test_a_length_that_is_only_estimated_is_not_believed(tmp_path, name, codec, options):
    """Six seconds of almost nothing, which take few bytes, and eight of noise."""
    rate = 24000 if name.endswith(("aac", "ts", "mka")) else 48000
    noise = 0.3 * np.random.default_rng(0).standard_normal(14 * rate).astype(np.float32)
    noise[: 6 * rate] *= 1e-4
    path = write_media(
        tmp_path / name,
        Audio(codec, rate, "mono", {"b": "32k"} if codec == "aac" else {}, samples=noise[None]),
        options=options,
    )
    with av.open(str(path)) as media:
        decoded = sum(f.samples for f in media.decode(audio=0)) / rate
    assert decoded == pytest.approx(14, abs=0.2)
    info = probe_media(path)
    assert info.audio_end_sec - info.audio_start_sec == pytest.approx(decoded, abs=0.07)
    with open_media(path) as reader:
        audio, share = reader.read_audio(info.audio_end_sec - 0.7, 12000, 24000)
        assert share == 1.0
        assert abs(audio).mean() > 0.1
        quiet, share = reader.read_audio(3.0, 12000, 24000)
        assert share == 1.0
        assert abs(quiet).mean() < 0.01


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.wav", "adpcm_ms"),
        ("a.avi", "adpcm_ms"),  # its header counts bytes for packets
        ("b.wav", "adpcm_ima_wav"),
        ("c.mka", "adpcm_yamaha"),  # needs all that came before
        ("d.wav", "mp2"),
        ("e.ac3", "ac3"),  # times of packets drift
        ("f.eac3", "eac3"),
        ("g.mkv", "wavpack"),  # packets without a duration
        ("h.mka", "g722"),
        ("i.sbc", "sbc"),
    ],
)
def test_windows_of_codecs_that_are_hard_to_seek(tmp_path, name, codec):
    rate = 16000 if codec == "g722" else 44100
    layout = "mono" if codec == "g722" else "stereo"
    write_media(tmp_path / name, Audio(codec, rate, layout, {}, seconds=4.3))
    _, whole = decode_audio(tmp_path / name, 16000)
    length, last = 8000, len(whole) - 12000
    with open_media(tmp_path / name) as reader:
        start, end = reader.audio_extent_sec
        assert end - start == pytest.approx(len(whole) / 16000, abs=0.12)
        for first in (last, 9000, last - 5000, 30000):
            audio, share = reader.read_audio(start + first / 16000, length, 16000)
            expected = whole[first : first + length]
            assert share == 1.0
            correlation = (audio * expected).sum() / np.sqrt((audio**2).sum() * (expected**2).sum())
            assert correlation > 0.97, first


def test_a_duration_that_cannot_be(tmp_path):
    """A damaged time must not send every clip far behind the end."""
    fragments = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    path = write_media(tmp_path / "a.mp4", Video(), Audio(), options=fragments)
    data = bytearray(path.read_bytes())
    assert data.count(b"tfdt") >= 4
    for _ in range(2):  # of the last fragment, video and audio
        place = data.rfind(b"tfdt")
        data[place : place + 16] = (
            b"tfdt" + data[place + 4 : place + 8] + (2**44).to_bytes(8, "big")
        )
        data[place : place + 4] = b"TFDT"  # found no more
    path.write_bytes(data.replace(b"TFDT", b"tfdt"))
    info = probe_media(path)
    assert info.video_end_sec < 3
    assert info.audio_end_sec < 3
