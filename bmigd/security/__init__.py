"""Who is calling, what may they do, and why a connection was not made. Speaks no gRPC."""
