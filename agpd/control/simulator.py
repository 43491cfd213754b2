"""Why a verdict is as it is: the rules that decide, read from the store and judged by the policy's own code.

Of an organization that is not the caller's nothing is told but whether its side allows: whether it denies, has no
grant, is suspended or does not exist has one answer.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, or_, select

from agpd.control.caller import Caller
from agpd.control.model import agent_type, grant, tenant
from agpd.control.policy import CALLS, OF_PATTERNS, OPERATOR_SIDE, Policy, Prefix, Side, Statement
from agpd.control.resources import Rule, Verb, Verdict
from agpd.errors import Code, Refused
from agpd.names import Name, Pattern, parse, parse_instance, parse_pattern


class Question(NamedTuple):
    """May `subject` do `verb` to `target`? `text` is how the target is written."""

    subject: Name
    verb: Verb
    target: Prefix
    text: str

    @property
    def organizations(self) -> list[str]:
        """Whose sides decide: the subject's, then the target's if that is another one."""
        sides = [self.subject.organization]
        if self.verb != "route":  # which holds in the view of the subject's organization alone
            sides += self.target[:1]
        return list(dict.fromkeys(sides))

    @property
    def act(self) -> str:
        """As a part of a sentence."""
        return f"{self.subject} {self.verb} {self.text}"

    def put(self, policy: Policy) -> bool:
        """The policy's answer."""
        if self.verb in OF_PATTERNS:
            return policy.allows_pattern(self.verb, self.subject, Pattern(self.target))
        return policy.allows(self.verb, self.subject, Name(*self.target))


def question(subject: str, verb: Verb, object_: str) -> Question:
    """Checked. The object of observe is `org/ns/*`, of route a pattern, of register the name itself.

    Raises `Refused`: INVALID_NAME, INVALID_REQUEST.
    """
    if verb in OF_PATTERNS:
        pattern = parse_pattern(object_)
        if verb == "observe" and len(pattern.prefix) != 2:
            raise Refused(Code.INVALID_NAME, f"{object_!r} is not a namespace; write org/ns/*")
        return Question(parse(subject), verb, pattern.prefix, str(pattern))
    if verb == "register" and parse_instance(subject) != parse(object_):
        raise Refused(Code.INVALID_REQUEST, "an agent registers itself: let the object be the subject")
    return Question(parse(subject), verb, tuple(filter(None, parse(object_))), object_)


def verdict(
    connection: Connection, caller: Caller, asked: Question, operator: Iterable[Statement]
) -> Verdict:
    """What the rules in the store and the operator's say. Reads by index, however many grants there are."""
    rows = connection.execute(select(grant).where(*_may_decide(asked)).order_by(grant.c.id)).all()
    said = [
        Statement(
            row.tenant,
            parse_pattern(row.subject).prefix,
            row.verb,
            parse_pattern(row.object).prefix,
            row.effect == "allow",
        )
        for row in rows
    ]
    said += [each for each in operator if each.verb == asked.verb]
    closed = select(tenant.c.name).where(tenant.c.name.in_(asked.organizations), tenant.c.suspended.is_(True))
    policy = Policy.compiled(said, _callers(connection, asked), connection.execute(closed).scalars())
    rules = [
        rule
        for organization in asked.organizations
        for rule in _rules(caller, organization, asked, rows, policy)
    ]
    if policy.side(OPERATOR_SIDE).allows(asked.verb, asked.subject, asked.target):
        rules.append(
            Rule(source="operator", effect="allow", text="[[grants]] of the configuration, for both sides")
        )
    return Verdict(
        allowed=asked.put(policy), subject=str(asked.subject), verb=asked.verb, object=asked.text, rules=rules
    )


def _may_decide(asked: Question) -> list[ColumnElement[bool]]:
    """The grants of both sides on this verb that cover subject and target, or deny a part of it."""
    covers: ColumnElement[bool] = grant.c.object.in_(_above(asked.target))
    if asked.verb in OF_PATTERNS:
        below = "".join(f"{segment}/" for segment in asked.target)
        covers = or_(covers, (grant.c.effect == "deny") & grant.c.object.startswith(below, autoescape=True))
    subject = grant.c.subject.in_(_above(tuple(filter(None, asked.subject))))
    return [grant.c.tenant.in_(asked.organizations), grant.c.verb == asked.verb, subject, covers]


def _above(prefix: Prefix) -> list[str]:
    """All patterns that cover it, as they are stored."""
    return [str(Pattern(prefix[:length])) for length in range(len(prefix) + 1)]


def _callers(connection: Connection, asked: Question) -> dict[Prefix, list[Prefix]]:
    if asked.verb not in CALLS:
        return {}
    name = asked.target[:3]
    table = agent_type.c
    query = select(table.callers).where(
        table.organization == name[0], table.namespace == name[1], table.name == name[2]
    )
    patterns = connection.execute(query).scalar_one_or_none()
    return {name: [parse_pattern(each).prefix for each in patterns]} if patterns else {}


def _rules(
    caller: Caller, organization: str, asked: Question, rows: Sequence[Row[Any]], policy: Policy
) -> list[Rule]:
    """What one side has to do with it, as far as the caller may know."""
    side, operator = policy.side(organization), policy.side(OPERATOR_SIDE)
    alone = len(asked.organizations) == 1
    if not caller.belongs_to(organization):
        allows = _allows(side, operator, asked, organization)
        text = f"{organization} allows it" if allows else _missing(organization, asked)
        return [Rule(source=organization, effect="allow" if allows else "missing", text=text)]
    rules = [_rule(row) for row in rows if row.tenant == organization]
    if side.suspended:
        rules.append(Rule(source=organization, effect="deny", text=f"tenant {organization} is suspended"))
    if alone and asked.verb != "observe":
        text = f"inside {organization} everything but observe is allowed that no grant denies"
        rules.append(Rule(source=organization, effect="allow", text=text))
    elif not any(each.allows(asked.verb, asked.subject, asked.target) for each in (side, operator)):
        rules.append(Rule(source=organization, effect="missing", text=_missing(organization, asked)))
    return rules + _rule_of_callers(side, asked, organization)


def _allows(side: Side, operator: Side, asked: Question, organization: str) -> bool:
    act = asked.verb, asked.subject, asked.target
    called = organization != asked.target[0] or side.lets_call(asked.subject, asked.target)
    agreed = operator.allows(*act) or side.allows(*act)
    return agreed and called and not side.suspended and not side.denies(*act) and not side.denies_part(*act)


def _rule(row: Row[Any]) -> Rule:
    may = "may" if row.effect == "allow" else "may not"
    text = f"grant {row.id}: {row.subject} {may} {row.verb} {row.object}"
    return Rule(source=row.tenant, effect=row.effect, text=text)


def _rule_of_callers(side: Side, asked: Question, organization: str) -> list[Rule]:
    callers = side.callers.get(asked.target[:3])
    if callers is None:
        return []
    effect = "allow" if side.lets_call(asked.subject, asked.target) else "deny"
    listed = ", ".join(sorted(str(Pattern(each)) for each in callers))
    text = f"callers of type {'/'.join(asked.target[:3])}: {listed}"
    return [Rule(source=organization, effect=effect, text=text)]  # type: ignore[arg-type]


def _missing(organization: str, asked: Question) -> str:
    return f"{organization} has no grant that lets {asked.act}"
