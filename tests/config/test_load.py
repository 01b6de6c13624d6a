"""Loading a configuration: order, coercion, every mistake at once, hints."""

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

import slowfast.engine.registrations  # noqa: F401
from slowfast.config import ConfigError, Problem, UserError, get_cfg, load_config, projects
from slowfast.config.load import flatten, is_demo
from slowfast.config.projects import ENTRY_POINT_GROUP
from slowfast.config.renamed import RENAMED, translate_results
from slowfast.models.build import POOLING_REGISTRY


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("true", True), ("false", False), ("False", False), ("FALSE", False), ("yes", True),
     ("No", False), ("on", True), ("off", False)],
)  # fmt: skip
def test_yaml_spellings_of_booleans_on_the_command_line(text, wanted):
    assert load_config(None, ["TEST.ENABLE", text], validate=False).cfg.TEST.ENABLE is wanted


def test_null_on_the_command_line_is_none():
    for text in ("null", "None", "~"):
        words = ["SOLVER.CLIP_GRAD_VAL", text]
        assert load_config(None, words, validate=False).cfg.SOLVER.CLIP_GRAD_VAL is None


@pytest.mark.parametrize(
    ("text", "wanted"), [("auto", "auto"), ("True", True), ("off", False), ("'auto'", "auto")]
)
def test_a_switch_may_be_auto_in_a_yaml_and_on_the_command_line(tmp_path, text, wanted):
    key = "TRAIN.MIXED_PRECISION"
    file = write(tmp_path / "a.yaml", f"TRAIN:\n  MIXED_PRECISION: {text}\n")
    assert load_config(file, validate=False).cfg.TRAIN["MIXED_PRECISION"] == wanted
    for before in ("auto", "True"):  # another type than the one before
        yaml = write(tmp_path / "b.yaml", f"TRAIN:\n  MIXED_PRECISION: {before}\n")
        cfg = load_config(yaml, [key, text], validate=False).cfg
        assert cfg.TRAIN["MIXED_PRECISION"] == wanted
    saved = write(tmp_path / "saved.yaml", cfg.dump())
    assert load_config(saved, validate=False).cfg.TRAIN["MIXED_PRECISION"] == wanted


@pytest.mark.parametrize("text", ["automatic", "1", "None", "[auto]"])
def test_a_switch_takes_no_other_word(text):
    with pytest.raises(ConfigError, match=r"MIXED_PRECISION: got .*expected True, False or 'auto'"):
        load_config(None, ["TRAIN.MIXED_PRECISION", text], validate=False)


@pytest.mark.parametrize("text", ["maybe", "2", "truee"])
def test_other_words_are_no_booleans(text):
    with pytest.raises(ConfigError, match=r"TEST\.ENABLE: got .*expected bool"):
        load_config(None, ["TEST.ENABLE", text], validate=False)


def test_defaults_hold_every_section():
    cfg = get_cfg()
    for section in ("TRAIN", "TEST", "DATA", "AUDIO", "MODEL", "RESNET", "BN", "SOLVER", "AVA"):
        assert section in cfg
    assert len(flatten(cfg)) > 360  # all of PySlowFast's but a project's, and ours


def test_yaml_then_command_line_then_assignments(tmp_path):
    base = write(tmp_path / "base.yaml", "SOLVER:\n  BASE_LR: 0.5\n  MAX_EPOCH: 7\nLOG_PERIOD: 3\n")
    child = write(tmp_path / "c.yaml", f"_BASE_: {base.name}\nSOLVER:\n  MAX_EPOCH: 9\n")
    overrides = ["LOG_PERIOD", "4", "LOG_PERIOD", "5", "SHARD_ID", "1"]
    cfg = load_config(child, overrides, assignments={"SHARD_ID": 0}, validate=False).cfg
    assert (cfg.SOLVER.BASE_LR, cfg.SOLVER.MAX_EPOCH) == (0.5, 9)
    assert cfg.LOG_PERIOD == 5  # the last word wins
    assert cfg.SHARD_ID == 0
    assert cfg.is_frozen()


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("SOLVER.BASE_LR", "1", 1.0),
        ("SOLVER.BASE_LR", "1e-4", 1e-4),
        ("SOLVER.BETAS", "(0.5, 0.9)", [0.5, 0.9]),
        ("SOLVER.CLIP_GRAD_L2NORM", "2.5", 2.5),
        ("DATA.PATH_TO_DATA_DIR", "1", "1"),
        ("TRAIN.CHECKPOINT_FILE_PATH", "a path/with 'quotes'", "a path/with 'quotes'"),
        ("DATA.PATH_LABEL_SEPARATOR", ",", ","),
        ("NUM_GPUS", "-1", -1),
        ("TRAIN.ENABLE", "False", False),
    ],
)
def test_values_of_the_command_line(key, text, value):
    cfg = load_config(None, [key, text], validate=False).cfg
    assert flatten(cfg)[key] == value


def test_all_mistakes_at_once():
    words = "SOLVER.BASE_LRR 1 TRAIN.ENABLE maybe MODEL 3 NO.SUCH 1 LOG_PERIOD x"
    with pytest.raises(ConfigError) as caught:
        load_config(None, words.split())
    message = str(caught.value)
    assert message.startswith("5 problems in the command line:")
    assert "SOLVER.BASE_LRR: unknown key. Did you mean 'SOLVER.BASE_LR'?" in message
    assert "TRAIN.ENABLE: got 'maybe' (str), expected bool" in message
    assert "MODEL: is a section, not a key" in message
    assert "NO.SUCH: unknown key" in message
    assert "LOG_PERIOD: got 'x' (str), expected int" in message


def test_each_mistake_is_named_once(tmp_path):
    write(tmp_path / "demo.yaml", "LOG_PERIOD: 77\nSTICA:\n  WITHIN_WEIGHT: 1.0\nNO_SUCH: 1\n")
    lines = "DATA:\n  DEMO_CFG: demo.yaml\nSTICA:\n  TEMPERATURE: 1.0\n"
    config = write(tmp_path / "x.yaml", lines)
    words = ["SOLVER.MAX_STEPS", "40", "LOG_PERIOD", "x", "STICA.WITHIN_WEIGHT", "0.5"]
    words += ["PROJECTS", "[]"]
    with pytest.raises(ConfigError) as caught:
        load_config(config, words)
    named = [problem.key for problem in caught.value.problems]
    assert sorted(named) == ["LOG_PERIOD", "NO_SUCH", "SOLVER.MAX_STEPS", "STICA"]


def test_old_names_of_keys_still_load_with_a_line_for_each(tmp_path, caplog):
    config = write(
        tmp_path / "old.yaml",
        "DATA:\n  BAD_FILE_POLICY: error\nPROBE:\n  DECAYS: [0.5]\n  FEW_SHOT_DRAWS: 7\n",
    )
    words = "AUDIO.SHIFT_SEC 0.25 PROBE.DECAYS [0.75] DATA_LOADER.KEEP_DECODED True"
    cfg = load_config(config, words.split(), validate=False).cfg
    assert cfg.DATA.ON_DECODE_ERROR == "raise"
    assert cfg.PROBE.WEIGHT_DECAY_GRID == [0.75]
    assert (cfg.PROBE.FEW_SHOT_EPISODES, cfg.AUDIO.EVAL_OFFSET_SEC) == (7, 0.25)
    assert cfg.DATA_LOADER.CACHE_DECODED
    assert "DATA.BAD_FILE_POLICY was renamed to DATA.ON_DECODE_ERROR" in caplog.text
    assert len(caplog.records) == 5
    both = ["PROBE.WEIGHT_DECAY_GRID", "[2.0]", "PROBE.DECAYS", "[1.0]"]
    assert load_config(None, both, validate=False).cfg.PROBE.WEIGHT_DECAY_GRID == [2.0]


def test_renamed_values_load_with_one_line_each(tmp_path, caplog):
    text = "TEST:\n  PROTOCOLS: [knn, alignment]\nDATA:\n  DEMO_ACTIVE: True\n"
    config = write(tmp_path / "x.yaml", text)
    cfg = load_config(config, validate=False).cfg
    assert cfg.TEST.PROTOCOLS == ["knn", "av_sync"]
    assert "DEMO_ACTIVE" not in cfg.DATA  # of earlier versions, where the loader set it
    (record,) = caplog.records
    assert record.getMessage().endswith("TEST.PROTOCOLS alignment was renamed to av_sync")
    cfg = load_config(None, ["TEST.PROTOCOLS", "['alignment']"], validate=False).cfg
    assert cfg.TEST.PROTOCOLS == ["av_sync"]
    caplog.clear()
    words = ["DEMO_SET.NUISANCE", "['time', 'colour']"]
    assert load_config(None, words, validate=False).cfg.DEMO_SET.VARIATION == ["time", "color"]
    caplog.clear()
    words = ["TRAIN.DATASET", "kinetics", "TEST.PROTOCOLS", "['av_sync']"]
    assert load_config(None, words, validate=False).cfg.TRAIN.DATASET == "kinetics"
    assert not caplog.records


@pytest.mark.parametrize("name", ["ptvkinetics", "Ptvssv2", "PTVCHARADES"])
def test_pytorchvideos_datasets_are_ours(name, caplog):
    words = ["TRAIN.DATASET", name, "TEST.DATASET", name]
    cfg = load_config(None, words, validate=False).cfg
    assert cfg.TRAIN.DATASET == cfg.TEST.DATASET == name.lower().removeprefix("ptv")
    assert len(caplog.records) == 2


def test_a_key_without_a_value_is_empty(tmp_path):
    """PySlowFast's YAMLs leave paths for the user to fill in."""
    text = "DATA:\n  PATH_TO_DATA_DIR: # insert\n  PATH_PREFIX:\nAVA:\n  TEST_LISTS:\n"
    cfg = load_config(write(tmp_path / "x.yaml", text), validate=False).cfg
    assert (cfg.DATA.PATH_TO_DATA_DIR, cfg.DATA.PATH_PREFIX, cfg.AVA.TEST_LISTS) == ("", "", [])
    with pytest.raises(ConfigError, match=r"NUM_GPUS: got no value, expected int"):
        load_config(write(tmp_path / "y.yaml", "NUM_GPUS:\n"), validate=False)


def test_the_word_none_is_no_number():
    words = ("MODEL.MODEL_NAME", "VideoResNet", "MODEL.ARCH", "r3d_18", "NUM_GPUS", "0")
    words += ("DATA.PATH_TO_DATA_DIR", "unused")
    with pytest.raises(ConfigError, match=r"SOLVER.BASE_LR: got no value, expected float"):
        load_config(None, [*words, "SOLVER.BASE_LR", "None"])
    assert load_config(None, [*words, "AUG.COLOR_JITTER", "None"]).cfg.AUG.COLOR_JITTER is None


def test_results_of_an_earlier_version_have_todays_names():
    record = {"protocol": "alignment", "metric": "alignment", "column": "after", "value": 0.5}
    other = {"protocol": "knn", "metric": "knn_top1", "column": "after", "value": 0.25}
    old = {"alignment": {"after": 0.5}, "format": 1, "records": [record, other]}
    assert translate_results(old) == {
        "av_sync": {"after": 0.5},
        "format": 1,
        "records": [{**record, "protocol": "av_sync", "metric": "av_sync"}, other],
    }
    assert translate_results({}) == {}


def test_every_renamed_key_has_its_new_name():
    known = flatten(get_cfg())
    assert set(RENAMED.values()) <= set(known)
    assert not set(RENAMED) & set(known)


@pytest.mark.parametrize(
    ("key", "text", "kind"),
    [
        ("TEST.PROTOCOLS", "[0]", "strings"),
        ("DATA.INPUT_CHANNEL_NUM", "['a']", "integers"),
        ("DATA.TRAIN_JITTER_SCALES", "[1.5, 2.5]", "integers"),
        ("DATA.MEAN", "['a', 'b', 'c']", "numbers"),
        ("PROBE.RANKS", "[True]", "integers"),
    ],
)
def test_elements_of_lists(key, text, kind):
    with pytest.raises(ConfigError, match=rf"{key}: got .*, expected a list of {kind}\."):
        load_config(None, [key, text])
    load_config(None, ["DATA.MEAN", "[1, 0, 0.5]"], validate=False)  # numbers of both kinds


def test_unknown_keys_and_failed_checks_are_reported_together():
    words = ["SOLVER.BASE_LRR", "1", "SOLVER.BASE_LR", "-1", "LOG_PERIOD", "x", "PROBE.KNN_K", "0"]

    def last_check(cfg, found):
        return [Problem("LAST", f"after {len(found)}")]

    with pytest.raises(ConfigError) as caught:
        load_config("StiCA/small_pretrain.yaml", words, last_check=last_check)
    named = {problem.key: problem.message for problem in caught.value.problems}
    assert set(named) == {"SOLVER.BASE_LRR", "SOLVER.BASE_LR", "LOG_PERIOD", "PROBE.KNN_K", "LAST"}
    assert named["LAST"] == "after 4"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("STICA.WITHIN_WEIGHT", 0.5),
        ("MODEL.POOLING", "transformer"),
        ("MODEL.FEATURE_AUG", "feature_crop"),
    ],
)
def test_the_installed_project_that_a_name_belongs_to_is_used(key, value, tmp_path, caplog):
    words = ["MODEL.ARCH", "r2plus1d_18", "DATA.PATH_TO_DATA_DIR", "unused", "AUDIO.ENABLE", "True"]
    words += ["DATA.TRAIN_CROP_NUM_SPATIAL", "2", "MODEL.NUM_CLASSES", "3"]
    config = write(tmp_path / "x.yaml", "{}:\n  {}: {}\n".format(*key.split("."), value))
    assert load_config(config, words).cfg.PROJECTS == ["stica"]
    assert load_config(None, [*words, key, str(value)]).cfg.PROJECTS == ["stica"]
    assert caplog.text.count("needs project stica; using PROJECTS ['stica']") == 2


@pytest.mark.parametrize("projects", ["[]", "['empty_project']"])
def test_a_project_that_is_left_out_by_the_user_is_named(projects, tmp_path):
    write(tmp_path / "empty_project.py", "def add_config(cfg):\n    pass\n")
    words = ["STICA.WITHIN_WEIGHT", "0.5", "PROJECTS", projects, "PROJECTS_PATH", f"['{tmp_path}']"]
    with pytest.raises(ConfigError, match=r"STICA: belongs to the project stica: add PROJECTS"):
        load_config(None, words)


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        ("raise UserError('weights: no license.')", "PROJECTS: weights: no license."),
        (
            "import not_there_0",
            r"PROJECTS: project 'broken_\d+' needs the missing module 'not_there_0'",
        ),
        ("1 / 0", r"could not be imported: ZeroDivisionError: division by zero \(.*, line 10\)\."),
        ("def f(:", r"could not be imported: SyntaxError: invalid syntax \(.*, line 10\)"),
    ],
)
def test_an_installed_project_that_fails_is_imported_once(failure, message, tmp_path, monkeypatch):
    """Its section is unknown then, and the search for its owner must not register it again."""
    name = f"broken_{len(failure)}"
    write(
        tmp_path / f"{name}.py",
        "from slowfast.config import UserError\n"
        "from slowfast.models.build import POOLING_REGISTRY\n\n\n"
        f"@POOLING_REGISTRY.register()\ndef before(cfg):\n    pass\n\n\n{failure}\n",
    )
    for kept in ("_obj_map", "_capabilities"):
        monkeypatch.setattr(POOLING_REGISTRY, kept, dict(getattr(POOLING_REGISTRY, kept)))
    monkeypatch.setattr(projects, "_failed", {})
    point = EntryPoint(name, name, ENTRY_POINT_GROUP)
    monkeypatch.setattr(projects, "_installed_points", lambda: [point])
    words = ["PROJECTS", f"['{name}']", "PROJECTS_PATH", f"['{tmp_path}']", "BROKEN.KEY", "1"]
    for _ in range(2):
        with pytest.raises(ConfigError, match=message) as caught:
            load_config(None, words)
        assert {problem.key for problem in caught.value.problems} == {"PROJECTS", "BROKEN.KEY"}
    with pytest.raises(UserError, match="start Python again"):
        projects.import_project(name)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("LOG_PERIOD", "pairs KEY VALUE; got 1 words"),
        ("SOLVER.MAX_STEPS 1", "Did you mean 'TRAIN.MAX_STEPS'"),  # right name, wrong section
        ("MAX_EPOCH 1", "Did you mean 'SOLVER.MAX_EPOCH'"),
        ("model.arch slow", "Did you mean 'MODEL.ARCH'"),
        ("DATA.Num_Frames 4", "Did you mean 'DATA.NUM_FRAMES'"),
        ("SOLVER.BATCH_SIZE 1", "Did you mean 'SOLVER.BASE_BATCH_SIZE'"),  # several have one
        ("PROJECTS ['stiica']", "PROJECTS: no project 'stiica'. Installed: .*stica"),
        ("PROJECTS ['json']", "'json' is not a project"),
        ("PROJECTS stica", "expected a list of names"),
        (
            "PROJECTS ['stica'] FEATURE_CROP.WEIGHT 0.3",
            "was renamed: use MODEL.FEATURE_AUG_WEIGHT",
        ),
    ],
)
def test_mistakes_are_told_with_what_was_meant(line, message):
    with pytest.raises(ConfigError, match=message):
        load_config(None, line.split())


def test_projects_from_yaml_and_command_line(tmp_path):
    config = write(tmp_path / "p.yaml", "PROJECTS: ['stica']\n")
    assert "STICA" in load_config(config, validate=False).cfg
    assert "STICA" not in load_config(config, ["PROJECTS", "[]"], validate=False).cfg
    assert "STICA" in load_config(None, ["PROJECTS", "['stica']"], validate=False).cfg


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(
        UserError, match=r"no such file: StiCA/R2plus1D_pretrian.yaml.*R2plus1D_pre"
    ):
        load_config("StiCA/R2plus1D_pretrian.yaml")
    with pytest.raises(UserError, match="is not valid YAML"):
        load_config(write(tmp_path / "bad.yaml", "A: [1\nB"))
    with pytest.raises(UserError, match="_BASE_ is missing"):
        load_config(write(tmp_path / "orphan.yaml", "_BASE_: none.yaml\n"))
    with pytest.raises(UserError, match="top level"):
        load_config(write(tmp_path / "list.yaml", "- 1\n- 2\n"))
    unsafe = "A: !!python/object/apply:os.getcwd []\n"
    with pytest.raises(UserError, match="not valid YAML"):
        load_config(write(tmp_path / "unsafe.yaml", unsafe))


def test_demo_overlay_only_without_data(tmp_path):
    write(tmp_path / "demo.yaml", "LOG_PERIOD: 77\nSOLVER:\n  MAX_EPOCH: 2\n")
    config = write(tmp_path / "x.yaml", "DATA:\n  DEMO_CFG: demo.yaml\nSOLVER:\n  MAX_EPOCH: 2\n")
    loaded = load_config(config, ["LOG_PERIOD", "5"], validate=False)
    assert is_demo(loaded.cfg.DATA)
    assert loaded.cfg.LOG_PERIOD == 5  # the command line wins over the overlay
    assert [(c.key, c.before, c.after) for c in loaded.demo_changes] == [("LOG_PERIOD", 10, 77)]
    real = load_config(config, ["DATA.PATH_TO_DATA_DIR", str(tmp_path)], validate=False)
    assert not is_demo(real.cfg.DATA)
    assert not real.demo_changes


def test_the_config_of_a_demo_run_is_that_run(tmp_path):
    write(tmp_path / "demo.yaml", "LOG_PERIOD: 77\n")
    config = write(tmp_path / "x.yaml", "DATA:\n  DEMO_CFG: demo.yaml\n")
    run = load_config(config, ["LOG_PERIOD", "5"], validate=False).cfg
    again = load_config(write(tmp_path / "config.yaml", run.dump()), validate=False).cfg
    assert again.dump() == run.dump()


def test_loading_does_not_import_torch():
    code = (
        "import sys; from slowfast.config import load_config; "
        "load_config(None, validate=False); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_project_that_is_named_twice_is_used_once(tmp_path):
    words = ["PROJECTS", "['stica','stica']", "OUTPUT_DIR", str(tmp_path)]
    assert "STICA" in load_config("StiCA/small_pretrain.yaml", words).cfg


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("NUM_THREADS", "-1", "0 .automatic. to 4096"),
        ("NUM_THREADS", "1000000", "0 .automatic. to 4096"),
        ("DATA.MAX_BAD_FRACTION", "-1.0", "a number between 0 and 1"),
        ("AUG.RE_PROB", "1.5", "a number between 0 and 1"),
        ("MVIT.DROPPATH_RATE", "1e30", "a number between 0 and 1"),
        ("MODEL.DROPOUT_RATE", "nan", "numbers that are not nan"),
        ("SOLVER.BASE_LR", ".nan", "numbers that are not nan"),
        ("SOLVER.STEPS", "[.nan]", "numbers that are not nan"),
        ("RNG_SEED", str(10**20), "fit into 64 bits"),
        ("DATA.TRAIN_JITTER_SCALES", f"[1, {-(10**20)}]", "fit into 64 bits"),
    ],
)
def test_numbers_that_no_key_can_have(tmp_path, key, value, expected):
    section, _, name = key.rpartition(".")
    text = f"{section}: {{{name}: {value}}}\n" if section else f"{name}: {value}\n"
    path = tmp_path / "a.yaml"
    path.write_text(text.replace(": nan", ": .nan"), encoding="utf-8")
    with pytest.raises(UserError, match=rf"{key}: got .* expected .*{expected}"):
        load_config(path)


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        ("DATA.ROW_FIELDS", "[0]", "strings"),
        ("TEST.NUM_TEMPORAL_CLIPS", "[a]", "integers"),
        ("SOLVER.LRS", "[x]", "numbers"),
        ("MVIT.DIM_MUL", "[1, 2]", "lists"),
    ],
)
def test_elements_of_lists_that_are_empty_by_default(tmp_path, key, value, kind):
    section, name = key.split(".")
    path = write(tmp_path / "a.yaml", f"{section}: {{{name}: {value}}}\n")
    with pytest.raises(UserError, match=rf"{key}: got .*, expected a list of {kind}"):
        load_config(path)
