"""Every test counts its readings in a folder of its own."""

import pytest


@pytest.fixture(autouse=True)
def own_state(tmp_path, monkeypatch):
    monkeypatch.setenv("DUSKMATCH_STATE", str(tmp_path / "state"))
