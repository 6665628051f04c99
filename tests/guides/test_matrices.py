"""Matrices that a laboratory writes, and what becomes of them."""

import numpy as np
import pytest

from smrjax.errors import InputError
from smrjax.guides import KINDS, adjacency, find_matrix, read_matrix
from smrjax.taxonomy import load_taxonomy

GOOD = "# ours\n,A,B,C\nA,,4,1\nB,2,,3\n\nC,5,1,-\n"


def write(tmp_path, text):
    path = tmp_path / "m.csv"
    path.write_text(text)
    return path


def test_rows_and_columns_come_in_the_order_of_the_labels(tmp_path):
    path = write(tmp_path, GOOD)
    assert read_matrix(path, ["A", "B", "C"]).tolist() == [[0, 4, 1], [2, 0, 3], [5, 1, 0]]
    assert read_matrix(path, ["C", "A", "B"]).tolist() == [[0, 5, 1], [1, 0, 4], [3, 2, 0]]
    assert read_matrix(path, ["B", "A"], subset=True).tolist() == [[0, 2], [4, 0]]


def test_columns_may_stand_in_another_order_than_rows(tmp_path):
    path = write(tmp_path, ",B,A\nA,4,0\nB,0,2\n")
    assert read_matrix(path, ["A", "B"]).tolist() == [[0, 4], [2, 0]]


BAD = {
    "unknown class": (GOOD.replace("C", "Z"), "class Z"),
    "missing class": (",A,B\nA,,2\nB,3,\n", "class C is missing"),
    "row without column": (",A,B,C\nA,,2,1\nB,3,,1\n", "not square, class C"),
    "class twice": (",A,B,B\nA,,2,1\nB,3,,1\n", "class B is twice"),
    "six": (GOOD.replace("B,2", "B,6"), "line 4, column A: '6'"),
    "half": (GOOD.replace("B,2", "B,2.5"), "line 4, column A: '2.5'"),
    "nothing": (GOOD.replace("B,2", "B,"), "line 4, column A: ''"),
    "short row": (GOOD.replace("A,,4,1", "A,,4"), "line 3: 2 values for 3"),
    "empty": ("# nothing\n", "is empty"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(tmp_path, case):
    text, expected = BAD[case]
    with pytest.raises(InputError, match=".*m.csv.*") as error:
        read_matrix(write(tmp_path, text), ["A", "B", "C"])
    assert expected in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_matrix(tmp_path / "none.csv", ["A"])


@pytest.mark.parametrize("name", ["marrow15", "pbc"])
@pytest.mark.parametrize("kind", KINDS)
def test_bundled_matrices_say_what_the_papers_prose_says(name, kind):
    taxonomy = load_taxonomy(name)
    matrix = find_matrix(kind, taxonomy.classes)
    stage, lineage = taxonomy.stage(), taxonomy.lineage_index()
    pairs = ~np.eye(len(matrix), dtype=bool)
    same = (lineage[:, None] == lineage) & (lineage[:, None] >= 0) & pairs
    near = same & (np.abs(stage[:, None] - stage) == 1)
    assert ((matrix >= 1) & (matrix <= 5))[pairs].all() and (np.diag(matrix) == 0).all()
    assert (matrix != matrix.T).any()
    sign = 1 if kind == "similarity" else -1
    assert sign * matrix[near].mean() > sign * matrix[same & ~near].mean() > sign * matrix[pairs & ~same].mean()


def test_no_bundled_matrix_for_other_classes():
    assert find_matrix("severity", ["A", "B"]) is None
    assert find_matrix("severity", load_taxonomy("marrow21").classes) is None


def test_adjacency_worked_by_hand():
    #  A->B 4 and B->A 1 make an edge; 3 does not; C->D 5; A and D are of one lineage.
    matrix = np.array([[0, 4, 3, 1], [1, 0, 2, 1], [3, 1, 0, 5], [1, 1, 2, 0]])
    assert adjacency(matrix).tolist() == [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]]
    joined = adjacency(matrix, lineages=[[0, 3]], maturity=True)
    assert joined.tolist() == [[0, 1, 0, 1], [1, 0, 0, 0], [0, 0, 0, 1], [1, 0, 1, 0]]
    assert adjacency(matrix, lineages=[[0, 3]]).tolist() == adjacency(matrix).tolist()


def test_low_severity_draws_together():
    matrix = np.array([[0, 1, 5], [2, 0, 3], [5, 3, 0]])
    assert adjacency(matrix, kind="severity").tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 0]]
    with pytest.raises(ValueError, match="kind"):
        adjacency(matrix, kind="harm")
