"""Which way circuits are run: noising takes away what is outside, denoising gives what is inside.

Noising runs the clean prompt; outside the circuit, edges deliver what they deliver on the corrupted
one. Denoising runs the corrupted prompt; inside the circuit, edges deliver what they deliver on the
clean one, and its faithfulness is (m(circuit) - m(corrupted)) / (m(clean) - m(corrupted)). With the two
prompts changed round, the denoised circuit is the noised complement: the same run serves both.
(Heimersheim and Nanda 2024, arXiv 2404.15255; Miller et al. 2024, arXiv 2407.08734.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.errors import OptionError
from harness_circuits.pairs.batch import Batch

NOISING, DENOISING = "noising", "denoising"
DIRECTIONS = (NOISING, DENOISING)


def check_direction(direction: str, ablation: str) -> None:
    """Refuse to denoise without corrupted prompts.

    Raises:
        OptionError: Denoising is wanted, and removed units are not patched.
    """
    if direction == DENOISING and ablation != "patching":
        raise OptionError(
            "direction=denoising runs corrupted prompts and patches clean outputs into them: it is "
            f"defined for ablation=patching, not for ablation={ablation}."
        )


def circuits_to_run(circuits: Sequence[Circuit], direction: str) -> list[Circuit]:
    """What is kept of the prompt that is run: the circuits themselves, or what is outside them."""
    return [c.complement() for c in circuits] if direction == DENOISING else list(circuits)


def batch_to_run(batch: Batch, direction: str) -> Batch:
    """The batch with the prompts to run as its clean ones."""
    if direction == NOISING:
        return batch
    return replace(batch, clean=batch.corrupted, corrupted=batch.clean)
