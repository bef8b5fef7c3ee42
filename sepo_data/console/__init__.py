"""Output for people: progress, its terminal, safe and aligned text, suggestions."""
