"""slim-bindings 3.3.8 at the gateway: point to point, groups, both with MLS, anycast, refusals, a restart."""

import contextlib
import re
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import gateways
import pytest
import slim_dialogue
from dialogue import Failed, Worker
from gateways import Agpd
from lab import fresh
from office import Office, open_office
from slim_dialogue import Agent
from wheels import SLIM, python

BIG_BYTES = 1024 * 1024


class Cast:
    """Agents at one gateway, with names that nobody else uses."""

    def __init__(self, worker: Worker, endpoint: str) -> None:
        self.worker, self.endpoint = worker, endpoint

    def join(self, name: str = "", *, subscribe: bool = True) -> Agent:
        return slim_dialogue.join(self.worker, name or fresh("agent"), self.endpoint, subscribe=subscribe)


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    made = slim_dialogue.worker()
    yield made
    made.close()


@pytest.fixture
def cast(common: Agpd, worker: Worker) -> Iterator[Cast]:
    yield Cast(worker, common.url)
    worker.call("leave_all")


def heard_again(sender: Agent, session: int, receiver: Agent, attempts: int = 15) -> str:
    """Publish until something comes; its text."""
    for _ in range(attempts):
        sender.publish(session, "again")
        with contextlib.suppress(Failed):
            return receiver.take(patience_s=1.0)[0].text
    pytest.fail("nothing came")


@pytest.mark.parametrize("mls", [False, True], ids=["plain", "mls"])
def test_point_to_point(cast: Cast, mls: bool) -> None:
    asker, answerer = cast.join(), cast.join()
    answerer.answer_all()
    session = asker.session(answerer.name, mls=mls)
    texts = [f"message {number}" for number in range(20)]
    asker.publish(session, texts)
    got = answerer.take(20)
    assert [message.text for message in got] == texts
    assert {message.source for message in got} == {asker.name}
    assert {message.id for message in got} == {asker.id}
    assert got[0].metadata.items() >= {("key", "value")}  # with MLS the client adds to it
    assert [message.text for message in asker.take(20)] == [text.upper() for text in texts]


@pytest.mark.parametrize("mls", [False, True], ids=["plain", "mls"])
def test_a_group(cast: Cast, mls: bool) -> None:
    moderator, first, second, stranger = (cast.join() for _ in range(4))
    room = fresh("room")
    session = moderator.group(room, [first, second], mls=mls)
    moderator.publish(session, "to all")
    assert [first.take()[0].text, second.take()[0].text] == ["to all", "to all"]
    first.publish(0, "from a member")
    assert [moderator.take()[0].text, second.take()[0].text] == ["from a member"] * 2
    second.publish(0, ["one", "two", "three"])
    for member in (moderator, first):
        assert [message.text for message in member.take(3)] == ["one", "two", "three"]
    assert not first.waiting()  # nothing of its own came back
    assert not second.waiting()
    assert not stranger.waiting()


def test_two_groups_of_one_name_do_not_hear_each_other(cast: Cast) -> None:
    room = fresh("room")
    ones, others = ([cast.join() for _ in range(3)] for _ in range(2))
    sessions = [each[0].group(room, each[1:]) for each in (ones, others)]
    for each, session, text in zip((ones, others), sessions, ("for ones", "for others"), strict=True):
        each[0].publish(session, text)
    for each, text in zip((ones, others), ("for ones", "for others"), strict=True):
        assert [member.take()[0].text for member in each[1:]] == [text, text]
    assert not any(member.waiting() for member in (*ones, *others))


def test_who_is_removed_from_a_group_hears_no_more_of_it(cast: Cast) -> None:
    moderator, stays, goes = (cast.join() for _ in range(3))
    session = moderator.group(fresh("room"), [stays, goes])
    moderator.publish(session, "both")
    assert [stays.take()[0].text, goes.take()[0].text] == ["both", "both"]
    moderator.remove(session, goes)
    moderator.publish(session, "one")
    assert stays.take()[0].text == "one"
    assert not goes.waiting()


def test_an_answer_to_the_sender_alone(cast: Cast) -> None:
    moderator, first, second = (cast.join() for _ in range(3))
    session = moderator.group(fresh("room"), [first, second])
    moderator.publish(session, "who is there?")
    first.answer(first.take()[0], "I")
    assert moderator.take()[0].text == "I"
    assert second.take()[0].text == "who is there?"
    assert not second.waiting()


def test_anycast_discovery_finds_one_and_stays_with_it(cast: Cast) -> None:
    kind = fresh("crew")
    crew = [cast.join(kind) for _ in range(3)]
    asker = cast.join()
    chosen = set()
    for number in range(12):
        session = asker.session(kind)
        texts = [f"{number}.{each}" for each in range(3)]
        asker.publish(session, texts)
        heard = [[message.text for message in member.waiting()] for member in crew]
        assert sorted(heard, key=len) == [[], [], texts]
        chosen.add(heard.index(texts))
    assert len(chosen) > 1  # chance would have to be 3 ** -11 otherwise


def test_the_id_reaches_one_instance(cast: Cast) -> None:
    kind = fresh("crew")
    crew = [cast.join(kind) for _ in range(3)]
    asker = cast.join()
    for number, member in enumerate(crew):
        asker.publish(asker.session(kind, member.id), f"for {number}")
    for number, member in enumerate(crew):
        assert [message.text for message in member.waiting()] == [f"for {number}"]


def test_nobody_there(cast: Cast) -> None:
    asker = cast.join()
    for id_ in (None, str(uuid.UUID(int=7))):
        with pytest.raises(Failed) as failed:
            asker.session(fresh("nobody"), id_)
        assert failed.value.kind == "refused"
    answerer = cast.join()  # and its stream goes on
    asker.publish(asker.session(answerer.name), "still here")
    assert answerer.take()[0].text == "still here"


def test_who_has_unsubscribed_is_not_found(cast: Cast) -> None:
    asker, answerer = cast.join(), cast.join()
    answerer.unsubscribe(answerer.name)
    with pytest.raises(Failed):
        asker.session(answerer.name)
    answerer.subscribe(answerer.name)
    asker.publish(asker.session(answerer.name), "back")
    assert answerer.take()[0].text == "back"


def test_another_name_of_an_agent(cast: Cast) -> None:
    asker, answerer = cast.join(), cast.join()
    alias = fresh("alias")
    answerer.subscribe(alias, own=False)  # its own id goes with it
    asker.publish(asker.session(alias), "by another name")
    assert answerer.take()[0].text == "by another name"


def test_a_large_message(cast: Cast) -> None:
    asker, answerer = cast.join(), cast.join()
    asker.publish(asker.session(answerer.name), "large", pad=BIG_BYTES)
    assert answerer.take()[0].size == BIG_BYTES


def test_too_large_a_message_costs_nobody_the_stream(cast: Cast) -> None:
    asker, answerer = cast.join(), cast.join()
    session = asker.session(answerer.name, reliable=False)
    asker.publish(session, "too large", pad=4 * BIG_BYTES, confirmed=False)
    asker.publish(session, "small", confirmed=False)
    assert answerer.take()[0].text == "small"


def test_after_a_restart_of_the_gateway_all_subscriptions_are_there(worker: Worker, tmp_path: Path) -> None:
    port = gateways.free_port()
    with gateways.agpd(tmp_path, port=port) as running:
        cast = Cast(worker, running.url)
        asker, answerer = cast.join(), cast.join()
        session = asker.session(answerer.name)
        asker.publish(session, "before")
        assert answerer.take()[0].text == "before"
        # In order: a client whose attempt to reconnect is reset, as a crash may do, gives up without a word.
        running.process.stop()
    with gateways.agpd(tmp_path, port=port):
        # What is published while a client is not connected is lost, or hangs until the next message; with the node of
        # the wheel too. So it is repeated, and the first that comes shows that both have subscribed again.
        assert heard_again(asker, session, answerer) == "again"
    worker.call("leave_all")


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with open_office(tmp_path_factory.mktemp("secure")) as office:
        office.tenant("acme")
        yield office


def talk(worker: Worker, office: Office, files: dict[str, str], **options: dict[str, str]) -> None:
    """Two agents who connect so understand each other."""
    ca = {"ca": str(office.world.directory / "ca.pem")}
    asker, answerer = (
        slim_dialogue.join(worker, fresh("agent"), office.gateway.url, ca | files, **options)  # type: ignore[arg-type]
        for _ in range(2)
    )
    asker.publish(asker.session(answerer.name), "hello")
    assert answerer.take()[0].text == "hello"
    worker.call("leave_all")


def test_a_certificate_a_token_and_a_secret(worker: Worker, office: Office, tmp_path: Path) -> None:
    made = office.world.issue("acme/lab/*", "acme-lab")
    talk(worker, office, {"certificate": str(made.certificate), "key": str(made.key)})
    secret = office.client("acme.lab", "acme", "acme/lab/*")
    (tmp_path / "token").write_text(office.token("acme", secret))
    talk(worker, office, {}, auth={"token_file": str(tmp_path / "token")})
    talk(worker, office, {}, auth={"username": secret.client, "password": secret.secret})


def test_a_certificate_says_which_name_an_agent_may_have(worker: Worker, office: Office) -> None:
    made = office.world.issue("acme/lab/slim-narrow", "narrow")
    ca = str(office.world.directory / "ca.pem")
    files = {"ca": ca, "certificate": str(made.certificate), "key": str(made.key)}
    assert slim_dialogue.join(worker, "acme/lab/narrow", office.gateway.url, files).id
    with pytest.raises(Failed) as failed:
        slim_dialogue.join(worker, "acme/lab/another", office.gateway.url, files)
    assert failed.value.kind == "refused"
    assert "rejected" in str(failed.value)  # the client keeps the reason to itself
    worker.call("leave_all")


def test_the_agent_of_the_page_is_answered(common: Agpd) -> None:
    page = Path(__file__).parents[2] / "docs/howto/slim-clients.md"
    [code] = re.findall(
        r"^```\{\.python \.fragment\}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE
    )
    done = subprocess.run(
        [str(python(SLIM)), "-c", code, common.url], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "answer: PING\n" in done.stdout
