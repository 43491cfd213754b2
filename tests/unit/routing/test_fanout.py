"""agpd/routing/fanout.py: everybody, one, or n distinct members; fair, and full ones last."""

import random
from collections import Counter
from collections.abc import Callable

import pytest

from agpd.names import Name
from agpd.routing.connections import Agent
from agpd.routing.fanout import ALL, Hop, add_observers, reach, some
from agpd.routing.subscriptions import InstanceEntry, Tenant

HOME = Tenant("acme")


class Pipe:
    def __init__(self, *, hears_itself: bool = True) -> None:
        self.full = False
        self.hears_itself = hears_itself


def member(number: int, link: Pipe | None = None) -> InstanceEntry:
    name = Name("acme", "docs", "writer", f"u{number}")
    entry = InstanceEntry(number + 1, name, HOME, None)
    entry.link = link or Pipe()
    entry.agent = Agent(name, entry.link, entry)
    return entry


def members(count: int) -> list[InstanceEntry]:
    return [member(number) for number in range(count)]


def agent_of(entry: InstanceEntry) -> Agent:
    assert entry.agent is not None
    return entry.agent


def pipe_of(entry: InstanceEntry) -> Pipe:
    assert isinstance(entry.link, Pipe)
    return entry.link


STRANGER = agent_of(member(999))


def chi_square(seen: Counter[object], cells: int) -> float:
    expected = seen.total() / cells
    return sum((seen[cell] - expected) ** 2 for cell in seen) / expected + (cells - len(seen)) * expected


def drawn(
    group: list[InstanceEntry], sender: Agent, n: int, times: int, choose: Callable[[int], int]
) -> Counter[object]:
    return Counter(
        frozenset(entry.name.instance for entry in some(list(group), sender, n, choose)) for _ in range(times)
    )


# Critical values of chi-square for p = 0.001: 3 degrees of freedom 16.27, 55 degrees 93.2.


def test_anycast_over_four_is_uniform() -> None:
    seen = drawn(members(4), STRANGER, 1, 4000, random.Random(1).randrange)
    assert chi_square(seen, 4) < 16.27


def test_fanout_3_of_8_is_uniform_over_all_subsets() -> None:
    seen = drawn(members(8), STRANGER, 3, 11200, random.Random(2).randrange)
    assert {len(subset) for subset in seen} == {3}  # type: ignore[arg-type]
    assert chi_square(seen, 56) < 93.2


@pytest.mark.parametrize(("size", "n", "subsets"), [(2, 1, 2), (4, 3, 4), (5, 3, 10), (5, 4, 5)])
def test_most_of_few_are_chosen_uniformly_too(size: int, n: int, subsets: int) -> None:
    seen = drawn(members(size), STRANGER, n, 5000, random.Random(4).randrange)
    assert len(seen) == subsets
    assert chi_square(seen, subsets) < 27.88  # 9 degrees of freedom


def test_the_test_of_uniformity_notices_a_biased_chooser() -> None:
    chance = random.Random(3)
    seen = drawn(members(4), STRANGER, 1, 4000, lambda n: min(chance.randrange(n + 1), n - 1))
    assert chi_square(seen, 4) > 16.27


def test_the_choice_stays_uniform_around_the_sender_and_the_full() -> None:
    group = members(10)
    sender = agent_of(group[4])
    for full in group[6:]:
        pipe_of(full).full = True
    for n, subsets in ((1, 5), (2, 10), (3, 10)):
        seen = drawn(group, sender, n, 5000, random.Random(n).randrange)
        assert len(seen) == subsets
        assert chi_square(seen, subsets) < 27.88  # 9 degrees of freedom


@pytest.mark.parametrize("size", [0, 1, 2, 3, 8, 60])
@pytest.mark.parametrize("n", [1, 2, 3, 5, 49, 50, 51, 2**16 - 1])
def test_n_distinct_or_all_there_are(size: int, n: int) -> None:
    group = members(size)
    decision = reach(group, STRANGER, n, random.Random(5).randrange)
    assert decision.count == len(decision.hops) == len({hop.entry for hop in decision.hops}) == min(n, size)
    assert all(hop.entry in group and hop.link is hop.entry.link for hop in decision.hops if hop.entry)


@pytest.mark.parametrize("n", [1, 2, 3, 9])
def test_the_sender_is_never_chosen(n: int) -> None:
    group = members(4)
    for _ in range(50):
        decision = reach(group, agent_of(group[0]), n, random.Random(6).randrange)
        assert group[0] not in [hop.entry for hop in decision.hops]
        assert decision.count == min(n, 3)


def test_alone_the_sender_reaches_nobody() -> None:
    group = members(1)
    for fanout in (0, 1, 2):
        assert reach(group, agent_of(group[0]), fanout, random.Random(7).randrange) == ([], 0)


@pytest.mark.parametrize(
    ("size", "ready", "n"), [(3, 1, 1), (8, 2, 2), (8, 1, 3), (40, 1, 1), (40, 3, 5), (40, 0, 2)]
)
def test_full_links_come_last(size: int, ready: int, n: int) -> None:
    group = members(size)
    for entry in group[ready:]:
        pipe_of(entry).full = True
    chosen = some(group, STRANGER, n, random.Random(8).randrange)
    assert len(set(chosen)) == n
    assert sum(pipe_of(entry).full for entry in chosen) == max(0, n - ready)


def test_members_of_one_link_are_chosen_singly() -> None:
    link = Pipe()
    group = [member(0, link), member(1, link)]
    decision = reach(group, STRANGER, 2, random.Random(9).randrange)
    assert sorted(decision.hops, key=lambda hop: str(hop.entry)) == [Hop(link, group[0]), Hop(link, group[1])]


def test_a_broadcast_makes_one_hop_for_each_link() -> None:
    link = Pipe()
    group = [member(0, link), member(1, link), member(2)]
    decision = reach(group, STRANGER, ALL, _no_chance)
    assert decision == ([Hop(link, None), Hop(pipe_of(group[2]), None)], 3)


def test_a_broadcast_spares_the_sender_but_not_its_neighbours() -> None:
    link = Pipe()
    group = [member(0, link), member(1, link), member(2)]
    assert reach(group, agent_of(group[0]), ALL, _no_chance).count == 2
    assert reach(group, agent_of(group[0]), ALL, _no_chance).hops[0].link is link
    assert reach(group, agent_of(group[2]), ALL, _no_chance) == ([Hop(link, None)], 2)


def test_a_broadcast_does_not_spare_the_full() -> None:
    group = members(2)
    pipe_of(group[0]).full = True
    assert reach(group, STRANGER, ALL, _no_chance).count == 2


def test_few_are_chosen_among_many_without_looking_at_all() -> None:
    chance, draws = random.Random(10), []
    group = members(20_000)

    class Untouched(list[InstanceEntry]):
        def __iter__(self) -> object:  # type: ignore[override]
            raise AssertionError("all members were visited")

    def choose(n: int) -> int:
        draws.append(n)
        return chance.randrange(n)

    assert len(some(Untouched(group), STRANGER, 16, choose)) == 16
    assert len(draws) < 40
    with pytest.raises(AssertionError, match="all members"):
        some(Untouched(group), STRANGER, 15_000, choose)


def test_an_observers_link_is_added_once() -> None:
    link = Pipe()
    watchers = [agent_of(member(0, link)), agent_of(member(1, link)), agent_of(member(2))]
    hops: list[Hop] = []
    add_observers(hops, watchers, STRANGER)
    assert hops == [Hop(link, None), Hop(watchers[2].link, None)]


def test_an_observer_gets_no_second_copy_of_an_unchanged_message() -> None:
    entry = member(0)
    as_it_is = [Hop(pipe_of(entry), None)]
    add_observers(as_it_is, [agent_of(entry)], STRANGER)
    assert len(as_it_is) == 1
    chosen = [Hop(pipe_of(entry), entry)]  # addressed to the instance: the observer needs its own
    add_observers(chosen, [agent_of(entry)], STRANGER)
    assert chosen[1:] == [Hop(pipe_of(entry), None)]


def test_an_observing_sender_gets_no_copy_but_its_neighbour_does() -> None:
    link = Pipe()
    sender, neighbour = agent_of(member(0, link)), agent_of(member(1, link))
    hops: list[Hop] = []
    add_observers(hops, [sender], sender)
    assert hops == []
    add_observers(hops, [sender, neighbour], sender)
    assert hops == [Hop(link, None)]


def _no_chance(n: int) -> int:
    raise AssertionError("a broadcast needs no chance")


@pytest.mark.parametrize("fanout", [0, 1, 2, 3, 9])
def test_nothing_goes_back_to_a_link_that_does_not_hear_itself(fanout: int) -> None:
    group = members(4)
    home = Pipe(hears_itself=False)
    sender, neighbour = member(10, home), member(11, home)
    for _ in range(50):
        links = [
            hop.link
            for hop in reach(
                [sender, neighbour, *group], agent_of(sender), fanout, random.Random(3).randrange
            ).hops
        ]
        assert home not in links
        assert len(links) == len(set(links)) == (min(fanout, 4) or 4)


def test_agents_of_a_link_that_hears_itself_reach_each_other() -> None:
    home = Pipe()
    sender, neighbour = member(10, home), member(11, home)
    assert reach([sender, neighbour], agent_of(sender), 0, random.Random(1).randrange).count == 1


@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("fanout", [0, 1, 2, 3, 9])
def test_separate_agents_and_others_get_nothing_from_each_other(fanout: int, separate: bool) -> None:
    group = members(8)
    for entry in group[::2]:
        agent_of(entry).separate = True
    sender = member(10)
    agent_of(sender).separate = separate
    suit = {entry.link for entry in group if agent_of(entry).separate is separate}
    chance = random.Random(3).randrange
    for _ in range(50):
        decision = reach([sender, *group], agent_of(sender), fanout, chance)
        assert {hop.link for hop in decision.hops} <= suit
        assert decision.count == len(decision.hops) == (min(fanout, 4) or 4)
    watching = [agent_of(entry) for entry in group]
    hops: list[Hop] = []
    add_observers(hops, watching, agent_of(sender))
    assert {hop.link for hop in hops} == suit


@pytest.mark.parametrize("n", [1, 2, 3, 5, 7])
def test_a_link_that_does_not_hear_itself_gets_one_copy_for_all_of_its_agents(n: int) -> None:
    shared = Pipe(hears_itself=False)
    group = [member(number, shared if number % 2 else None) for number in range(12)]
    for seed in range(20):
        got = some(list(group), STRANGER, n, random.Random(seed).randrange)
        assert len({entry.link for entry in got}) == len(got) == n
