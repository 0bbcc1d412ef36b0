"""Who holds a certificate: the identity in its SPIFFE-style name.

Rule 1: whatever is not exactly the form that the CA writes is refused; nothing is normalized.
Rule 2: this file does no I/O. It is handed bytes from strangers, and answers with an Identity or
an IdentityError, never with anything else.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

# As in certs/authority.py, which stands alone; a test holds the two equal.
_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# A last label of digits alone makes it an IPv4 address to a TLS library, which then looks for no
# DNS name.
_DNS_NAME = (
    rf"(?=[a-z0-9.-]{{1,63}}(?:/|\Z))(?!(?:[a-z0-9.-]*\.)?[0-9]+(?:/|\Z)){_LABEL}(?:\.{_LABEL})*"
)
_OPERATOR_NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_CLUSTER_ID = re.compile(f"spiffe://({_DNS_NAME})")
_HOLDER_ID = re.compile(
    f"spiffe://(?P<cluster>{_DNS_NAME})/(?:node/(?P<node>{_DNS_NAME})|operator/(?P<operator>{_OPERATOR_NAME}))"
)
_SHOWN_CHARACTERS = 100


class IdentityError(ValueError):
    """A name that proves nobody; the reason quotes what was presented, shortened and escaped."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Kind(StrEnum):
    """Who holds a certificate, as its SPIFFE id says."""

    NODE = "node"
    OPERATOR = "operator"


@dataclass(frozen=True)
class Identity:
    """One holder of a certificate of one cluster; its text is its SPIFFE id."""

    cluster: str
    kind: Kind
    name: str

    def __str__(self) -> str:
        return f"spiffe://{self.cluster}/{self.kind}/{self.name}"


def parse_spiffe_id(text: str) -> Identity:
    """The identity that a URI names, if it is exactly one the CA could have written."""
    match = _HOLDER_ID.fullmatch(text)
    if match is None:
        raise IdentityError(
            f"{_shown(text)} is not spiffe://CLUSTER/node/NAME or spiffe://CLUSTER/operator/NAME"
        )
    cluster, node, operator = match.group("cluster", "node", "operator")
    if node is not None:
        return Identity(cluster, Kind.NODE, node)
    return Identity(cluster, Kind.OPERATOR, operator)


def parse_cluster_id(text: str) -> str:
    """The name of the cluster in the URI that its CA carries."""
    match = _CLUSTER_ID.fullmatch(text)
    if match is None:
        raise IdentityError(f"{_shown(text)} is not spiffe://CLUSTER")
    return match.group(1)


def identity_of(sans: Sequence[str | bytes], cluster: str) -> Identity:
    """Who presented a verified certificate with these subject alternative names, all of them.

    Exactly one of them is a SPIFFE id, it is of this cluster, and a node's own name is among its
    DNS names too: that is what a dialling daemon had checked.
    """
    names = [_text(san) for san in sans]
    ids = [name for name in names if name[:7].lower() == "spiffe:"]
    if len(ids) != 1:
        raise IdentityError(f"the certificate has {len(ids)} SPIFFE ids instead of one")
    identity = parse_spiffe_id(ids[0])
    if identity.cluster != cluster:
        raise IdentityError(f"{identity} is not of the cluster {cluster}")
    if identity.kind is Kind.NODE and identity.name not in names:
        raise IdentityError(f"{identity} has a certificate without the DNS name {identity.name}")
    return identity


def _text(san: str | bytes) -> str:
    if isinstance(san, str):
        return san
    try:
        return san.decode("ascii")
    except UnicodeDecodeError as error:
        raise IdentityError(
            f"the certificate has the name {_shown(san)}, which is not ASCII"
        ) from error


def _shown(presented: str | bytes) -> str:
    return ascii(presented[:_SHOWN_CHARACTERS])
