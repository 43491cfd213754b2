"""A stream opens at once, because the gateway answers with headers before there is any message."""

import time

import gateways
import pytest
from dialogue import Failed
from lab import Lab
from wheels import ALL

CONNECT_S = 1.0


@pytest.mark.parametrize("wheel", ALL)
def test_connect_returns_within_a_second(lab: Lab, wheel: str) -> None:
    lab.worker(wheel).call("leave_all", endpoint="")  # it has started
    began = time.monotonic()
    lab.join(wheel, settle=False)
    assert time.monotonic() - began < CONNECT_S


@pytest.mark.parametrize("wheel", ALL)
def test_control_connect_does_not_return_while_headers_are_withheld(lab: Lab, wheel: str) -> None:
    with gateways.mute() as mute:
        with pytest.raises(Failed, match="timeout"):
            lab.at(mute.url).join(wheel, settle=False, patience_s=CONNECT_S)
        assert mute.asked == 1
