"""Tests of the operator's command and the client library."""
