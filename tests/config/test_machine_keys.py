"""Which keys say where a run happens; results and published weights do without them."""

import pytest

from slowfast.config import get_cfg
from slowfast.config.load import flatten
from slowfast.config.machine_keys import is_machine_key, is_path_key


def test_what_belongs_to_the_machine():
    found = {key for key in flatten(get_cfg()) if is_machine_key(key)}
    assert {"NUM_GPUS", "NUM_CPU_PROCESSES", "SHARD_ID", "LOG_PERIOD", "DIST_BACKEND"} < found
    assert "DATA_LOADER.NUM_WORKERS" in found
    assert not found & {"DATA.NUM_FRAMES", "TRAIN.BATCH_SIZE", "RNG_SEED", "MODEL.NUM_CLASSES"}


@pytest.mark.parametrize(
    "key",
    [
        *("OUTPUT_DIR", "DATA.PATH_TO_DATA_DIR", "DATA.PATH_PREFIX", "DEMO_SET.CACHE_DIR"),
        *("TRAIN.CHECKPOINT_FILE_PATH", "TEST.SAVE_RESULTS_PATH", "DATA.PATH_TO_SPLIT_DIR"),
    ],
)
def test_what_names_a_place(key):
    assert key in flatten(get_cfg())
    assert is_path_key(key)


def test_a_separator_of_a_csv_is_no_place():
    assert not is_path_key("DATA.PATH_LABEL_SEPARATOR")
