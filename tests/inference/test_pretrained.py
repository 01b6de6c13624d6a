"""Folders in Hugging Face's layout: written, loaded, downloaded; nothing in them is code."""

import inspect
import json
import pickle

import numpy as np
import pytest
import torch
import yaml

import slowfast
from slowfast.config import UserError, load_config
from slowfast.config.projects import import_installed_projects
from slowfast.engine.records import hash_weights
from slowfast.inference.frozen import FrozenModel, OwnInputs
from slowfast.inference.model_card import CardFacts, render_card
from slowfast.inference.pretrained import facts_of, save_pretrained
from slowfast.models.build import construct_model
from slowfast.models.weights import load_weights
from tests.helpers.hub_server import COMMIT, serve_hub
from tests.helpers.small_models import ARCHITECTURES, METHOD, save_run, small_model

CLASSES = ["dog", "cat, tabby", "<b>"]


@pytest.fixture(scope="module")
def classifier():
    return small_model(ARCHITECTURES["r2plus1d"], class_names=CLASSES)


@pytest.fixture(scope="module")
def method():
    return small_model(ARCHITECTURES["r2plus1d"], METHOD)


@pytest.fixture
def folder(classifier, tmp_path):
    classifier.save_pretrained(tmp_path / "saved", license="MIT")
    return tmp_path / "saved"


def arrays(seed=0):
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 256, (16, 40, 48, 3), dtype=np.uint8)
    return {"frames": frames, "audio": rng.normal(0, 0.1, 24000).astype(np.float32)}


def assert_same(first, second):
    one, other = first.embed(**arrays()), second.embed(**arrays())
    assert one.features.keys() == other.features.keys()
    assert {"video"} <= one.features.keys()
    for name, value in one.features.items():
        assert np.array_equal(value, other.features[name]), name


def test_what_is_saved_is_loaded(classifier, method, tmp_path):
    for name, model in (("classifier", classifier), ("method", method)):
        model.save_pretrained(tmp_path / name)
        names = {path.name for path in (tmp_path / name).iterdir()}
        assert names == {"config.json", "model.safetensors", "README.md"}
        again = slowfast.load(tmp_path / name)
        assert again.name == name
        assert again.class_names == model.class_names
        assert again.modalities == model.modalities
        assert again.is_classifier is model.is_classifier
        assert_same(model, again)
        assert_same(model, slowfast.FrozenModel.from_pretrained(tmp_path / name, device="cpu"))


def test_the_saved_config_has_no_path_and_no_weights_to_look_for(classifier, tmp_path):
    model = slowfast.load(save_run(classifier, tmp_path / "run"), device="cpu")
    folder = tmp_path / "saved"
    model.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config["library_name"] == "slowfast-stica"
    assert config["architectures"] == ["VideoResNet"]
    assert config["class_names"] == CLASSES
    assert config["cfg"]["OUTPUT_DIR"] == "output/saved"
    assert config["cfg"]["TEST"]["CHECKPOINT_FILE_PATH"] == ""
    for path in folder.iterdir():
        assert str(folder.parent).encode() not in path.read_bytes(), path.name


def test_an_untrained_head_and_queues_are_left_out(tmp_path):
    model = small_model(ARCHITECTURES["r2plus1d"], without=["scores"])
    save_pretrained(model, tmp_path / "a")
    again = slowfast.load(tmp_path / "a")
    assert not again.is_classifier
    assert_same(model, again)
    model = small_model(ARCHITECTURES["r2plus1d"], METHOD, "STICA.QUEUE_LEN 50")
    assert any("queue" in key for key in model.encoder.state_dict())
    save_pretrained(model, tmp_path / "b")
    data = (tmp_path / "b" / "model.safetensors").read_bytes()
    assert b"queue" not in data
    assert b"head_video" in data
    assert_same(model, slowfast.load(tmp_path / "b"))


def test_half_rounds_once(classifier, tmp_path):
    classifier.save_pretrained(tmp_path / "half", half=True)
    again = slowfast.load(tmp_path / "half")
    state = again.encoder.state_dict()
    for key, value in classifier.encoder.state_dict().items():
        expected = value.half().float() if value.is_floating_point() else value
        assert torch.equal(state[key], expected), key
    size = (tmp_path / "half" / "model.safetensors").stat().st_size
    classifier.save_pretrained(tmp_path / "full")
    assert size < 0.6 * (tmp_path / "full" / "model.safetensors").stat().st_size


def test_what_cannot_be_saved(classifier, tmp_path):
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match="has other files: choose a new folder"):
        classifier.save_pretrained(tmp_path)
    other = FrozenModel(classifier.encoder, classifier.cfg, name="x", inputs=OwnInputs())
    with pytest.raises(UserError, match="x is a model of another library: copy its own folder"):
        other.save_pretrained(tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_training_starts_from_it(folder, classifier):
    for path in (folder, folder / "model.safetensors"):
        model = construct_model(classifier.cfg)
        report = load_weights(model, path)
        assert (report.missed, report.skipped) == ([], {})
        assert hash_weights(model) == hash_weights(classifier.encoder)


def test_a_file_of_tensors_alone_is_a_state_dict(folder, classifier, tmp_path):
    (folder / "model.safetensors").rename(tmp_path / "weights.pth")  # found by its content
    model = construct_model(classifier.cfg)
    assert load_weights(model, tmp_path / "weights.pth").missed == []


def test_the_contract_of_the_mixin(classifier):
    hub = pytest.importorskip("huggingface_hub")
    theirs = inspect.signature(hub.PyTorchModelHubMixin.from_pretrained).parameters
    ours = inspect.signature(slowfast.FrozenModel.from_pretrained).parameters
    assert [*ours] == [*theirs]
    assert all(ours[name].default == theirs[name].default for name in theirs)
    assert isinstance(inspect.getattr_static(slowfast.FrozenModel, "from_pretrained"), classmethod)
    first = next(iter(inspect.signature(classifier.save_pretrained).parameters))
    assert first == "save_directory"


@pytest.mark.parametrize("revision", ["", "@v1"])
def test_a_repository_of_the_hub(folder, classifier, revision, tmp_path, monkeypatch):
    pytest.importorskip("huggingface_hub")
    (folder / "evil.pkl").write_bytes(pickle.dumps(print))
    (folder / "modeling.py").write_text("raise SystemExit", encoding="utf-8")
    cache = tmp_path / "cache"
    with serve_hub("me/my-model", folder) as (url, requests):
        monkeypatch.setenv("HF_ENDPOINT", url)
        load = slowfast.FrozenModel.from_pretrained
        model = load("me/my-model", revision=revision[1:] or None, cache_dir=cache)
        assert_same(classifier, model)
        asked = {path.rpartition("/")[2] for path in requests}
        assert {"config.json", "model.safetensors"} <= asked
        assert not asked & {"evil.pkl", "modeling.py", "README.md"}
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
        assert slowfast.load(f"hf://me/my-model{revision}").name == f"hf://me/my-model{revision}"
        with pytest.raises(UserError, match=r"hf://me/other could not be downloaded: .*404"):
            slowfast.load("hf://me/other")
    monkeypatch.setenv("SLOWFAST_OFFLINE", "1")
    if not revision:
        assert_same(classifier, slowfast.load(f"hf://me/my-model@{COMMIT}"))
    with pytest.raises(UserError, match="SLOWFAST_OFFLINE forbids downloading"):
        slowfast.load("hf://me/other")


def test_mistakes_of_an_address(monkeypatch):
    for url in ("hf://name", "hf://a/b/c", "hf://a/b@", "hf://../x y"):
        with pytest.raises(UserError, match="expected hf://ORG/NAME or hf://ORG/NAME@REVISION"):
            slowfast.load(url)
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"pip install 'slowfast-stica\[hub\]'"):
        slowfast.load("hf://me/my-model")


def test_damaged_folders(folder, tmp_path):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    for change in ({"cfg": "x"}, {"class_names": 3}):
        (folder / "config.json").write_text(json.dumps(config | change), encoding="utf-8")
        with pytest.raises(UserError, match=r"config.json: expected 'cfg', an object"):
            slowfast.load(folder)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"but no model.safetensors. Download it again"):
        slowfast.load(folder)
    none = r"no config.json of slowfast export --format hf"
    for text, message in (("{", "config.json is damaged"), ('{"a": 1}', none)):
        (folder / "config.json").write_text(text, encoding="utf-8")
        with pytest.raises(UserError, match=message):
            slowfast.load(folder)


def test_no_code_of_the_folder_is_imported(folder):
    (folder / "intruder").mkdir()
    (folder / "intruder" / "__init__.py").write_text("raise SystemExit(7)", encoding="utf-8")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["cfg"] |= {"PROJECTS": ["intruder"], "PROJECTS_PATH": [str(folder)]}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(UserError, match="intruder"):
        slowfast.load(folder)


RECORD = {
    "metric": "top1_acc",
    "value": 0.5,
    "chance": None,
    "count": 7,
    "dataset": "mine",
    "split": "test",
}


def test_the_card_is_valid_for_the_hub(classifier, tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    records = [RECORD | {"checkpoint": hash_weights(classifier.encoder)}]
    records += [RECORD | {"metric": "of_others", "checkpoint": "other"}]
    facts = CardFacts("Apache-2.0", records=records, note="Note: a & b.")
    save_pretrained(classifier, tmp_path / "card", facts)
    card = hub.ModelCard.load(tmp_path / "card" / "README.md")
    assert card.data.license == "apache-2.0"
    assert card.data.library_name == "slowfast-stica"
    assert card.data.pipeline_tag == "video-classification"
    (result,) = card.data.eval_results
    assert (result.metric_type, result.metric_value) == ("top1_acc", 0.5)
    assert result.dataset_name == "mine"
    for text in ("Note: a & b.", "3 classes: dog, cat, tabby, <b>.", "8 frames of 32 x 32", "MIT"):
        assert (text in card.text) is (text != "MIT")


@pytest.mark.parametrize(
    ("dataset", "shown", "listed"),
    [
        ("ucf101", "the dataset ucf101", ["ucf101"]),
        (
            "kinetics",
            "a folder of videos",
            None,
        ),  # reads any folder: nobody said that it is Kinetics
        ("audio_folder", "a folder of audio files", None),
    ],
)
def test_a_card_claims_no_dataset_that_is_not_known(dataset, shown, listed, method):
    cfg = method.cfg.clone()
    cfg.defrost()
    cfg.TRAIN.DATASET = dataset
    options = {"modalities": ["video"], "class_names": ["run"], "parameters": 1}
    facts = CardFacts(records=[RECORD | {"dataset": dataset}])
    card = render_card("a", cfg, facts, is_classifier=False, **options)
    _, front, body = card.split("---\n", 2)
    data = yaml.safe_load(front)
    name = shown.removeprefix("the dataset ")
    assert data.get("datasets") == listed
    assert data["model-index"][0]["results"][0]["dataset"] == {
        "name": name, "type": name.replace(" ", "_"), "split": "test",
    }  # fmt: skip
    assert f"Trained on {shown}.\n" in body
    assert f"| {name}, test | 7 |" in body
    assert "1 classes" not in body  # of the files, not of the model


@pytest.mark.parametrize(
    ("given", "license", "text"),
    [
        ("", {"license": "unknown"}, "Not stated. Add the license"),
        ("MIT", {"license": "mit"}, "License of the weights: MIT."),
        ("CC-BY-NC-4.0", {"license": "cc-by-nc-4.0"}, "CC-BY-NC-4.0"),
        (
            "see: x",
            {"license": "other", "license_name": "see: x"},
            "License of the weights: see: x",
        ),
    ],
)
def test_the_license_of_a_card(given, license, text, method):
    options = {"modalities": ["video", "audio"], "class_names": [], "parameters": 12_345_678}
    card = render_card("a", method.cfg, CardFacts(given), is_classifier=False, **options)
    _, front, body = card.split("---\n", 2)
    data = yaml.safe_load(front)
    assert {key: data[key] for key in data if key.startswith("license")} == license
    assert data["pipeline_tag"] == "feature-extraction"
    assert text in body
    assert "12.35 M parameters" in body
    assert "audio: 0.5 s at 24000 Hz" in body


def test_facts_of_sources(classifier, tmp_path):
    import_installed_projects()  # as slowfast.load does
    facts = facts_of("zoo://stica-demo")
    assert facts.license == "Apache-2.0"
    assert {"class_retrieval_r1", "av_sync"} <= {record["metric"] for record in facts.records}
    assert "CC-BY-NC-4.0" in facts_of("zoo://gdt_k400").license
    run = save_run(classifier, tmp_path / "run")
    assert facts_of(run).records == []
    content = {"format": 1, "records": [RECORD]}
    (run / "results.json").write_text(json.dumps(content), encoding="utf-8")
    assert facts_of(str(run)).records == [RECORD]
    assert facts_of(tmp_path / "x.pyth") == CardFacts(records=[])


def test_the_cfg_that_is_saved_builds_the_model(folder, tmp_path):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(config["cfg"]), encoding="utf-8")
    words = ["DATA.PATH_TO_DATA_DIR", "unused", "NUM_GPUS", "0"]
    construct_model(load_config(tmp_path / "a.yaml", words).cfg)
