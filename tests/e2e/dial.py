"""Calls of a node that bmigctl or a daemon would not make, with a certificate of theirs."""

import grpc
from grpc import aio

from tests.cluster import Cluster


def dial(world: Cluster, node: str, who: str) -> grpc.Channel:
    """A channel to a node as somebody, for example `nodes/evil`."""
    return grpc.secure_channel(*_to(world, node, who))


def dial_apart(world: Cluster, node: str, who: str) -> aio.Channel:
    """The same for coroutines, over a connection of its own."""
    address, credentials, options = _to(world, node, who)
    options.append(("grpc.use_local_subchannel_pool", 1))
    return aio.secure_channel(address, credentials, options)


def _to(
    world: Cluster, node: str, who: str
) -> tuple[str, grpc.ChannelCredentials, list[tuple[str, object]]]:
    pair = world.certs / who
    credentials = grpc.ssl_channel_credentials(
        (world.certs / "ca.pem").read_bytes(),
        pair.with_suffix(".key").read_bytes(),
        pair.with_suffix(".pem").read_bytes(),
    )
    address = f"127.0.0.1:{world.nodes[node].port}"
    return address, credentials, [("grpc.ssl_target_name_override", node)]
