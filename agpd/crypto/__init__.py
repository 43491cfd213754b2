"""End-to-end encryption, AGP-E2E version 1 (`proto/e2e.md`).

No socket, no clock, no file: bytes in, bytes out; time and chance are arguments. `sealing` is what agents use; `hazmat`
and `noise` are sharp and meant for the modules of this package alone. The gateway never imports any of it.
"""
