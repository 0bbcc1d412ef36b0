"""What a broken, half-dead or slow way between two nodes does to migrations."""
