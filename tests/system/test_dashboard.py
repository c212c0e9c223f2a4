"""Ray's dashboard and Jobs API, which run code for whoever may submit it, ask for the token; `ray[default]` lies in a layer."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.system import hosts
from tests.system.clusters import LAYER, Cluster

ASK = """
import json, sys, time, urllib.error, urllib.request

def answer(address, path, body=None, **headers):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{address}{path}", data=data, headers=headers | {"Content-Type": "application/json"})
    while True:
        try:
            return urllib.request.urlopen(request, timeout=30).status
        except urllib.error.HTTPError as error:
            return error.code
        except urllib.error.URLError:  # it comes some seconds after Ray says that it runs; the test has a time limit
            time.sleep(0.5)

head, token = sys.argv[1:]
asked = {
    "versions": (f"{head}:8265", "/api/version"),
    "jobs": (f"{head}:8265", "/api/jobs/"),
    "submitted": (f"{head}:8265", "/api/jobs/", {"entrypoint": "true"}),
    "agent": (f"{head}:52365", "/"),
}
senders = {"none": {}, "wrong": {"Authorization": "Bearer " + "0" * 64}, "right": {"Authorization": "Bearer " + token}}
print(json.dumps({who: {what: answer(*how, **headers) for what, how in asked.items()} for who, headers in senders.items()}))
"""


@pytest.mark.skipif(not LAYER.exists(), reason="ray[default] is not there; `make test-system` installs it")
def test_the_dashboard_on_the_network_asks_for_the_token(tmp_path: Path) -> None:
    with hosts.network(tmp_path) as net:
        cluster = Cluster(net, python=LAYER)
        cluster.start("head", "--dashboard-host=0.0.0.0")
        assert cluster.head is not None
        token = Path(cluster.token["RAY_AUTH_TOKEN_PATH"]).read_text()
        code, said = net.host("stranger").run([sys.executable, "-c", ASK, cluster.head.address, token])
    assert code == 0, said
    answers = json.loads(said)
    assert set(answers["none"].values()) == {401}
    assert set(answers["wrong"].values()) == {403}
    assert answers["right"] == {"versions": 200, "jobs": 200, "submitted": 200, "agent": 404}
