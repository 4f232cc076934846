"""Two versions of a model whose training learns nothing, with all that they were made from."""

from collections.abc import Iterator

import pytest

from tests.untrained_chain import Made, make_version, own_home


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """Version 1 of `captions`, in a home that the tests of a file share: what they damage, they mend."""
    with own_home(tmp_path_factory.mktemp("made") / "home"):
        yield make_version()


@pytest.fixture(scope="module")
def other(made: Made) -> Made:
    """Version 2, of the same rows with another seed."""
    return make_version(training__seed=2)
