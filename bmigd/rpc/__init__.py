"""The only gRPC code: servicers, the way to other nodes, and the translation at the border."""
