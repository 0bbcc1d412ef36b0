"""The only gRPC code: servicers, the way to other nodes, and the translation at the border.

Rule: gRPC's own log is silenced before gRPC is imported. It is not in the form of ours, and every
stranger who fails at a handshake could fill it.
"""

import os

os.environ.setdefault("GRPC_VERBOSITY", "NONE")
