"""The operator's command and client library of bmig; knows the contract in proto/ only."""
