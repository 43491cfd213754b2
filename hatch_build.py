"""The build hook: compiles the hot path where it can, and builds the pure package where it cannot."""

import os
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).parent / "scripts"))
from compile_hotpath import SOURCE, CannotCompile, compile_into, file_name


class CompileHotPath(BuildHookInterface):
    """Puts the extension into the wheel; for an editable install, beside its source.

    `AGPD_BUILD_PURE=1` leaves it out.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before the wheel is put together. `version`: "standard" or "editable"."""
        beside = SOURCE.parent / file_name()
        if os.environ.get("AGPD_BUILD_PURE") == "1":
            if version == "editable":
                beside.unlink(missing_ok=True)
            return
        directory = SOURCE.parent if version == "editable" else Path(self.directory) / "hotpath"
        try:
            made = compile_into(directory)
        except CannotCompile as error:
            self.app.display_warning(f"agpd is installed without its compiled hot path: {error}")
            if version == "editable":
                beside.unlink(missing_ok=True)  # it may be of another state of the source
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        if version != "editable":
            build_data["force_include"][str(made)] = f"agpd/hotpath/{made.name}"
