"""A real tritonserver: what it answers, and what it does where something goes wrong."""
