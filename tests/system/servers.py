"""Real object stores on loopback: Ceph's S3 gateway from Debian's packages, Azurite where npm installed it; and a bad line."""

from __future__ import annotations

import base64
import contextlib
import datetime
import hmac
import http.client
import os
import random
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from sweeper.storage import stores
from tests.buckets import environment

CEPH = ("ceph-mon", "ceph-osd", "ceph", "monmaptool", "radosgw", "radosgw-admin")
"""From Debian's packages ceph-mon, ceph-osd, ceph-common and radosgw."""

_CONFIGURATION = """
[global]
fsid = {fsid}
mon_initial_members = a
mon_host = [v2:127.0.0.1:{mon_port}]
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc
ms_bind_ipv6 = false
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pgp_num = 4
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 2000
mon_data_avail_crit = 1
osd_objectstore = memstore
osd_class_load_list = *
osd_class_default_list = *
run_dir = {folder}
admin_socket = {folder}/$name.asok
log_file = {folder}/$name.log
mon_cluster_log_file = {folder}/cluster.log
mon_data = {folder}/mon
osd_data = {folder}/osd
[client.rgw]
ms_mon_client_mode = crc
keyring = {folder}/keyring
rgw_data = {folder}
rgw_frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw_enable_gc_threads = false
rgw_enable_lc_threads = false
rgw_run_sync_thread = false
"""


def missing() -> str:
    """Which programs of Ceph are not there; ``""`` where all are."""
    return ", ".join(name for name in CEPH if shutil.which(name) is None)


@contextlib.contextmanager
def ceph(folder: Path) -> Iterator[str]:
    """The address of a Ceph of one node, which keeps everything in memory; starting takes some ten seconds."""
    port, mon_port = free_port(), free_port()
    configuration = folder / "ceph.conf"
    fsid = str(uuid.uuid4())
    configuration.write_text(_CONFIGURATION.format(folder=folder, fsid=fsid, port=port, mon_port=mon_port))
    (folder / "mon").mkdir()
    (folder / "osd").mkdir()
    (folder / "keyring").touch()

    def run(command: str) -> None:
        program, *arguments = command.split()
        made = [program, *([] if program == "monmaptool" else ["--conf", str(configuration)]), *arguments]
        subprocess.run(made, check=True, capture_output=True, timeout=120)

    with contextlib.ExitStack() as stack:

        def start(command: str) -> None:
            program, *arguments = command.split()
            stack.enter_context(running([program, "--conf", str(configuration), *arguments, "-f"], folder / f"{program}.out"))

        run(f"monmaptool --create --fsid {fsid} --addv a [v2:127.0.0.1:{mon_port}] {folder}/monmap")
        run(f"ceph-mon --mkfs -i a --monmap {folder}/monmap")
        start("ceph-mon -i a")
        run("ceph osd create")
        run("ceph-osd -i 0 --mkfs --no-mon-config")
        run("ceph osd crush add osd.0 1 host=here root=default")
        start("ceph-osd -i 0")
        run("radosgw-admin user create --uid=user --display-name=user --access-key=key --secret-key=secret")
        start("radosgw -n client.rgw")
        address = f"http://127.0.0.1:{port}"
        wait_for(address)
        yield address


def ceph_bucket(address: str, name: str) -> dict[str, str]:
    """Make a bucket; gives the environment for it. The signature is the store's old one, which is short."""
    date = datetime.datetime.now(datetime.UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    signed = _signed(b"secret", f"PUT\n\n\n{date}\n/{name}", "sha1")
    request = urllib.request.Request(
        f"{address}/{name}", method="PUT", headers={"Date": date, "Authorization": f"AWS key:{signed}"}
    )
    urllib.request.urlopen(request, timeout=30).close()
    return environment(address)


ACCOUNT = "devstoreaccount1"
KEY = base64.b64encode(b"a key of our own, for a store on loopback").decode()


@contextlib.contextmanager
def azurite(folder: Path, container: str) -> Iterator[dict[str, str]]:
    """The environment for an Azure Blob Storage on loopback that has a container."""
    program = shutil.which(os.environ.get("AZURITE", "azurite-blob"))
    assert program is not None
    port = free_port()
    address = f"http://127.0.0.1:{port}/{ACCOUNT}"
    command = [program, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder), "--silent"]
    command += ["--skipApiVersionCheck", "--disableTelemetry"]
    with running(command, folder / "out", AZURITE_ACCOUNTS=f"{ACCOUNT}:{KEY}"):
        wait_for(address)
        date = datetime.datetime.now(datetime.UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
        headers = f"x-ms-date:{date}\nx-ms-version:2021-08-06"
        resource = f"/{ACCOUNT}/{ACCOUNT}/{container}\nrestype:container"
        signed = _signed(base64.b64decode(KEY), "PUT" + "\n" * 12 + f"{headers}\n{resource}", "sha256")
        request = urllib.request.Request(f"{address}/{container}?restype=container", method="PUT")
        for line in (*headers.split("\n"), f"Authorization:SharedKey {ACCOUNT}:{signed}"):
            request.add_header(*line.split(":", 1))
        urllib.request.urlopen(request, timeout=30).close()
        yield {"AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT, "AZURE_STORAGE_ACCOUNT_KEY": KEY, "AZURE_STORAGE_ENDPOINT": address}


def _signed(key: bytes, text: str, digest: str) -> str:
    return base64.b64encode(hmac.new(key, text.encode(), digest).digest()).decode()


FAULTS = ("500", "500 afterwards", "cut", "cut afterwards", "late", "silent")


@contextlib.contextmanager
def bad_line(address: str, faults: dict[str, float], seed: int = 0) -> Iterator[tuple[str, Counter[str]]]:
    """The address of a proxy that spoils some requests to a store, and the count of what it did.

    Args:
        address: The store's.
        faults: The share of requests that each of `FAULTS` hits. What happens "afterwards" was carried out by the store; ``late``
            is slow, ``silent`` gives no answer at all.
        seed: Of the choice.
    """
    host = urllib.parse.urlsplit(address).netloc
    chance, count, turn = random.Random(seed), Counter[str](), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with turn:
                (fault,) = chance.choices([*faults, "none"], [*faults.values(), 1 - sum(faults.values())])
                count[fault] += 1
            if fault == "late":
                time.sleep(1)
            if fault in ("500", "cut"):
                self._spoil(fault)
                return
            upstream = http.client.HTTPConnection(host, timeout=60)
            upstream.request(self.command, self.path, body, dict(self.headers))
            given = upstream.getresponse()
            content = given.read()
            upstream.close()
            if fault in FAULTS and fault != "late":
                self._spoil(fault.split()[0])
                return
            self.send_response(given.status)
            for name, value in given.getheaders():
                if name.lower() not in ("transfer-encoding", "connection", "content-length", "date", "server"):
                    self.send_header(name, value)
            length = given.getheader("Content-Length") if self.command == "HEAD" else None
            self.send_header("Content-Length", length or str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _spoil(self, how: str) -> None:
            self.close_connection = True
            if how == "500":
                self.send_response(500)
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif how == "silent":
                time.sleep(stores.SILENCE_TIMEOUT_S + 1)

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

        def handle_error(self, *_: Any) -> None:
            pass  # the other side went away

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", count
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def running(command: list[str], output: Path, **variables: str) -> Iterator[None]:
    """A program, as long as the block lasts."""
    with output.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=os.environ | variables)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def wait_for(address: str, seconds: float = 60) -> None:
    """Until somebody listens there."""
    parts = urllib.parse.urlsplit(address)
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((parts.hostname or "", parts.port or 80), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
