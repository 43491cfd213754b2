"""Handles of destinations: young, old, shut."""

from agpd_client.handles import Handles


def test_what_is_used_stays_and_what_is_not_is_shut() -> None:
    shut: list[int] = []
    handles = Handles(4, shut.append)
    for number in (1, 2):
        handles.add((9, f"n{number}"), number)
    handles.add((9, "n3"), 3)  # 1 and 2 are old now
    assert handles.get((9, "n1")) == 1  # and 1 young again
    handles.add((9, "n4"), 4)
    assert shut == [2]
    assert handles.get((9, "n2")) is None
    assert len(handles) == 3


def test_a_handle_of_two_agents_is_shut_by_the_last_one() -> None:
    shut: list[int] = []
    handles = Handles(100, shut.append)
    handles.add((1, "n"), 7)
    handles.add((2, "n"), 7)
    handles.forget_agent(1)
    assert shut == []
    assert handles.get((2, "n")) == 7
    handles.forget_agent(2)
    assert shut == [7]


def test_dead_handles_are_forgotten_and_not_shut() -> None:
    shut: list[int] = []
    handles = Handles(100, shut.append)
    handles.add((1, "n"), 7)
    handles.add((1, "n"), 8)
    handles.forget([8, 99])
    assert handles.get((1, "n")) is None
    assert shut == []
