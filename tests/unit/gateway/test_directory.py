"""agpd/gateway/directory.py: hashes as segments and back, who may teach it what, and that it stays small."""

import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agpd.errors import Code, Refused
from agpd.gateway.directory import Directory, is_reserved, nameless
from agpd.names import Name, is_segment, parse
from agpd.wire.hashes import Family, component, siphash, triple, xxhash64

SIP, XX = Family.SIPHASH, Family.XXHASH
CHAT = ("acme", "dev", "chat")


def known(*names, **limits):
    directory = Directory(**limits)
    for each in names:
        directory.learn(each)
    return directory


def code_of(act, *arguments, **options):
    with pytest.raises(Refused) as caught:
        act(*arguments, **options)
    return caught.value.code


# ---- hash to segment


def test_what_is_known_and_fits_is_itself():
    assert known(CHAT).name(triple(SIP, CHAT)) == parse("acme/dev/chat")


def test_types_of_the_other_hash_are_strangers_in_shared_namespaces():
    assert known(CHAT).name(triple(XX, CHAT)) == parse("acme/dev/slim-chat")


def test_what_is_unknown_is_its_hash():
    hashes = triple(SIP, CHAT)
    assert Directory().name(hashes) == Name(*map(nameless, hashes))
    assert known(("acme",)).name(hashes) == Name("acme", nameless(hashes[1]), nameless(hashes[2]))
    assert nameless(siphash("chat")) == "h-458009fbb2c4c3ae"


def test_a_nameless_type_still_shows_its_family():
    hashes = triple(XX, CHAT)
    assert known(("acme", "dev")).name(hashes) == Name("acme", "dev", f"slim-{nameless(hashes[2])}")


@pytest.mark.parametrize("text", ["Chat", "Ünïcode", "x" * 64, "", "a b", nameless(5), "slim-chat", "slim-"])
def test_a_type_that_does_not_fit_is_its_hash(text):
    names = ("acme", "dev", text)
    assert known(names).name(triple(SIP, names)) == Name("acme", "dev", nameless(siphash(text)))


@pytest.mark.parametrize("text", ["Chat", "Ünïcode", "x" * 59, "a b", nameless(5)])
def test_a_type_that_does_not_fit_with_its_prefix_is_its_hash(text):
    names = ("acme", "dev", text)
    assert known(names).name(triple(XX, names)) == Name("acme", "dev", f"slim-{nameless(xxhash64(text))}")


def test_a_namespace_that_does_not_fit_is_its_hash():
    names = ("Acme", "Dev", "chat")
    hashes = triple(SIP, names)
    assert known(names).name(hashes) == Name(nameless(hashes[0]), nameless(hashes[1]), "chat")


def test_what_one_organization_is_told_another_does_not_know():
    directory = known(CHAT, ("umbrella", "dev"))
    hashes = triple(SIP, ("umbrella", "dev", "chat"))
    assert directory.name(hashes) == Name("umbrella", "dev", nameless(hashes[2]))


# ---- segment to hash


@pytest.mark.parametrize(
    ("text", "family", "names"),
    [
        ("acme/dev/chat", SIP, CHAT),
        ("acme/dev/chat/0000000000000005", SIP, CHAT),
        ("acme/dev/slim-chat", XX, CHAT),
        ("acme/dev/slim-", XX, ("acme", "dev", "")),
    ],
)
def test_the_address_of_a_name_needs_no_memory(text, family, names):
    assert Directory().address(parse(text)) == (family, triple(family, names))


def test_the_address_of_a_hash_is_the_hash():
    name = parse("acme/h-00000000000000aa/slim-h-00000000000000bb")
    assert Directory().address(name) == (XX, (xxhash64("acme"), 0xAA, 0xBB))


TEXTS = st.sampled_from(["acme", "dev", "chat", "Chat", "slim-chat", "slim-", "", nameless(7)]) | st.text(
    max_size=70
)


@given(st.sampled_from(Family), st.tuples(TEXTS, TEXTS, TEXTS))
def test_every_name_of_a_client_comes_back_as_the_hashes_that_it_was(family, names):
    hashes = triple(family, names)
    for directory in (known(names), known(names[:2]), known(names[:1])):
        name = directory.name(hashes)
        assert all(is_segment(each) for each in name[:3])
        assert directory.address(name) == (family, hashes)


SEGMENTS = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,62}", fullmatch=True) | st.sampled_from(
    ["slim-x", "slim-", "slim-h-x", "h-1"]
)
KINDS = st.from_regex(r"(slim-)?[a-z0-9_-]{1,20}", fullmatch=True).filter(is_segment)


@given(SEGMENTS, SEGMENTS, KINDS)
def test_every_native_name_comes_back_as_it_was(organization, namespace, kind):
    names = (organization, namespace, kind.removeprefix("slim-"))
    name = Name(organization, namespace, kind)
    if not any(is_reserved(each) for each in name):
        directory = known(names)
        assert directory.name(directory.address(name)[1]) == name


@pytest.mark.parametrize("segment", [nameless(0), f"slim-{nameless(2**64 - 1)}"])
def test_reserved_segments(segment):
    assert is_reserved(segment)
    assert not any(
        map(is_reserved, (segment[:-1], segment + "0", "slim-chat", "h-", segment.replace("h-", "i-")))
    )


# ---- logs


def test_logs_show_texts_that_are_no_segments_escaped():
    names = ("acme", "Dev", "Ü\nx")
    directory = known(names)
    assert directory.display(triple(SIP, names)) == "acme/Dev/\\xdc\\nx"
    assert directory.display(triple(XX, (*names[:2], "y"))) == f"acme/Dev/{nameless(xxhash64('y'))}"
    assert Directory().display((1, 2, 3)) == "/".join(map(nameless, (1, 2, 3)))


# ---- learning and forgetting


def test_learning_says_what_has_changed():
    directory = Directory()
    assert directory.learn(("acme",)) == {siphash("acme"), xxhash64("acme")}
    assert directory.learn(CHAT) == {of(text) for text in ("dev", "chat") for of in (siphash, xxhash64)}
    assert directory.learn(CHAT) == frozenset()
    assert directory.forget(CHAT) == frozenset()


def test_a_name_stays_when_its_users_have_gone():
    directory = known(CHAT)
    directory.forget(CHAT)
    assert directory.name(triple(SIP, CHAT)) == parse("acme/dev/chat")
    assert directory.learn(CHAT) == frozenset()


def test_a_text_that_is_too_long_is_not_kept():
    directory = known(("acme", "x" * 256, "y" * 255))
    assert len(directory) == 1
    directory.forget(("acme", "x" * 256, "y" * 255))


def test_the_same_text_twice_in_a_name_counts_once():
    directory = known(("acme", "chat", "chat"))
    directory.forget(("acme", "chat", "chat"))
    assert len(directory) == 1


def test_idle_texts_go_when_room_is_needed_the_oldest_first():
    directory = known(*(("acme", "dev", kind) for kind in "abc"), texts_per_organization_limit=4)
    for kind in "bac":
        directory.forget(("acme", "dev", kind))
    changed = directory.learn(("acme", "dev", "d"))
    assert changed == {of(text) for text in "bd" for of in (siphash, xxhash64)}
    assert directory.name(triple(SIP, ("acme", "dev", "b"))).type == nameless(siphash("b"))
    assert directory.name(triple(SIP, ("acme", "dev", "a"))).type == "a"


def test_no_text_in_use_goes():
    directory = known(("acme", "dev", "a"), texts_per_organization_limit=2)
    assert code_of(directory.learn, ("acme", "dev", "b")) is Code.QUOTA_EXCEEDED
    assert code_of(directory.learn, ("acme", "dev", "b")) is Code.QUOTA_EXCEEDED
    assert directory.name(triple(SIP, ("acme", "dev", "a"))).type == "a"
    assert len(directory) == 2
    directory.learn(("umbrella", "dev", "b"))


def test_a_text_that_is_used_again_is_not_idle():
    directory = known(("acme", "dev", "a"), ("acme", "dev", "b"), texts_per_organization_limit=3)
    for kind in "ab":
        directory.forget(("acme", "dev", kind))
    directory.learn(("acme", "dev", "a"))
    directory.learn(("acme", "dev", "c"))
    assert directory.name(triple(SIP, ("acme", "dev", "a"))).type == "a"
    assert directory.name(triple(SIP, ("acme", "dev", "b"))).type == nameless(siphash("b"))


def test_no_more_go_than_must_where_both_limits_are_reached():
    directory = known(
        ("acme", "a"), ("acme", "b"), ("umbrella", "c"), texts_limit=3, texts_per_organization_limit=2
    )
    for names in (("umbrella", "c"), ("acme", "a"), ("acme", "b")):
        directory.forget(names)
    directory.learn(("acme", "d"))
    assert len(directory) == 3
    assert directory.name(triple(SIP, ("umbrella", "c", "c"))).namespace == "c"


def test_an_organization_of_which_nothing_is_kept_goes_with_its_last_user():
    directory = known(("acme", "x" * 256))
    assert directory.forget(("acme", "x" * 256)) == {siphash("acme"), xxhash64("acme")}
    assert directory.name(triple(SIP, CHAT)).organization == nameless(siphash("acme"))


def test_what_is_about_to_be_used_does_not_go():
    directory = known(("acme", "dev"), ("acme", "old"), texts_per_organization_limit=2)
    directory.forget(("acme", "dev"))
    assert code_of(directory.learn, ("acme", "dev", "b")) is Code.QUOTA_EXCEEDED
    directory.forget(("acme", "old"))
    directory.learn(("acme", "dev", "b"))


def test_idle_texts_of_others_go_when_there_is_no_room_in_all():
    directory = known(("acme", "dev", "a"), texts_limit=2)
    directory.forget(("acme", "dev", "a"))
    changed = directory.learn(("umbrella", "dev", "b"))
    assert siphash("acme") in changed  # nothing is known of it any more
    assert code_of(directory.learn, ("initech", "x")) is Code.QUOTA_EXCEEDED


def test_for_our_own_names_there_is_always_room():
    directory = Directory(texts_limit=1, texts_per_organization_limit=1)
    for kind in "abc":
        directory.learn(("acme", "dev", kind), ours=True)
    assert len(directory) == 4
    for kind in "abc":
        directory.forget(("acme", "dev", kind), ours=True)
    directory.learn(("acme", "dev", "d"), ours=True)
    assert len(directory) == 2


def test_a_text_that_is_ours_too_does_not_count_for_clients():
    directory = known(("acme", "dev"), texts_per_organization_limit=1)
    directory.learn(("acme", "dev"), ours=True)
    directory.learn(("acme", "prod"))
    directory.forget(("acme", "dev"), ours=True)
    assert code_of(directory.learn, ("acme", "test")) is Code.QUOTA_EXCEEDED


# ---- collisions


def weak(family, text):
    """Collides for texts that begin alike."""
    return zlib.crc32(text[:1].encode()) if family is SIP else component(family, text)


def test_a_text_with_the_hash_of_another_is_refused_and_counted():
    directory = Directory(component=weak)
    directory.learn(CHAT)
    before = directory.name(tuple(weak(SIP, each) for each in CHAT))
    for names in (("acme", "dev", "cat"), ("acme", "dog"), ("alpha",)):
        assert code_of(directory.learn, names) is Code.NAME_TAKEN
    assert directory.collisions == 3
    assert directory.name(tuple(weak(SIP, each) for each in CHAT)) == before
    assert len(directory) == 2


def test_two_texts_of_one_name_with_the_same_hash_are_refused():
    assert code_of(Directory(component=weak).learn, ("acme", "dev", "dog")) is Code.NAME_TAKEN


def test_organizations_do_not_collide_in_what_is_theirs():
    directory = Directory(component=weak)
    directory.learn(CHAT)
    directory.learn(("umbrella", "dog", "cat"))
    assert directory.collisions == 0


# ---- against a naive model

LIMIT, LIMIT_IN_ALL = 3, 5
ORGANIZATIONS, LETTERS = st.sampled_from(["A", "b"]), st.sampled_from(["d", "e", "F", "h", "hh", "x" * 300])


class Machine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.directory = Directory(
            texts_limit=LIMIT_IN_ALL, texts_per_organization_limit=LIMIT, component=weak
        )
        self.users = []
        self.names = {}

    def hashes(self):
        """Every address that a client could use."""
        texts = ("d", "e", "F", "h", "hh")
        for organization in ("A", "b"):
            for family in Family:
                for text in texts:
                    yield tuple(weak(family, each) for each in (organization, text, text))

    @rule(
        names=st.tuples(ORGANIZATIONS, LETTERS, LETTERS) | st.tuples(ORGANIZATIONS, LETTERS),
        ours=st.booleans(),
    )
    def learn(self, names, ours):
        try:
            changed = self.directory.learn(names, ours=ours)
        except Refused as refused:
            if refused.code not in (Code.NAME_TAKEN, Code.QUOTA_EXCEEDED):
                raise
            changed = frozenset()
        else:
            self.users.append((names, ours))
        self.notice(changed)

    @precondition(lambda self: self.users)
    @rule(data=st.data())
    def forget(self, data):
        names, ours = self.users.pop(data.draw(st.integers(0, len(self.users) - 1)))
        self.notice(self.directory.forget(names, ours=ours))

    def notice(self, changed):
        """Nobody has to ask anew but who holds a hash of those that are told."""
        for hashes in self.hashes():
            name = self.directory.name(hashes)
            if self.names.setdefault(hashes, name) != name:
                assert changed.intersection(hashes)
                self.names[hashes] = name

    @invariant()
    def what_is_used_is_known(self):
        for names, _ in self.users:
            kept = [each for each in names[1:] if len(each) < 256]
            for family in Family:
                hashes = [weak(family, each) for each in (names[0], *kept, *kept)][:3]
                if len(hashes) == 3:
                    shown = self.directory.display(tuple(hashes))
                    assert shown == "/".join(
                        (names[0], *kept, *kept)[:3] if len(kept) == 1 else (names[0], *kept)
                    )

    @invariant()
    def it_is_bounded(self):
        ours = {(names[0], each) for names, own in self.users if own for each in names[1:] if len(each) < 256}
        assert (
            len(self.directory) <= len(ours) + LIMIT_IN_ALL + 4
        )  # idle ones that were ours go with the next learn


TestAgainstAModel = Machine.TestCase
TestAgainstAModel.settings = settings(max_examples=40, stateful_step_count=25)
