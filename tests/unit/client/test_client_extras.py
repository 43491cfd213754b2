"""What a plain installation lacks is asked for late, and named when it is missing."""

import subprocess
import sys

import pytest

import agpd_client as agp
from agpd_client.extras import registry_class
from agpd_client.registry import Registry

WITHOUT = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {name!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
import agpd_client as agp
async def main():
    async with agp.connect("local://x", control="127.0.0.1:1") as gateway:
        agent = await gateway.create_agent("acme/demo/writer")
        try:
            await agent.onboard(identity="eu-1")
        except ImportError as error:
            print(type(error).__name__, getattr(error, "code", 0), error)
agp.run(main())
"""


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_and_connecting_load_no_grpc() -> None:
    loaded = (
        "import sys; print([name for name in sys.modules if name.partition('.')[0] in ('grpc', 'google')])"
    )
    assert python(f"import agpd_client, agpd_client.sync; {loaded}") == "[]\n"
    assert python(f"import agpd_client.registry; {loaded}") != "[]\n"  # the control


@pytest.mark.parametrize("name", ["grpc", "google"])
def test_a_missing_package_is_a_typed_error_with_the_command(name: str) -> None:
    said = python(WITHOUT.format(name=name))
    assert said.startswith(f"NotInstalled {int(agp.Code.NOT_INSTALLED)} ")
    assert "pip install 'agpd[registry]'" in said


def test_a_fault_of_our_own_is_not_taken_for_a_missing_package() -> None:
    done = python(WITHOUT.replace('.partition(".")[0] == {name!r}', '.startswith("agpd._proto")'))
    assert done.startswith("ModuleNotFoundError 0 ")


@pytest.mark.parametrize(
    ("lost", "error"), [("grpc", agp.NotInstalled), ("agpd._proto", ModuleNotFoundError)]
)
def test_what_is_missing_decides_the_error(
    monkeypatch: pytest.MonkeyPatch, lost: str, error: type[ImportError]
) -> None:
    parts = ("registry", "transports.rpc", "transports.channel")
    for module in (f"agpd_client.{part}" for part in parts):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, lost, None)
    with pytest.raises(error) as caught:
        registry_class()
    assert type(caught.value) is error
    monkeypatch.undo()
    assert registry_class().__name__ == "Registry"


async def test_the_registry_is_one_object_and_needs_an_open_gateway() -> None:
    gateway = agp.connect("local://extras", control="127.0.0.1:1")
    with pytest.raises(RuntimeError, match="not open"):
        _ = gateway.registry
    async with gateway:
        assert isinstance(gateway.registry, Registry)
        assert gateway.registry is gateway.registry
    with pytest.raises(agp.Closed):
        await gateway.registry.get("acme/demo/writer", "eu-1")


async def test_a_closed_gateway_makes_no_registry() -> None:
    async with agp.connect("local://extras", control="127.0.0.1:1") as gateway:
        pass
    with pytest.raises(agp.Closed):
        _ = gateway.registry


async def test_a_gateway_in_this_process_has_no_registry_of_its_own() -> None:
    async with agp.connect("local://extras") as gateway:
        with pytest.raises(ValueError, match="has no control plane"):
            _ = gateway.registry
