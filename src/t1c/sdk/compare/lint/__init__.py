"""What is odd about a graph that is valid: one table of rules, one small function for each."""
