"""How memory moves: which pages, in what chunks, how fast, and into what."""
