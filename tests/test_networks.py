"""The table and the claims of ``docs/architectures.md``."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from sweeper import catalog
from sweeper.analysis.markdown import markdown

pytestmark = pytest.mark.usefixtures("framework")

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def networks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("networks", ROOT / "benchmarks" / "networks.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["networks"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_a_network_is_measured_as_it_is_listed(networks: ModuleType) -> None:
    found = networks.measured("lenet", {"variant": "5"}, (32, 32, 1), 10)
    assert (found["parameters"], found["macs"]) == (61_706, 416_520)
    listed = pd.read_csv(ROOT / "docs" / "architectures.csv").set_index("network").loc["lenet:5"]
    assert (listed["parameters"], listed["macs"]) == (61_706, 416_520)


@pytest.mark.parametrize(
    ("value", "said"),
    [(96.0, "right"), (88.0, "about right"), (50.0, "**wrong**: 50% too high"), (120.0, "**wrong**: 20% too low")],
)
def test_a_verdict_follows_from_what_was_measured(networks: ModuleType, value: float, said: str) -> None:
    claim = networks.Claim(network="cnn", quantity="parameters", value=100.0, text="about 100")
    assert networks.verdict(claim, value) == said


def test_every_published_network_is_listed_and_every_family_at_large_images(networks: ModuleType) -> None:
    listed = pd.read_csv(ROOT / "docs" / "architectures.csv")
    assert {label for label, _ in networks.published()} <= set(listed["network"])
    large = listed[(listed["input_shape"] == "224x224x3") & (listed["num_classes"] == 1000)]["network"]
    assert set(large.str.partition(":")[0]) == set(catalog.names("architecture"))


def test_a_frame_is_a_markdown_table() -> None:
    assert markdown(pd.DataFrame({"a b": [1, 2], "c": ["x", "y"]})) == "| a b | c |\n| --- | --- |\n| 1 | x |\n| 2 | y |"
