"""Who a client is: certificates, tokens, secrets, and what happens without."""

import time
from collections.abc import Iterator
from pathlib import Path

import dialogue
import gateways
import pytest
from dialogue import Agent, Failed
from lab import Lab, fresh
from office import Office, Secret, open_office
from scenarios.process import World
from wheels import AGP, LATEST, SLIM_OLD

KEEPALIVE_S = 10.0
REFUSED_S = 2.5


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with open_office(tmp_path_factory.mktemp("secure")) as office:
        office.tenant("acme")
        office.tenant("globex")
        yield office


@pytest.fixture(scope="module")
def secret(office: Office) -> Secret:
    return office.client("acme.lab", "acme", "acme/lab/*")


@pytest.fixture(scope="module")
def ca(office: Office) -> str:
    return str(office.world.directory / "ca.pem")


@pytest.fixture(scope="module")
def pair(office: Office) -> dict[str, str]:
    """The part of `tls` that is a certificate for all agents of acme/lab."""
    made = office.world.issue("acme/lab/*", "acme-lab")
    return {"cert_file": str(made.certificate), "key_file": str(made.key)}


def talk(lab: Lab, office: Office, wheel: str = LATEST, **config: object) -> tuple[Agent, Agent]:
    """Two agents who connect so understand each other."""
    worker = lab.worker(wheel)
    config = {"endpoint": office.gateway.url, **config}
    bob, alice = (dialogue.join(worker, fresh(name), config) for name in ("bob", "alice"))
    alice.tell("hello", bob.name)
    bob.answer(bob.take()[0], "hello yourself")
    assert [message.text for message in alice.take()] == ["hello yourself"]
    return bob, alice


def refused(lab: Lab, office: Office, **config: object) -> None:
    """There is no stream: `connect` tries again and again."""
    worker = lab.worker()
    with pytest.raises(Failed, match="timeout"):
        dialogue.join(
            worker,
            fresh("bob"),
            {"endpoint": office.gateway.url, **config},
            settle=False,
            patience_s=REFUSED_S,
        )


@pytest.mark.parametrize("wheel", [*AGP, SLIM_OLD])
def test_mutual_tls_with_files(lab: Lab, office: Office, ca: str, pair: dict[str, str], wheel: str) -> None:
    talk(lab, office, wheel, tls={"ca_file": ca, **pair})


def test_mutual_tls_with_texts_and_tls_12_is_refused(
    lab: Lab, office: Office, ca: str, pair: dict[str, str]
) -> None:
    texts = {
        "ca_pem": Path(ca).read_text(),
        "cert_pem": Path(pair["cert_file"]).read_text(),
        "key_pem": Path(pair["key_file"]).read_text(),
    }
    talk(lab, office, tls=texts)
    refused(lab, office, tls={**texts, "tls_version": "tls1.2"})


def test_a_client_that_does_not_verify_the_gateway_is_served(
    lab: Lab, office: Office, pair: dict[str, str]
) -> None:
    talk(lab, office, tls={"insecure_skip_verify": True, **pair})


def test_a_token_in_place_of_a_certificate(lab: Lab, office: Office, ca: str, secret: Secret) -> None:
    token = office.token("acme", secret)
    talk(lab, office, tls={"ca_file": ca}, auth={"bearer": {"token": token}})
    talk(lab, office, tls={"ca_file": ca}, headers={"authorization": f"Bearer {token}"})


@pytest.mark.parametrize("wheel", [AGP[0], LATEST])
def test_the_secret_of_a_client(lab: Lab, office: Office, ca: str, secret: Secret, wheel: str) -> None:
    basic = {"username": secret.client, "password": secret.secret}
    talk(lab, office, wheel, tls={"ca_file": ca}, auth={"basic": basic})


def test_a_header_that_means_nothing_to_the_gateway(
    lab: Lab, office: Office, ca: str, pair: dict[str, str]
) -> None:
    talk(lab, office, tls={"ca_file": ca, **pair}, headers={"x-team": "blue"})


def test_nothing_to_show_gives_no_stream(lab: Lab, office: Office, ca: str) -> None:
    refused(lab, office, tls={"ca_file": ca})


def test_a_wrong_token_gives_no_stream(lab: Lab, office: Office, ca: str) -> None:
    refused(lab, office, tls={"ca_file": ca}, auth={"bearer": {"token": "not.a.token"}})


def test_a_wrong_secret_gives_no_stream(lab: Lab, office: Office, ca: str, secret: Secret) -> None:
    basic = {"username": secret.client, "password": "agps_wrong"}
    refused(lab, office, tls={"ca_file": ca}, auth={"basic": basic})


def test_a_certificate_of_another_authority_gives_no_stream(
    lab: Lab, office: Office, ca: str, tmp_path: Path
) -> None:
    other = World(tmp_path).issue("acme/lab/*", "stranger")
    pair = {"cert_file": str(other.certificate), "key_file": str(other.key)}
    refused(lab, office, tls={"ca_file": ca, **pair})


def test_a_client_refuses_a_gateway_that_it_does_not_trust(
    lab: Lab, office: Office, pair: dict[str, str], tmp_path: Path
) -> None:
    other = World(tmp_path)
    refused(lab, office, tls={"ca_file": str(other.directory / "ca.pem"), **pair})


def test_an_agent_cannot_speak_as_one_that_its_certificate_does_not_name(
    lab: Lab, office: Office, ca: str, pair: dict[str, str]
) -> None:
    tls = {"ca_file": ca, **pair}
    bob, _ = talk(lab, office, tls=tls)
    stranger = fresh("mallory").replace("acme/lab", "globex/lab")
    config: dict[str, object] = {"endpoint": office.gateway.url, "tls": tls}
    mallory = dialogue.join(lab.worker(), stranger, config, settle=False)
    mallory.tell("from globex", bob.name)
    honest = dialogue.join(lab.worker(), fresh("honest"), config)
    honest.tell("from acme", bob.name)
    assert [message.text for message in bob.take()] == ["from acme"]
    assert bob.waiting() == []


def test_pings_each_second_end_nothing(lab: Lab, tmp_path: Path) -> None:
    world = World(tmp_path / "pki")
    pair = world.issue("acme/lab/*", "acme-lab")
    tls = {"ca_file": str(world.directory / "ca.pem")}
    tls |= {"cert_file": str(pair.certificate), "key_file": str(pair.key)}
    keepalive = {"http2_keepalive": "1s", "timeout": "1s", "keep_alive_while_idle": True}
    with gateways.agpd(tmp_path, world) as running:
        config: dict[str, object] = {"endpoint": running.url, "tls": tls, "keepalive": keepalive}
        bob, alice = (dialogue.join(lab.worker(), fresh(name), config) for name in ("bob", "alice"))
        time.sleep(KEEPALIVE_S)  # nothing to wait for: nothing may happen
        alice.tell("still here", bob.name)
        assert [message.text for message in bob.take()] == ["still here"]
        lab.leave_all()
        # Two agents, and the one that `settle` needs: nobody has come twice.
        assert running.stop() == 3
