"""GIM, gradient interaction modifications (arXiv 2505.17630).

EAP with a changed backward pass, in which the parts of a product share the credit:

- norms are linear: their scale is a constant;
- a softmax's gradient is taken at a higher temperature, where it is not saturated;
- each factor of the products QK and AV gets half the gradient: queries and keys a quarter, values half;
- so does each factor of the product in a gated MLP (plain MLPs are unchanged).

The forward pass and the cost are EAP's. With all rules off it is EAP. A model whose norms, attention or
MLPs a rule has no meaning for is refused, so that no rule holds for a part of a model only.
"""

from __future__ import annotations

from functools import partial

from harness_circuits.attribution.gradient import PathPoint, path_attribution
from harness_circuits.attribution.job import Job
from harness_circuits.attribution.methods import METHODS, Method
from harness_circuits.circuits.scores import Scores
from harness_circuits.options import Option
from harness_circuits.options.kinds import Number, Switch
from harness_circuits.passes.relevance import Rules, relevance_rules
from harness_circuits.passes.tempered import TemperedRun

SHARE = Number(0, 1)


def gim(
    job: Job,
    *,
    ln_rule: bool,
    temperature: float,
    qk_scale: float,
    v_scale: float,
    mlp_scale: float,
) -> Scores:
    """Score by changed gradients on the clean prompt.

    Args:
        job: Model, data, metric, level and ablation.
        ln_rule: The scale of norms is a constant to the backward pass.
        temperature: Of the softmax in the backward pass; 1 is the model's own.
        qk_scale: Share of the gradient that queries and keys get.
        v_scale: Share of the gradient that values get.
        mlp_scale: Share of the gradient that each factor of a gated MLP's product gets.

    Raises:
        UnsupportedModelError: A rule has no meaning for the model's norms, attention or MLPs.
    """
    run_type = partial(
        TemperedRun,
        frozen_norms=ln_rule,
        temperature=temperature,
        scales={"q": qk_scale, "k": qk_scale, "v": v_scale},
    )
    rules = Rules(norms=ln_rule, activations=False, product_scale=mlp_scale)
    with relevance_rules(job.model, rules, "GIM"):
        return path_attribution(job, [PathPoint(1.0, 1.0)], run_type)


METHODS.register("GIM")(
    Method(
        function=gim,
        clean_only=True,
        positions=True,
        passes=lambda space, options: 4,
        options={
            "ln_rule": Option(Switch(), True, "the scale of norms is a constant"),
            "temperature": Option(Number(1, 1000), 2.0, "of the softmax in the backward pass"),
            "qk_scale": Option(SHARE, 0.25, "share of the gradient of queries and keys"),
            "v_scale": Option(SHARE, 0.5, "share of the gradient of values"),
            "mlp_scale": Option(SHARE, 0.5, "share of the gradient of a gated MLP's factors"),
        },
        source="arXiv 2505.17630",
    )
)
