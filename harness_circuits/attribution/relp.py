"""RelP, relevance patching (Rezaei Jafari et al. 2025, arXiv 2508.21258).

EAP whose gradients are replaced by relevance coefficients: the backward pass follows the rules of
`harness_circuits.passes.relevance`, which remove most of the noise that norms, activations and
gates put into a gradient. The forward pass and the cost are EAP's. With all rules off, it is EAP.

In a model without biases, with all rules on (`ah_rule` too) and zero ablation, relevance is
conserved: the scores of the edges into the logits add up to a metric that is linear in the logits.
"""

from __future__ import annotations

from functools import partial

from harness_circuits.attribution.gradient import PathPoint, path_attribution
from harness_circuits.attribution.job import Job
from harness_circuits.attribution.methods import METHODS, Method
from harness_circuits.circuits.scores import Scores
from harness_circuits.options import Option
from harness_circuits.options.kinds import Switch
from harness_circuits.passes.relevance import RelevanceRun, Rules, relevance_rules


def relp(job: Job, *, ln_rule: bool, identity_rule: bool, half_rule: bool, ah_rule: bool) -> Scores:
    """Score by relevance coefficients on the clean prompt.

    Args:
        job: Model, data, metric, level and ablation.
        ln_rule: The scale of norms is a constant to the backward pass.
        identity_rule: So is act(x) / x of activations.
        half_rule: Each factor of a gated MLP's product gets half the gradient.
        ah_rule: Attention patterns are constants: queries and keys get no relevance.

    Raises:
        UnsupportedModelError: A rule has no meaning for the model's MLPs or norms.
    """
    run_type = partial(RelevanceRun, frozen_norms=ln_rule, frozen_patterns=ah_rule)
    with relevance_rules(job.model, Rules(ln_rule, identity_rule, 0.5 if half_rule else 1.0)):
        return path_attribution(job, [PathPoint(1.0, 1.0)], run_type)


METHODS.register("RelP")(
    Method(
        function=relp,
        clean_only=True,
        positions=True,
        passes=lambda space, options: 4,
        options={
            "ln_rule": Option(Switch(), True, "the scale of norms is a constant"),
            "identity_rule": Option(Switch(), True, "act(x) / x of activations is a constant"),
            "half_rule": Option(Switch(), True, "half the gradient to each factor of a product"),
            "ah_rule": Option(Switch(), False, "attention patterns are constants"),
        },
        source="Rezaei Jafari et al. 2025, arXiv 2508.21258",
    )
)
