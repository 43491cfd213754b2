"""The agents of the demo, plain functions in the place of language models. `python -m examples.workflow.agents ROLE`.

The gateway and the certificate come from the environment (AGP_URL, AGP_CERTIFICATE, AGP_KEY, AGP_CA). What an agent
prints is for people; a line `step: ...` is a step of the workflow that has happened.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable

import agpd_client as agp
from examples.workflow.documents import (
    DRAFTS,
    INTERFACE,
    NEWS,
    ORCHESTRATOR,
    REVIEWER,
    REVIEWERS,
    WRITER,
    Draft,
    News,
    Review,
    Task,
)

PATIENCE_S = 5.0
GRACE_S = 1.0
FACTS = ("They hold hands while they sleep.", "They use stones as tools.", "Their fur is the densest of all.")


def step(name: str) -> None:
    """A step of the checklist has happened."""
    say(f"step: {name}")


def say(text: str) -> None:
    print(text, flush=True)


async def news_until_the_end(news: agp.Subscription[News]) -> None:
    """Read the topic until the orchestrator says that it is over."""
    async for message in news:
        say(f"news: {message.data.text}")
        if message.data.is_last:
            return


async def writer(gateway: agp.Gateway) -> None:
    """Writes drafts on request; hears of each review directly."""
    agent = await gateway.create_agent(WRITER)
    news = await agent.subscribe(NEWS, type=News)

    @agent.on_request
    def write(task: Task) -> Draft:
        return Draft(task.topic, task.number, FACTS[task.number % len(FACTS)], agent.name)

    reading = asyncio.create_task(read_reviews(agent))
    await news_until_the_end(news)
    step("writer: heard the end")
    await asyncio.wait_for(reading, GRACE_S)
    step("writer: reviews came by full name")


async def read_reviews(agent: agp.Agent) -> None:
    for _ in range(DRAFTS):
        review = (await agent.receive(type=Review)).data
        say(f"draft {review.number}: {review.verdict}")


async def reviewer(gateway: agp.Gateway) -> None:
    """Takes drafts that are for any one reviewer; answers the author and the sender."""
    agent = await gateway.create_agent(REVIEWER)
    news = await agent.subscribe(NEWS, type=News)
    working = asyncio.create_task(review_drafts(agent))
    await news_until_the_end(news)
    working.cancel()
    step("reviewer: heard the end")


async def review_drafts(agent: agp.Agent) -> None:
    async for message in agent:
        draft: Draft = message.decode(Draft)
        verdict = "good" if len(draft.text) < 30 else "good, but long"
        say(f"reviewing draft {draft.number}")
        review = Review(draft.number, agent.name, verdict)
        await agent.publish(draft.author, review)
        await agent.publish(message.source, review)


async def interface(gateway: agp.Gateway) -> None:
    """Stands for the person: asks for the document, watches the news, gets the result."""
    agent = await gateway.create_agent(INTERFACE)
    news = await agent.subscribe(NEWS, type=News)
    hearing = asyncio.create_task(news_until_the_end(news))
    await until_present(agent, ORCHESTRATOR, 1)
    say("asking for a document about otters")
    text: str = await agent.request(ORCHESTRATOR, "otters", type=str, timeout=PATIENCE_S * 3)
    step("interface: the request was answered")
    say(f"the document: {text}")
    await hearing
    step("interface: heard the news")


async def orchestrator(gateway: agp.Gateway) -> None:
    """Waits until all are there, then lets one draft after the other be written and reviewed."""
    agent = await gateway.create_agent(ORCHESTRATOR)
    done = asyncio.Event()

    @agent.on_request
    async def make_document(topic: str) -> str:
        try:
            await until_present(agent, WRITER, 1)
            await until_present(agent, REVIEWER, REVIEWERS)
            await until_present(agent, NEWS, REVIEWERS + 2)
            step("presence: the writer and both reviewers are there")
            return await make(agent, topic)
        finally:
            await agent.publish(NEWS, News("that is all", is_last=True), fanout=agp.ALL)
            done.set()

    await done.wait()
    async with agent.watch(INTERFACE) as watch:  # its answer has arrived once it goes
        while watch.present:
            await watch.receive(timeout=PATIENCE_S)
    step("presence: the interface has left")


async def make(agent: agp.Agent, topic: str) -> str:
    """Write, review, publish."""
    started = await agent.publish(NEWS, News(f"work on {topic} begins"), fanout=agp.ALL, confirm=True)
    if started == REVIEWERS + 2:
        step("broadcast: everyone got the news")
    drafts = [
        await agent.request(WRITER, Task(topic, number), type=Draft, timeout=PATIENCE_S)
        for number in range(DRAFTS)
    ]
    step("request: the writer answered with drafts")
    for draft in drafts:
        await agent.publish(REVIEWER, draft, fanout=agp.ANY)
    reviews = [(await agent.receive(type=Review, timeout=PATIENCE_S)).data for _ in drafts]
    if len({review.reviewer for review in reviews}) == REVIEWERS:
        step("anycast: each reviewer got some of the drafts")
    await agent.publish(NEWS, News(f"{len(reviews)} drafts are reviewed"), fanout=agp.ALL)
    return " ".join(FACTS)


async def until_present(agent: agp.Agent, type_name: str, count: int) -> None:
    """Wait until so many instances are there. Raises `Timeout` that says who is missing."""
    async with agent.watch(type_name) as watch:
        try:
            async with asyncio.timeout(PATIENCE_S):
                while len(watch.present) < count:
                    await watch.receive()
        except TimeoutError:
            raise agp.Timeout(
                f"{len(watch.present)} of {count} {type_name} came in {PATIENCE_S:g} s"
            ) from None


ROLES: dict[str, Callable[[agp.Gateway], Awaitable[None]]] = {
    "writer": writer,
    "reviewer": reviewer,
    "interface": interface,
    "orchestrator": orchestrator,
}


async def main(role: str) -> int:
    """Run one agent until its part is done; 1 if it is not."""
    try:
        async with agp.connect(name=role) as gateway:
            await ROLES[role](gateway)
            await gateway.drain()
    except (agp.AgpError, TimeoutError) as error:
        say(f"failed: {str(error) or 'something did not come in time'}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(agp.run(main(sys.argv[1])))
