"""agpd beside the systems that somebody would pick instead. See `docs/topics/comparison.md`."""
