"""What methods that learn masks share: the loop, its options, its loss, and what is kept of it."""

from harness_circuits.attribution.learning.learner import Learner
from harness_circuits.attribution.learning.loop import learn
from harness_circuits.attribution.learning.options import Training, learning_options

__all__ = ["Learner", "Training", "learn", "learning_options"]
