"""Calls of a node that bmigctl or a daemon would not make, with a certificate of theirs."""

import grpc

from tests.cluster import Cluster


def dial(world: Cluster, node: str, who: str) -> grpc.Channel:
    """A channel to a node as somebody, for example `nodes/evil`."""
    pair = world.certs / who
    credentials = grpc.ssl_channel_credentials(
        (world.certs / "ca.pem").read_bytes(),
        pair.with_suffix(".key").read_bytes(),
        pair.with_suffix(".pem").read_bytes(),
    )
    address = f"127.0.0.1:{world.nodes[node].port}"
    return grpc.secure_channel(address, credentials, [("grpc.ssl_target_name_override", node)])
