#!/usr/bin/env python3
"""Installs the Debian package on a fresh Debian 12 with a running systemd, and holds the service to what docs/install.md says.

    tools/try_package.py --model models/SmolLM2-135M-Instruct-FP8 build/release/isotope_0.1.0_amd64.deb

An older package is upgraded; the service starts, answers, drains, comes back after a crash and after a restart of the machine, and
gets a model from a hub; what `apt purge` leaves is listed. Needs what tools/fresh_debian.py needs, and a network for apt.
"""
import argparse
import contextlib
import http.client
import json
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests/pull")]
import fresh_debian  # noqa: E402
import hub_server  # noqa: E402

PACKAGES = ("systemd", "systemd-sysv", "dbus", "udev", "procps")
# What programs of the system write while they run; the rest is compared.
NOT_COMPARED = r"/(dev|proc|sys|run|tmp|var/(log|tmp|cache/(apt|debconf)|lib/(apt|dpkg|systemd|dbus|ucf|pam)))(/.*)?"
EXPOSURE = 2.0  # of 10, as systemd-analyze counts


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Service:
    def __init__(self, machine):
        self.machine = machine
        self.port = free_port()

    def configure(self, model, **variables):
        flags = f"--host 127.0.0.1 --port {self.port} --shutdown-timeout 60"
        lines = {"ISOTOPE_MODEL": model, "ISOTOPE_FLAGS": f'"{flags}"', **variables}
        text = "".join(f"{name}={value}\n" for name, value in lines.items())
        (self.machine.root / "etc/default/isotope").write_text(text)

    def property(self, name):
        return self.machine.run(f"systemctl show isotope --value -p {name}")

    def journal(self):
        return self.machine.run("journalctl -u isotope -o cat --no-pager")

    def request(self, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        method = "GET" if body is None else "POST"
        connection.request(method, path, body and json.dumps(body), {"Content-Type": "application/json"})
        return connection.getresponse()

    def wait_until_ready(self, seconds=60):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                if self.request("/ready").status == 200:
                    return
            time.sleep(0.1)
        raise AssertionError("the service is not ready:\n" + self.machine.run("systemctl status isotope --no-pager -l", check=False))

    def wait_until_stopped(self, seconds=60):
        deadline = time.monotonic() + seconds
        while self.property("ActiveState") not in ("inactive", "failed"):
            expect(time.monotonic() < deadline, "the service does not stop")
            time.sleep(0.1)


def older(package, folder):
    """The same package under an older version."""
    tree = folder / "older"
    subprocess.run(["dpkg-deb", "-R", package, tree], check=True)
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^Version: .*$", "Version: 0.0.1", control.read_text()))
    target = folder / "isotope-older.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, target], check=True, stdout=subprocess.DEVNULL)
    return target


def files(machine):
    listed = machine.run("find / -xdev -not -type d -o -xdev -type d -empty; getent passwd | sed 's/^/user /'; getent group | sed 's/^/group /'")
    return {line for line in listed.splitlines() if not re.fullmatch(NOT_COMPARED, line)}


def install(machine, package):
    machine.copy(package, f"/srv/{package.name}")
    machine.run(f"apt-get install -y /srv/{package.name}; code=$?; rm /srv/{package.name}; exit $code",
                environment={"DEBIAN_FRONTEND": "noninteractive"})


# What is tried


def unconfigured(service):
    """Nothing starts by itself, and without a model it says so and gives up."""
    expect(service.property("ActiveState") == "inactive", "the service runs before anybody has said what to serve")
    expect(service.property("UnitFileState") == "disabled", "the service is enabled")
    service.machine.run("systemctl start isotope", check=False)
    service.wait_until_stopped()
    expect("ISOTOPE_MODEL" in service.machine.run("systemctl status isotope --no-pager -l; journalctl -u isotope", check=False),
           "nothing says that ISOTOPE_MODEL is empty")
    expect(service.property("NRestarts") == "0", "an empty ISOTOPE_MODEL is tried again and again")
    service.machine.run("systemctl reset-failed isotope", check=False)


def answers(service):
    service.machine.run("systemctl enable --now isotope")
    service.wait_until_ready()
    expect(service.request("/health").status == 200, "/health")
    question = {"messages": [{"role": "user", "content": "What is the capital of France?"}], "temperature": 0}
    answer = json.loads(service.request("/v1/chat/completions", question).read())
    expect("Paris" in answer["choices"][0]["message"]["content"], f"the answer is {answer}")


def unprivileged(service):
    process = service.property("MainPID")
    user = service.machine.run(f"ps -o user:20= -p {process}")
    expect(user == "isotope", f"it runs as {user}")
    status = dict(line.split(":\t", 1) for line in service.machine.run(f"cat /proc/{process}/status").splitlines() if ":\t" in line)
    for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb"):
        expect(int(status[name], 16) == 0, f"{name} is {status[name]}")
    expect(status["NoNewPrivs"] == "1" and status["Seccomp"] == "2", "privileges or system calls are not restricted")
    # What its mount namespace shows, as that user.
    inside = f"nsenter --target={process} --mount --setuid=$(id -u isotope) --setgid=$(id -g isotope)"
    for place in ("/usr", "/etc", "/srv"):
        text = service.machine.run(f"{inside} touch {place}/probe 2>&1", check=False)
        expect("Read-only file system" in text or "Permission denied" in text, f"{place}: {text}")
    text = service.machine.run(f"{inside} ls /home 2>&1", check=False)
    expect("Permission denied" in text, f"it sees /home: {text}")
    analysis = service.machine.run("systemd-analyze security isotope --no-pager")
    exposure = float(re.search(r"exposure level.*?: ([\d.]+)", analysis)[1])
    expect(exposure <= EXPOSURE, f"systemd-analyze security says {exposure}, more than {EXPOSURE}")
    return f"exposure {exposure}"


def journal(service):
    text = service.journal()
    expect("Serving" in text, "the journal does not say what is served")
    expect(re.search(r"(?m)^server: POST /v1/chat/completions status=200 .*completion_tokens=\d+", text),
           f"the journal lacks the request, or has it with a time of its own: {text}")
    expect("\x1b" not in text, "the journal has escape sequences")


def crash(service):
    before = service.property("MainPID")
    service.machine.run(f"kill -9 {before}")
    begun = time.monotonic()
    while service.property("NRestarts") == "0":
        expect(time.monotonic() < begun + 60, "it does not come back after a crash")
        time.sleep(0.1)
    service.wait_until_ready()
    expect(service.property("MainPID") != before, "it is the same process")
    return f"back after {time.monotonic() - begun:.1f} s"


def drain(service):
    """A stream that runs when the service is told to stop is finished; a new request is not taken."""
    body = {"prompt": "Once upon a time", "max_tokens": 64, "temperature": 0, "ignore_eos": True, "stream": True}
    stream = service.request("/v1/completions", body)
    first = stream.readline()
    stopping = threading.Thread(target=service.machine.run, args=("systemctl stop isotope",))
    begun = time.monotonic()
    stopping.start()
    events = [line for line in (first + stream.read()).decode().split("\n\n") if line]
    stopping.join()
    expect(events[-1] == "data: [DONE]" and len(events) > 60,
           f"{time.monotonic() - begun:.1f} s after the stop the stream was cut off behind {len(events)} events: {events[-1]}")
    expect('"finish_reason":"length"' in events[-2], f"the stream ends with {events[-2]}")
    expect(service.property("Result") == "success" and service.property("ExecMainStatus") == "0",
           f"it stopped with {service.property('Result')}, {service.property('ExecMainStatus')}")
    return f"{len(events)} events, {time.monotonic() - begun:.1f} s"


def restart_of_the_machine(service):
    service.machine.halt()
    service.machine.start(boot=True)
    service.wait_until_ready()


def upgrade(service, package):
    before = service.property("MainPID")
    settings = (service.machine.root / "etc/default/isotope").read_text()
    install(service.machine, package)
    service.wait_until_ready()
    expect(service.property("MainPID") != before, "the old program still runs")
    expect(service.property("UnitFileState") == "enabled", "it is no longer enabled")
    expect((service.machine.root / "etc/default/isotope").read_text() == settings, "the settings have changed")
    return service.machine.run("dpkg-query -W -f '${Version}' isotope")


def download(service):
    """A model by its name at a hub; the program's own cache is where the unit says."""
    stories = ROOT / "tests/data/stories260K"
    contents = {file.name: hub_server.File(file.read_bytes(), large=file.suffix == ".safetensors")
                for file in sorted(stories.iterdir()) if file.suffix in (".json", ".safetensors")}
    with hub_server.running(hub_server.Hub(contents, repo="org/stories")) as hub:
        service.configure("org/stories", HF_ENDPOINT=hub.url)
        service.machine.run("systemctl restart isotope")
        service.wait_until_ready()
    expect(json.loads(service.request("/v1/models").read())["data"][0]["id"] == "org/stories", "it serves something else")
    kept = service.machine.run("find /var/lib/isotope/huggingface -name model.safetensors")
    expect(kept, "the model is not in /var/lib/isotope")


def removal(service, before):
    machine = service.machine
    machine.run("apt-get remove -y isotope")
    expect(service.property("ActiveState") == "inactive", "the service still runs")
    left = files(machine) - before
    kept = {line for line in left if line.startswith(("/var/lib/isotope/", "user isotope", "group isotope", "group render"))}
    expect(left - kept <= {"/etc/default/isotope", "/var/cache/isotope"}, f"remove leaves {sorted(left - kept)}")
    machine.run("apt-get purge -y isotope")
    left = files(machine) - before
    user_data = {line for line in left if line.startswith("/var/lib/isotope/huggingface/")}
    expect(user_data, "the downloaded model is gone")
    accounts = {line.split(":")[0] for line in left - user_data}
    expect(accounts <= {"user isotope", "group isotope", "group render"}, f"purge leaves {sorted(left - user_data)}")
    return f"purge leaves {len(user_data)} files of the downloaded model, their owner, the group render"


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("package", type=Path)
    arguments.add_argument("--model", type=Path, required=True, help="the folder of the default model, FP8")
    arguments = arguments.parse_args()
    reason = fresh_debian.missing()
    if reason:
        print(f"skipped: {reason}")
        return 0
    with fresh_debian.machine(PACKAGES) as machine:
        begun = time.monotonic()

        def step(name, result):
            print(f"ok  {time.monotonic() - begun:5.0f} s  {name}{': ' + result if result else ''}", flush=True)

        machine.start(boot=False)
        machine.run("apt-get update")
        machine.run("apt-get install -y adduser libcurl4 ca-certificates", environment={"DEBIAN_FRONTEND": "noninteractive"})
        machine.halt()
        machine.start(boot=True)
        step("a fresh Debian boots", machine.run("systemctl --version | head -1"))
        before = files(machine)
        service = Service(machine)
        install(machine, older(arguments.package, machine.root.parent))
        step("the package installs", machine.run("dpkg-query -W -f '${Version}' isotope"))
        step("does nothing without a model", unconfigured(service))
        machine.copy(arguments.model, "/srv/models/default")
        service.configure("/srv/models/default")
        step("starts and answers", answers(service))
        step("runs without privileges", unprivileged(service))
        step("writes to the journal", journal(service))
        step("comes back after kill -9", crash(service))
        step("is upgraded", upgrade(service, arguments.package))
        step("finishes a stream before it stops", drain(service))
        step("starts with the machine", restart_of_the_machine(service))
        step("downloads a model", download(service))
        subprocess.run(["rm", "-rf", machine.root / "srv/models"], check=True)
        for name in machine.root.glob("root/*.deb"):
            name.unlink()
        step("is removed", removal(service, before))
    return 0


if __name__ == "__main__":
    sys.exit(main())
