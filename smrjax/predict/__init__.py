"""New cells: what embeddings say by what a run has learnt, fold by fold, and as one answer.

A `Reader` holds the arrays of one fold and turns embeddings into `Readings`; `answer` makes one answer of the readings
of one fold or several. A `Model` has networks and readers, and answers for images. None needs what trains: run folders,
and the networks in them, are read by `members`, exported ones by `loading`.
"""

from smrjax.predict.answers import Answers, answer
from smrjax.predict.model import Model
from smrjax.predict.reader import Reader, Readings, make_reader, read

__all__ = ["Answers", "Model", "Reader", "Readings", "answer", "make_reader", "read"]
