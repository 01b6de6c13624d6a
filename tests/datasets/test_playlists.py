"""A file that names other files is refused before those are opened."""

import pytest
from helpers.media_files import Video, write_media

import slowfast.engine.registrations  # noqa: F401
from slowfast.config import UserError, load_config
from slowfast.config.paths import find_package_file
from slowfast.datasets.decoding import file as module
from slowfast.datasets.decoding.reader import MediaError, open_media

PLAYLISTS = {
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nreal.mp4\n#EXT-X-ENDLIST\n",
    "ffconcat": "ffconcat version 1.0\nfile real.mp4\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    "dash": '<?xml version="1.0"?>\n<MPD type="static"></MPD>\n',
    "with a byte order mark": "\ufeff\n  #EXTM3U\nreal.mp4\n",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_playlist(tmp_path, monkeypatch, kind):
    write_media(tmp_path / "real.mp4", Video(ticks=range(10)))
    path = tmp_path / "clip.mp4"
    path.write_text(PLAYLISTS[kind], encoding="utf-8")
    monkeypatch.setattr(module, "_open", lambda *_: pytest.fail("FFmpeg opened it"))
    with pytest.raises(MediaError, match="it is a playlist, which names other files") as caught:
        open_media(path)
    assert caught.value.code == "playlist"


def test_what_ffmpeg_takes_for_one(tmp_path, monkeypatch):
    write_media(tmp_path / "real.mp4", Video(ticks=range(10)))
    path = tmp_path / "clip.mp4"
    path.write_text(PLAYLISTS["ffconcat"], encoding="utf-8")
    monkeypatch.setattr(module, "_refuse_playlist", lambda location: None)
    with pytest.raises(MediaError, match="it is a playlist"):
        open_media(path)


@pytest.mark.parametrize("inside", ["../secret", "a/../../secret", "/etc/hosts"])
def test_a_package_url_stays_inside(inside):
    with pytest.raises(UserError, match="inside of the package"):
        find_package_file(f"package://stica_weights/{inside}")


@pytest.mark.parametrize("task", ["../x", "a/b", "/tmp/x", "a\\b"])
def test_a_task_names_no_folder(task):
    with pytest.raises(UserError, match="TASK: got"):
        load_config(None, ["TASK", task, "TRAIN.ENABLE", "False", "TEST.ENABLE", "False"])
