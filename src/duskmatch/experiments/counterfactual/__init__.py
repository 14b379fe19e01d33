"""The counterfactual test: generated people on the same walks with one factor changed."""
