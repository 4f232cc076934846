import pytest

from flows.fresh import STAGES, fresh_stages
from pipeline.errors import InputError


def test_stages_from_one_on() -> None:
    assert fresh_stages(None) == []
    assert fresh_stages("all") == list(STAGES.values()) == fresh_stages("corpus")
    assert fresh_stages("batches") == ["encoded", "training", "evaluation"]
    assert fresh_stages("evaluation") == ["evaluation"]
    with pytest.raises(InputError, match="fresh=registration: there is no such stage; choose one of all, corpus"):
        fresh_stages("registration")
