"""More cores: processes that carry connections for the one that routes. See docs/adr/0010-workers.md."""
