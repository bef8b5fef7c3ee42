"""What people see while something runs: progress, its terminal, terminal-safe text, suggestions."""
