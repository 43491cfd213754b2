"""The demo: five agents, each a process with a certificate of its own, work through a document over a real gateway."""
