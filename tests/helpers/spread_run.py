"""Run in a process of its own: all passes on models over two devices that do not exist.

Fake tensors have a device and a shape but no values, and raise where devices are mixed. Torch's
Python-made backend stands for a GPU: CUDA's own name would need a build with CUDA to go backwards.
It registers itself for the whole process, hence the process.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from accelerate import dispatch_model
from helpers.defined import LEARNED, RUNS_THE_MODEL
from helpers.tiny_models import random_hf, token_batches
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorDeviceMismatchError, FakeTensorMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from harness_circuits.ablation.patching import Patching
from harness_circuits.attribution import METHODS, Job
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import LEVELS, ScoreSpace
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.batch import Batch
from harness_circuits.passes.ablated import AblatedStream
from harness_circuits.passes.circuit_run import run_circuit
from harness_circuits.passes.installed import InstalledCircuit
from harness_circuits.passes.masked_run import run_masked
from harness_circuits.passes.native import record, zero_outputs

EMBEDDINGS = ("wte", "wpe", "embed_in", "embed_tokens", "rotary_emb")
GPU = "gpu:0"


class NoDevices(FakeTensorMode):
    """Fake tensors whose devices do not exist, which torch finds out for CUDA only."""

    avoid_device_init = True


class BlindJob(Job):
    """A job whose scores are never looked at."""

    def scores(self, total: Any, **provenance: Any) -> Any:
        """Check where the sums are, which is all that fake sums tell."""
        assert getattr(total, "total", total).device == self.model.device
        return total


@contextmanager
def no_devices() -> Iterator[None]:
    """Fake tensors; the probes of norms and MLPs, which look at values, are skipped."""
    mode = NoDevices(allow_non_fake_inputs=True)
    probes = "norms._reproduces", "hidden_check._same"
    norms, mlps = (patch(f"harness_circuits.models.{name}", return_value=True) for name in probes)
    with mode, norms, mlps:
        yield


def spread_model(architecture: str, near: torch.device, far: torch.device) -> CircuitModel:
    """A model with its first block on one device; the second, final norm and logits on another."""
    hf = random_hf(architecture)
    body = getattr(hf, hf.base_model_prefix)
    device_map: dict[str, torch.device] = {}
    for name, module in body.named_children():
        path = f"{hf.base_model_prefix}.{name}"
        if isinstance(module, nn.ModuleList):
            device_map |= {f"{path}.0": near, f"{path}.1": far}
        else:
            device_map[path] = near if name in EMBEDDINGS else far
    for name, _ in hf.named_children():
        if name != hf.base_model_prefix:
            device_map[name] = far
    for name, device in device_map.items():
        move(hf.get_submodule(name), device)
    dispatch_model(hf, device_map, main_device=far, skip_keys="past_key_values")
    model = CircuitModel(hf, name=architecture)
    assert model.device == near and [layer.device for layer in model.layers] == [near, far]
    return model


def move(module: nn.Module, device: torch.device) -> None:
    """`module.to(device)`, which cannot exchange a fake tensor."""
    for part in module.modules():
        for name, weight in part._parameters.items():
            if weight is not None:
                part._parameters[name] = nn.Parameter(weight.detach().to(device), False)
        for name, buffer in part._buffers.items():
            part._buffers[name] = None if buffer is None else buffer.to(device)


def half_circuit(model: CircuitModel, level: Any) -> Circuit:
    space = ScoreSpace(model.graph, level)
    return Circuit(space, space.real & (np.random.default_rng(0).random(space.shape) < 0.5))


def run_methods(model: CircuitModel, batch: Batch, names: Sequence[str]) -> Iterator[str]:
    """Methods, at each of their levels; neuron scores of `exact` are node scores, many times."""
    for name in names:
        method = METHODS.get(name)
        for level in method.levels:
            if (name, level) != ("exact", "neuron"):
                job = BlindJob(model, [batch], METRICS.get("logit_diff"), level)
                method.function(job, **method.defaults)
                yield f"{name} {level}"


def run_circuits(model: CircuitModel, batch: Batch) -> Iterator[str]:
    """The run of a circuit, and two steps of generation with it installed."""
    for level in LEVELS:
        model = model.at(level)
        circuit = half_circuit(model, level)
        replacement = Patching().replacement(model, batch)
        stream = AblatedStream(model, batch.clean, replacement)
        assert run_circuit(model, circuit, batch.clean, stream).device == model.device
        with InstalledCircuit(model, circuit, zero_outputs(model, 1)).installed():
            first = model.hf(input_ids=batch.clean.ids.to(model.device), use_cache=True)
            step = torch.zeros((2, 1), dtype=torch.long, device=model.device)
            model.hf(input_ids=step, past_key_values=first.past_key_values)
        yield f"circuits {level}"


def run_masks(model: CircuitModel, batch: Batch) -> Iterator[str]:
    """A masked run and its gradient, which is what methods that learn masks take from the model."""
    for level in LEVELS:
        model = model.at(level)
        stream = AblatedStream(model, batch.clean, Patching().replacement(model, batch))
        shape = ScoreSpace(model.graph, level).shape
        mask = torch.full(shape, 0.5, device=model.device, requires_grad=True)
        logits = run_masked(model, level, mask, batch.clean, stream)
        (gradient,) = torch.autograd.grad(logits.sum(), mask)
        assert gradient.device == model.device
        yield f"masks {level}"


def run_mixed(model: CircuitModel, batch: Batch) -> Iterator[str]:
    """The fake devices are no empty promise: a block's weights as they are do not fit the rest."""
    seen, _ = record(model, batch.clean, ("mixed",))
    try:
        seen["mixed"][1].flatten(2) @ model.layers[1].w_o.flatten(0, 1)
    except FakeTensorDeviceMismatchError:
        yield "mixed devices fail"


def main(cases: str, *methods: str) -> None:
    """Run some methods, by default all, and circuits.

    Args:
        cases: Architectures and where their first block is, such as `gpt2@gpu:0 llama@cpu`.
        *methods: Names of methods.
    """
    _setup_privateuseone_for_python_backend("gpu")
    (batch,) = token_batches(2)
    assert batch.shared  # its methods run behind a prefix that is on both devices
    reading = {"ensemble", *LEARNED}  # those that learn read their loss
    names = methods or tuple(name for name in RUNS_THE_MODEL if name not in reading)
    for case in cases.split():
        architecture, near = case.split("@")
        far = "cpu" if near == GPU else GPU
        # Fake tensors are not safe across the threads that each device has going backwards.
        with no_devices(), torch.autograd.set_multithreading_enabled(False):
            model = spread_model(architecture, torch.device(near), torch.device(far))
            runs = (run_mixed(model, batch), run_circuits(model, batch), run_masks(model, batch))
            for run in (*runs, run_methods(model, batch, names)):
                for done in run:
                    sys.stdout.write(f"{architecture} {near} {done}\n")
                    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
