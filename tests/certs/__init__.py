"""The certificate authority, on real files."""
