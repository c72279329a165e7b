"""What several processes must not each do."""

from __future__ import annotations

from typing import Any

import pytest

from harness_circuits.errors import OptionError
from harness_circuits.harness.processes import SPREADING, check_device_map


@pytest.mark.parametrize("device_map", [*SPREADING, {"model": 0, "lm_head": 1}])
def test_several_processes_do_not_each_spread_a_model(device_map: Any) -> None:
    with pytest.raises(OptionError) as error:
        check_device_map(device_map, 2)
    assert str(error.value) == (
        f"device_map={device_map} spreads a model over devices, and each of the 2 processes on this "
        "machine would do so with a model of its own. Start one process with device_map, or several "
        "without it: each then has the whole model on one device."
    )
    check_device_map(device_map, 1)
    for one in ({"": "cpu"}, "cpu", None):
        check_device_map(one, 2)
