"""What the agents of the demo send each other, and their names."""

from dataclasses import dataclass

ORGANIZATION = "acme"
WRITER, REVIEWER = "acme/docs/writer", "acme/docs/reviewer"
INTERFACE, ORCHESTRATOR = "acme/docs/interface", "acme/docs/orchestrator"
NEWS = "acme/docs/news"  # a topic

REVIEWERS = 2
DRAFTS = 16  # with so many, one reviewer gets all of them in 1 of 32,768 runs


@dataclass
class Task:
    """The orchestrator's request to the writer."""

    topic: str
    number: int


@dataclass
class Draft:
    """What the writer answers, and what goes to any one reviewer. `author` is the writer's full name."""

    topic: str
    number: int
    text: str
    author: str = ""


@dataclass
class Review:
    """A reviewer's verdict, sent straight to the author and to the orchestrator by their full names."""

    number: int
    reviewer: str
    verdict: str


@dataclass
class News:
    """Broadcast to everyone who is subscribed to the topic. `is_last`: there is nothing more to come."""

    text: str
    is_last: bool = False
