"""`python -m agpd` is the command `agpd`."""

from agpd.cli.main import agpd

if __name__ == "__main__":
    agpd(prog_name="agpd")
