"""A real Chromium without a window, by the WebDriver protocol of Debian's package chromium-driver."""

import base64
import contextlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

PROGRAMS = ("chromium", "chromedriver")
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the protocol's own key of an element's number
TAB, ENTER, SPACE, RIGHT = "\ue004", "\ue007", " ", "\ue014"


def why_no_browser() -> str | None:
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    need = "this test needs a browser: apt-get install chromium chromium-driver"
    return f"{' and '.join(missing)} not found; {need}" if missing else None


class Browser:
    def __init__(self, session: str):
        self._session = session

    def send(self, command: str, **values):
        return _post(f"{self._session}/{command}", values)

    def open(self, file: Path) -> None:
        self.send("url", url=file.as_uri())

    def run(self, script: str):
        """Evaluate JavaScript, which the page's own policy does not hold back."""
        return self.send("execute/sync", script=f"return {script}", args=[])

    def press(self, *keys: str) -> None:
        actions = [{"type": kind, "value": k} for k in keys for kind in ("keyDown", "keyUp")]
        self.send("actions", actions=[{"type": "key", "id": "keys", "actions": actions}])

    def click(self, selector: str) -> None:
        found = self.send("element", using="css selector", value=selector)
        self.send(f"element/{found[ELEMENT]}/click")

    def emulate(self, command: str, **values):
        """Run a command of the DevTools protocol, such as Emulation.setEmulatedMedia."""
        return self.send("goog/cdp/execute", cmd=command, params=values)

    def picture(self) -> bytes:
        with urlopen(f"{self._session}/screenshot") as reply:  # noqa: S310, it is our own
            return base64.b64decode(json.load(reply)["value"])


@contextlib.contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Start a browser whose files stay in this folder; end it afterwards."""
    command = ["chromedriver", "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        try:
            said = iter(driver.stdout.readline, "")
            port = next(m[1] for m in (re.search(r"on port (\d+)\.", s) for s in said) if m)
            arguments = ["--headless=new", "--no-sandbox", f"--user-data-dir={folder}"]
            wanted = {"goog:chromeOptions": {"args": arguments}}
            address = f"http://127.0.0.1:{port}/session"
            session = _post(address, {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
            try:
                yield Browser(f"{address}/{session}")
            finally:
                urlopen(Request(f"{address}/{session}", method="DELETE")).close()  # noqa: S310
        finally:
            driver.terminate()


def _post(address: str, values: dict):
    body, kind = json.dumps(values).encode(), {"Content-Type": "application/json"}
    request = Request(address, body, kind)  # noqa: S310
    with urlopen(request, timeout=60) as reply:  # noqa: S310, it is our own
        return json.load(reply)["value"]
