"""Only the exact form that the CA writes is an identity; anything else is an IdentityError."""

from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bmigd.security.identity import (
    Identity,
    IdentityError,
    Kind,
    identity_of,
    parse_cluster_id,
    parse_spiffe_id,
)

LABELS = st.text("az09-", max_size=20).map("h{}t".format)
DNS_NAMES = st.lists(LABELS, min_size=1, max_size=2).map(".".join)
OPERATORS = st.text("azAZ09._-", max_size=63).map("9".__add__)
IDENTITIES = st.builds(Identity, DNS_NAMES, st.just(Kind.NODE), DNS_NAMES) | st.builds(
    Identity, DNS_NAMES, st.just(Kind.OPERATOR), OPERATORS
)
HOST1 = Identity("lab", Kind.NODE, "host1")
ALICE = Identity("lab", Kind.OPERATOR, "Alice")

BAD = [
    "",
    "spiffe://lab",
    "spiffe://lab/",
    "spiffe://lab/node/",
    "spiffe://lab/node/host1/",
    "spiffe://lab/node/host1/x",
    "spiffe://lab//node/host1",
    "spiffe://lab/Node/host1",
    "spiffe://lab/guest/host1",
    "spiffe://lab/node/Host1",
    "spiffe://lab/node/host1\n",
    "spiffe://lab/node/host1\x00",
    " spiffe://lab/node/host1",
    "SPIFFE://lab/node/host1",
    "spiffe://LAB/node/host1",
    "spiffe://lab:7117/node/host1",
    "spiffe://user@lab/node/host1",
    "spiffe://lab/node/host1?x=1",
    "spiffe://lab/node/host1#x",
    "spiffe://lab/node/host%31",
    "spiffe://lab/node/höst",
    "spiffe://lab/node/10.0.0.1",
    "spiffe://lab/node/-host",
    "spiffe://lab/node/host-",
    "spiffe://lab/node/a..b",
    "spiffe://lab/node/" + "a" * 64,
    "spiffe://" + "a" * 64 + "/node/host1",
    "spiffe://../node/host1",
    "spiffe://lab/operator/.",
    "spiffe://lab/operator/..",
    "spiffe://lab/operator/*",
    "spiffe://lab/operator/" + "a" * 65,
    "spiffe://lab/node/host1spiffe://lab/node/host2",
]


@given(IDENTITIES)
def test_an_identity_survives_its_text(identity: Identity) -> None:
    assert parse_spiffe_id(str(identity)) == identity


@pytest.mark.parametrize("text", BAD)
def test_anything_but_the_exact_form_is_refused(text: str) -> None:
    with pytest.raises(IdentityError):
        parse_spiffe_id(text)


@given(st.text() | st.text("spife:/labnodhrt1.-\n", max_size=40).map("spiffe://lab/node/".__add__))
@example("spiffe://lab/node/" + "a." * 100_000)
def test_what_is_accepted_is_its_own_text(text: str) -> None:
    try:
        identity = parse_spiffe_id(text)
    except IdentityError as error:
        reason = error.reason
    else:
        reason = str(identity)
        assert reason == text
    assert len(reason) < 1500
    assert reason.isprintable()


@pytest.mark.slow
@given(IDENTITIES, st.integers(0, 80), st.characters())
def test_a_damaged_identity_is_never_taken_for_the_same_one(
    identity: Identity, at: int, inserted: str
) -> None:
    text = str(identity)
    with suppress(IdentityError):
        assert parse_spiffe_id(text[:at] + inserted + text[at:]) != identity


@pytest.mark.parametrize("text", ["lab", "spiffe://", "spiffe://lab/", "spiffe://Lab", *BAD[2:6]])
def test_a_cluster_is_named_exactly(text: str) -> None:
    assert parse_cluster_id("spiffe://lab.example") == "lab.example"
    with pytest.raises(IdentityError):
        parse_cluster_id(text)


@pytest.mark.parametrize(
    "sans",
    [
        ["spiffe://lab/node/host1", "host1"],
        [b"spiffe://lab/node/host1", b"host1"],
        [b"10.0.0.1", b"host1.example", b"host1", b"spiffe://lab/node/host1"],
    ],
)
def test_a_node_has_one_id_and_its_dns_name(sans: list[str | bytes]) -> None:
    assert identity_of(sans, "lab") == HOST1


def test_an_operator_needs_no_dns_name() -> None:
    assert identity_of([b"spiffe://lab/operator/Alice"], "lab") == ALICE


@pytest.mark.parametrize(
    ("sans", "reason"),
    [
        ([], "0 SPIFFE ids"),
        (["host1"], "0 SPIFFE ids"),
        (["spiffe://lab/node/host1", "spiffe://lab/node/host2", "host1"], "2 SPIFFE ids"),
        (["spiffe://lab/node/host1", "spiffe://lab/node/host1", "host1"], "2 SPIFFE ids"),
        (["spiffe://lab/node/host1", "SPIFFE://lab/operator/root", "host1"], "2 SPIFFE ids"),
        (["spiffe://other/node/host1", "host1"], "not of the cluster lab"),
        (["spiffe://lab/node/host1"], "without the DNS name host1"),
        (["spiffe://lab/node/host1", "host2"], "without the DNS name host1"),
        (["spiffe://lab/node/host1", "HOST1"], "without the DNS name host1"),
        (["Spiffe://lab/node/host1", "host1"], "is not spiffe://"),
        ([b"spiffe://lab/node/host1", b"host1", b"\xff"], "not ASCII"),
    ],
)
def test_names_that_prove_nobody_are_refused(sans: list[str | bytes], reason: str) -> None:
    with pytest.raises(IdentityError, match=reason):
        identity_of(sans, "lab")


@pytest.mark.slow
@given(
    st.lists(
        st.text(max_size=30)
        | st.binary(max_size=30)
        | IDENTITIES.map(str)
        | IDENTITIES.map(lambda identity: str(identity).encode())
        | st.sampled_from([str(HOST1), "host1", b"host1", str(ALICE)])
    ),
    st.sampled_from(["lab", "other"]),
)
def test_whatever_is_presented_yields_a_presented_identity_or_an_error(
    sans: list[str | bytes], cluster: str
) -> None:
    try:
        identity = identity_of(sans, cluster)
    except IdentityError:
        return
    presented = [san if isinstance(san, str) else san.decode() for san in sans]
    assert identity.cluster == cluster
    assert [name for name in presented if "spiffe:" in name.lower()[:7]] == [str(identity)]
    assert identity.kind is Kind.OPERATOR or identity.name in presented
