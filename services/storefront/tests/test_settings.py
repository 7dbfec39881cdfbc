"""A process without settings ends with a line for each missing one."""

import subprocess
import sys


def test_without_settings_the_process_exits_with_a_line_for_each() -> None:
    command = [sys.executable, "-m", "uvicorn", "--factory", "storefront.main:create", "--port", "0"]
    ended = subprocess.run(command, env={}, capture_output=True, text=True, timeout=60)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.splitlines() == [
        f"storefront: {variable} is not set; set it, or {variable}_FILE"
        for variable in ("VALKEY_URL", "CATALOG_URL", "CART_URL", "ORDER_URL", "PAYMENT_URL", "IDENTITY_URL")
    ]
