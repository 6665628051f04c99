import numpy as np
import pytest

from smrjax.errors import InputError
from smrjax.files import read_arrays, write_arrays

TREE = {
    "params": {"stem": {"conv": {"kernel": np.arange(6.0).reshape(2, 3)}}},
    "layers": [{"bias": np.zeros(2, np.float16)}, {"bias": np.array(3)}],
}


def test_arrays_come_back_as_they_were(tmp_path):
    write_arrays(tmp_path / "a.npz", TREE)
    found = read_arrays(tmp_path / "a.npz")
    np.testing.assert_array_equal(found["params"]["stem"]["conv"]["kernel"], [[0, 1, 2], [3, 4, 5]])
    assert isinstance(found["layers"], list) and found["layers"][0]["bias"].dtype == np.float16
    assert found["layers"][1]["bias"] == 3 and list(found) == ["layers", "params"]


def test_damaged_and_missing_files(tmp_path):
    with pytest.raises(InputError, match="is its folder whole"):
        read_arrays(tmp_path / "none.npz")
    write_arrays(tmp_path / "a.npz", TREE)
    whole = (tmp_path / "a.npz").read_bytes()
    for start, end in ((0, 0), (0, 5), (0, len(whole) // 2), (10, len(whole))):
        (tmp_path / "a.npz").write_bytes(whole[start:end])
        with pytest.raises(InputError, match="a.npz"):
            read_arrays(tmp_path / "a.npz")
    np.savez(tmp_path / "code.npz", evil=np.array([{"code": 1}], object), allow_pickle=True)
    with pytest.raises(InputError, match="is damaged"):
        read_arrays(tmp_path / "code.npz")
