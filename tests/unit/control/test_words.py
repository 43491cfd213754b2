"""Full text: what is a word, and that nobody's words are another's."""

from agpd.control.resources import Agent
from agpd.control.words import WORDS_LIMIT, blind, split, words_of


def test_words_are_letters_and_digits_in_one_case() -> None:
    assert split("Reads 3 invoices_of-Ünïcode, \uff21BC \ufb01ne!") == [
        "reads", "3", "invoices", "of", "ünïcode", "abc", "fine",
    ]  # fmt: skip
    assert split('*?! _ "') == []


def test_all_texts_of_a_registration_are_searched() -> None:
    agent = Agent(
        type="acme/prod/reader",
        identity="main-1",
        description="Reads.",
        labels={"tier": "gold"},
        capabilities=["skim"],
        card={"skills": [{"name": "Translate", "n": 5, "none": None}], "hidden key": True},
        public_keys={"sealing": "AAAA"},
    )
    assert words_of(agent) == {
        "acme", "prod", "reader", "main", "1", "reads", "tier", "gold", "skim", "translate",
    }  # fmt: skip


def test_a_text_has_so_many_words_that_are_searched() -> None:
    agent = Agent(type="a/b/c", identity="d", description=" ".join(f"w{n}" for n in range(2000)))
    assert len(words_of(agent)) == WORDS_LIMIT


def test_a_deep_card_is_walked_without_recursion() -> None:
    card: dict[str, object] = {"name": "bottom"}
    for _ in range(50_000):
        card = {"a": [card]}
    assert "bottom" in words_of(Agent(type="a/b/c", identity="d", card=card))


def test_blinded_words_are_the_organizations_own() -> None:
    ours, theirs = (blind(organization, ["invoice", "or"]).split() for organization in ("acme", "globex"))
    assert len({*ours, *theirs}) == 4
    assert all(word.isalpha() and word.islower() and len(word) == 16 for word in (*ours, *theirs))
    assert blind("acme", ["invoice", "or"]).split() == ours
