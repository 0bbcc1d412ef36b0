"""What happens in a migration, in which order, and who owns the guest."""
