"""agpd/gateway/dialects.py: the instance tells the dialect."""

from agpd.gateway.dialects import Dialect, dialect_of
from agpd.names import parse


def test_the_prefix_of_an_instance_tells_its_dialect() -> None:
    assert dialect_of(parse("a/b/c/agp-0000000000000001")) is Dialect.AGP
    assert dialect_of(parse("a/b/c/slim-" + "0" * 32)) is Dialect.SLIM
    assert dialect_of(parse("a/b/c/1")) is Dialect.NATIVE
    assert dialect_of(parse("a/b/agp-c")) is Dialect.NATIVE  # a type belongs to all
