import pytest

from tests.datasets.small_folders import fill


@pytest.fixture
def faces(tmp_path):
    fill(tmp_path / "fake", 12)
    fill(tmp_path / "real", 20, ".jpg")
    return tmp_path
