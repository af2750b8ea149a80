import pytest

from tests.audit.small_pictures import write


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return write(tmp_path_factory.mktemp("clean"))
