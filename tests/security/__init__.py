"""Identities, rights and certificates; real files and real TLS on loopback."""
