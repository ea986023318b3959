"""``ezcaptcha batch``: many rows in, what became of each out, and no row twice."""
