"""Events and states as a user compares and prints them."""

import agpd_client as agp
from agpd_client.errors import Closed


def test_events_are_values() -> None:
    assert agp.Dropped(3) == agp.Dropped(3)
    assert agp.Connected("gw", 1) == ("gw", 1)
    error = Closed("x")
    assert agp.Disconnected(error, True) == (error, True)
    refused = agp.Refused(agp.Code.NO_ROUTE, "", "a/b/c/d", "a/b/e", 2)
    assert refused == agp.Refused(agp.Code.NO_ROUTE, "", "a/b/c/d", "a/b/e", 2)
    assert hash(refused)


def test_statistics_begin_at_nothing_and_states_have_words() -> None:
    statistics = agp.Statistics()
    assert {getattr(statistics, name) for name in statistics.__struct_fields__} == {0}
    assert [state.value for state in agp.State] == ["new", "connected", "draining", "disconnected", "closed"]
