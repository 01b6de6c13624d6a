"""Many runs from one YAML: folds, seeds, ablations, comparisons. Imports no torch."""
