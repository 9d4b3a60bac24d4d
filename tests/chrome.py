"""Chromium, driven as a person would: keys, files, a window of some size."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from report.browser import CHROMIUM, QUIET

KEYS = {"Tab": 9, " ": 32, "ArrowRight": 39, "ArrowLeft": 37, "Home": 36, "End": 35}


class Page:
    """A page of a browser, by Chromium's protocol for its developers' tools, over two pipes."""

    def __init__(self, to: int, back: int) -> None:
        self._to, self._back = to, os.fdopen(back, "rb")
        self._session: str | None = None
        self._count = 0
        self.errors: list[str] = []
        """What the page's console has complained of."""
        targets = self.tell("Target.getTargets")["targetInfos"]
        (target,) = [one["targetId"] for one in targets if one["type"] == "page"]
        self._session = self.tell("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for name in ("Page", "Runtime", "Log", "DOM"):
            self.tell(f"{name}.enable")

    def tell(self, method: str, **values: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self._count += 1
        session = {"sessionId": self._session} if self._session else {}
        message = json.dumps({"id": self._count, "method": method, "params": values, **session})
        os.write(self._to, message.encode() + b"\0")
        while (said := self._read()).get("id") != self._count:
            self._note(said)
        assert "error" not in said, said["error"]
        return said["result"]

    def _read(self) -> dict[str, Any]:
        text = b""
        while not text.endswith(b"\0"):
            byte = self._back.read(1)
            assert byte, "the browser has gone"
            text += byte
        return json.loads(text[:-1])

    def _note(self, said: dict[str, Any]) -> None:
        values = said.get("params", {})
        if said.get("method") == "Runtime.exceptionThrown":
            self.errors.append(values["exceptionDetails"]["exception"]["description"])
        if said.get("method") == "Log.entryAdded" and values["entry"]["level"] == "error":
            self.errors.append(values["entry"]["text"])

    def open(self, address: str, width: int, height: int = 900, dark: bool = False) -> None:
        """Show a page in a window of this size."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.tell("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.tell("Emulation.setEmulatedMedia", features=[scheme])
        self.tell("Page.navigate", url=address)
        self.until(f"document.readyState === 'complete' && location.href.startsWith({json.dumps(address)})")

    def ask(self, script: str) -> Any:
        """The value of an expression in the page; of a promise, what it becomes."""
        found = self.tell("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, script: str, seconds: int = 60) -> None:
        """Wait until an expression is true, looking at it before each of the browser's frames."""
        wait = "new Promise(done => { const look = () => { let is; try { is = CODE } catch {} "
        wait += "is ? done(true) : Date.now() > END ? done(false) : setTimeout(look, 20) }; look() })"
        found = self.ask(wait.replace("CODE", script).replace("END", f"{seconds * 1000} + {self.ask('Date.now()')}"))
        assert found, f"{script} stays false: {self.ask('document.body.innerText')}"

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            code = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": KEYS[key]}
            text = {"text": " "} if key == " " else {}
            self.tell("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **code, **text)
            self.tell("Input.dispatchKeyEvent", type="keyUp", **code)

    def choose(self, selector: str, file: Path) -> None:
        """Choose a file, as in the dialogue of an `<input type=file>`."""
        root = self.tell("DOM.getDocument")["root"]["nodeId"]
        node = self.tell("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.tell("DOM.setFileInputFiles", nodeId=node, files=[str(file)])

    def shot(self, file: Path) -> None:
        """Keep what is seen of the whole page."""
        data = self.tell("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        file.write_bytes(base64.b64decode(data))


@contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """A browser of its own, without a window."""
    assert CHROMIUM is not None
    (read, to), (back, write) = os.pipe(), os.pipe()
    theirs = [fcntl.fcntl(one, fcntl.F_DUPFD, 10) for one in (read, write)]
    arguments = [CHROMIUM, *(word for word in QUIET if word != "--dump-dom"), "--remote-debugging-pipe"]
    at_3_and_4 = f'exec "$@" 3<&{theirs[0]} 4>&{theirs[1]}'
    process = subprocess.Popen(
        ["bash", "-c", at_3_and_4, "bash", *arguments, f"--user-data-dir={profile}", "about:blank"],
        pass_fds=theirs,
        stderr=subprocess.DEVNULL,
    )
    for one in (read, write, *theirs):
        os.close(one)
    try:
        yield Page(to, back)
    finally:
        process.terminate()
        process.wait(30)
        os.close(to)
