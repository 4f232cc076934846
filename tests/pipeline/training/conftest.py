import pytest


@pytest.fixture(autouse=True)
def _kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute float32 by kernels, as users do."""
    monkeypatch.setenv("NMT_KERNELS", "on")
