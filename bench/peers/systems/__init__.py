"""One file for each system, all with the same functions (see `bench.peers.worker`).

They run under the interpreter of the system's own virtual environment: beside that system's client they import only the
standard library and `bench.peers.at`.
"""
