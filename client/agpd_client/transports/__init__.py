"""Carriers of the native protocol: TLS, plain TCP, memory."""
