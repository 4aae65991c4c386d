"""Public models, exported, and run beside their graphs."""
