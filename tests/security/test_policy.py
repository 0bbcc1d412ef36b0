"""What no rule allows is denied, what a rule allows is allowed, and every answer says why."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmigd.security.identity import Identity, Kind
from bmigd.security.policy import (
    OPERATOR_ACTIONS,
    PEER_ACTIONS,
    Action,
    Policy,
    PolicyError,
    Rule,
    decide,
)

ALICE = Identity("lab", Kind.OPERATOR, "alice")
HOST2 = Identity("lab", Kind.NODE, "host2")
EVERYTHING = Policy(
    operators=(Rule(("*",), OPERATOR_ACTIONS, ("*",)),),
    peers=(Rule(("*",), PEER_ACTIONS, ("*",)),),
)

NAMES = st.text("abw*", min_size=1, max_size=3)
GLOBS = st.lists(st.text("abw*?", min_size=1, max_size=3), max_size=2).map(tuple)


def rules(actions: frozenset[Action]) -> st.SearchStrategy[tuple[Rule, ...]]:
    granted = st.frozensets(st.sampled_from(sorted(actions)))
    return st.lists(st.builds(Rule, GLOBS, granted, GLOBS), max_size=4).map(tuple)


POLICIES = st.builds(Policy, rules(OPERATOR_ACTIONS), rules(PEER_ACTIONS))
CALLERS = st.builds(Identity, st.just("lab"), st.sampled_from(Kind), NAMES)


def globs(pattern: str, name: str) -> bool:
    """Match * and ? again, the slow and obvious way."""
    if not pattern:
        return not name
    if pattern[0] == "*":
        return any(globs(pattern[1:], name[at:]) for at in range(len(name) + 1))
    return bool(name) and pattern[0] in ("?", name[0]) and globs(pattern[1:], name[1:])


@pytest.mark.slow
@given(POLICIES, CALLERS, st.sampled_from(Action), st.none() | NAMES)
def test_a_thing_is_allowed_exactly_when_one_rule_allows_all_of_it(
    policy: Policy, caller: Identity, action: Action, guest: str | None
) -> None:
    expected = False
    for rule in policy.operators if caller.kind is Kind.OPERATOR else policy.peers:
        is_named = any(globs(pattern, caller.name) for pattern in rule.names)
        has_guest = any(guest is None or globs(pattern, guest) for pattern in rule.guests)
        expected |= is_named and action in rule.actions and has_guest
    decision = decide(policy, caller, action, guest)
    assert decision.allowed == expected
    assert decision.why.startswith(f"{caller} may {'' if expected else 'not '}")
    words = {(Kind.NODE, Action.RECEIVE): "hand over", (Kind.NODE, Action.SEND): "be sent"}
    assert words.get((caller.kind, action), action) in decision.why


@pytest.mark.parametrize(("caller", "action"), [*product([ALICE, HOST2], Action)])
@pytest.mark.parametrize("guest", [None, "web1", ""])
def test_an_empty_policy_allows_nothing(
    caller: Identity, action: Action, guest: str | None
) -> None:
    assert not decide(Policy(), caller, action, guest).allowed


@pytest.mark.parametrize("action", Action)
def test_even_a_policy_of_everything_keeps_operators_and_peers_apart(action: Action) -> None:
    assert decide(EVERYTHING, ALICE, action, "web1").allowed == (action in OPERATOR_ACTIONS)
    assert decide(EVERYTHING, HOST2, action, "web1").allowed == (action in PEER_ACTIONS)


def test_every_action_belongs_to_somebody() -> None:
    assert frozenset(Action) == OPERATOR_ACTIONS | PEER_ACTIONS
    assert {Action.READ} == OPERATOR_ACTIONS & PEER_ACTIONS


def test_a_node_has_no_right_of_an_operator_of_its_name() -> None:
    policy = Policy(operators=(Rule(("host2",), OPERATOR_ACTIONS, ("*",)),))
    assert decide(policy, Identity("lab", Kind.OPERATOR, "host2"), Action.READ, "web1").allowed
    assert not decide(policy, HOST2, Action.READ, "web1").allowed


@pytest.mark.parametrize(
    ("operators", "peers"),
    [(frozenset({Action.SEND}), frozenset()), (frozenset(), frozenset({Action.RESOLVE}))],
)
def test_rules_that_grant_the_impossible_are_refused(
    operators: frozenset[Action], peers: frozenset[Action]
) -> None:
    with pytest.raises(PolicyError, match=r"rule 1 for (operators|peers) allows what"):
        Policy((Rule(("*",), operators, ("*",)),), (Rule(("*",), peers, ("*",)),))


def test_globs_tell_upper_from_lower_case_and_match_the_whole_name() -> None:
    policy = Policy(operators=(Rule(("alice",), frozenset({Action.POWER}), ("web*",)),))
    assert decide(policy, ALICE, Action.POWER, "web1").allowed
    assert not decide(policy, ALICE, Action.POWER, "Web1").allowed
    assert not decide(policy, ALICE, Action.POWER, "my-web1").allowed
    assert not decide(policy, Identity("lab", Kind.OPERATOR, "Alice"), Action.POWER, "web1").allowed


def test_a_rule_without_guests_allows_nothing_even_about_none_in_particular() -> None:
    policy = Policy(operators=(Rule(("*",), OPERATOR_ACTIONS, ()),))
    assert not decide(policy, ALICE, Action.READ, None).allowed


@pytest.mark.parametrize(
    ("name", "action", "guest", "why"),
    [
        ("alice", "read", "web1", "may read guest 'web1': rule 1 for operators allows it"),
        ("alice", "read", None, "may read guests: rule 1 for operators allows it"),
        ("bob", "read", "web1", "may not read guest 'web1': no rule for operators names bob"),
        (
            "alice",
            "power",
            "web1",
            "may not power guest 'web1': no rule for operators allows alice to power",
        ),
        (
            "alice",
            "read",
            "db",
            "may not read guest 'db': no rule for operators allows alice to read this guest",
        ),
        (
            "alice",
            "read",
            "x\ny",
            "may not read guest 'x\\ny': no rule for operators allows alice to read this guest",
        ),
    ],
)
def test_every_answer_says_why_in_one_line(
    name: str, action: str, guest: str | None, why: str
) -> None:
    policy = Policy(operators=(Rule(("alice",), frozenset({Action.READ}), ("web*",)),))
    caller = Identity("lab", Kind.OPERATOR, name)
    assert decide(policy, caller, Action(action), guest).why == f"{caller} {why}"
