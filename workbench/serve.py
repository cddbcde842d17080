"""Start Streamlit on the workbench's pages and say where they are."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from workbench.errors import BadInput, NotFound
from workbench.workspace import Workspace


def serve(workspace: Workspace, *, port: int, headless: bool, as_json: bool) -> int:
    """Run the app until it is stopped; return its exit code.

    Raises:
        BadInput: if the port is taken.
        NotFound: if there is no app.py.
    """
    script = next(
        (p for p in (workspace.root / "app.py", Path(__file__).parent.parent / "app.py") if p.exists()), None
    )
    if script is None:
        raise NotFound("There is no app.py here.", "Run this in a checkout, or set WORKBENCH_ROOT to one.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise BadInput(
                f"Port {port} is taken.", f"Choose another: workbench app --port {port + 1}."
            ) from error
    address = f"http://localhost:{port}"
    print(json.dumps({"address": address}) if as_json else f"Policy Workbench: {address}", flush=True)
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(port)]
    command += ["--server.headless", "true" if headless else "false", "--server.address", "127.0.0.1"]
    command += ["--browser.gatherUsageStats", "false"]
    environment = os.environ | {
        "WORKBENCH_ROOT": str(workspace.root),
        "WORKBENCH_HOME": str(workspace.settings.home),
    }
    try:
        return subprocess.run(command, env=environment, check=False, cwd=script.parent).returncode
    except KeyboardInterrupt:
        return 0
