"""Pairs and true circuit of the model under test, which has to bring them along."""

from harness_circuits.task_data.truth import TruthData

dataset = TruthData("ground_truth_circuit")
