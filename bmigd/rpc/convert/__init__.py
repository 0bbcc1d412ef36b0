"""Messages of the contract to our values and back. The only place that knows both."""
