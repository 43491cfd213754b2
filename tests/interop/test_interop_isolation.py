"""A receiver that does not read costs nobody else anything."""

import gateways
import pytest
from dialogue import Agent, Failed
from lab import Lab, fresh

MESSAGES = 3000
SIZE = 10 * 1024
WITHIN_S = 12.0
# By then the gateway in the wheel has long stood still.
CONTROL_S = 4.0


def cast(lab: Lab) -> tuple[Agent, Agent, int]:
    """Who sends, who reads, and the sender's stream; somebody of the same type never reads."""
    kind = fresh("viewer")
    viewer = lab.join(name=kind, alone="viewer")
    lab.join(name=kind, alone="stalled", loop="none")
    camera = lab.join(alone="camera")
    camera.route(kind)
    return camera, viewer, camera.session("streaming", direction="SENDER")


def test_3000_of_3000_arrive_beside_one_who_never_reads(lab: Lab) -> None:
    camera, viewer, session = cast(lab)
    sent = camera.start(
        "publish_many", session=session, count=MESSAGES, size=SIZE, name=viewer.name, instance=None
    )
    got = viewer.take(MESSAGES, WITHIN_S)
    assert [int(message.text.split()[0]) for message in got] == list(range(MESSAGES))
    assert all(message.size == SIZE for message in got)
    assert sent.result(1.0) < WITHIN_S
    lab.worker(alone="stalled").kill()


def test_control_the_gateway_of_the_wheel_stops_all_for_the_one(lab: Lab) -> None:
    with gateways.reference() as url:
        other = lab.at(url)
        camera, viewer, session = cast(other)
        camera.start(
            "publish_many", session=session, count=MESSAGES, size=SIZE, name=viewer.name, instance=None
        )
        with pytest.raises(Failed, match=r"\d+ of 3000 came"):
            viewer.take(MESSAGES, CONTROL_S)
        for one in ("stalled", "camera", "viewer"):
            lab.worker(alone=one).kill()
