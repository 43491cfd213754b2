"""What tests have to forgive the clients, each by its name.

These are faults of the clients, or of what they agreed on, and no gateway can mend them. A test calls the function
whose text says why, and nowhere is anything tried again without one.
"""

from dialogue import Agent, Failed, Message

ATTEMPTS = 3


def asked_again(agent: Agent, session: int, body: str, name: str) -> str:
    """The answer to a request that is sent again if it times out.

    agp-bindings 0.3.x, slim-bindings 0.3.6: the request leaves before its timer is stored, so an answer that comes
    fast is now and then thrown away, about one in some thousand.
    """
    for _ in range(ATTEMPTS - 1):
        try:
            return agent.request(session, body, name)
        except Failed as error:
            if error.kind != "timeout":
                raise
    return agent.request(session, body, name)


def first_of_a_session(agent: Agent) -> Message:
    """The first message of a session that another client has begun.

    All that speak AGP: it comes from `receive()` and once more from `receive(session=...)`; here the second is taken
    away.
    """
    first = agent.receive()
    again = agent.receive(first.session)
    assert (again.text, again.size) == (first.text, first.size)
    return first
