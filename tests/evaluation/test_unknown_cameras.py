"""Camid -1 is an unknown camera: no rule takes it for the same one as another unknown."""

import numpy as np
import pytest

from duskmatch.evaluation import rank, score, separation
from duskmatch.records import Embeddings

RULE = "same-pid-same-camera"
GALLERY = Embeddings(np.eye(3, dtype=np.float32), [1, 1, 2], [-1, 3, -1], "visible")


def query(camid):
    return Embeddings(np.eye(1, 3, dtype=np.float32), [1], [camid], "infrared")


@pytest.mark.parametrize(("camid", "n_matches", "first"), [(-1, 2, 1), (3, 1, 1), (4, 2, 1)])
def test_only_a_known_camera_of_the_query_takes_its_entries_out(camid, n_matches, first):
    found = rank(query(camid), GALLERY, camera_rule=RULE, k=3)
    assert found.matches.sum() == n_matches and (found.indices >= 0).sum() == n_matches + 1
    assert score(query(camid), GALLERY, camera_rule=RULE).first_hit.tolist() == [first]
    assert separation(query(camid), GALLERY, camera_rule=RULE).n_same == n_matches
