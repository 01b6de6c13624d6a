"""The catalog of datasets: one module per dataset, and shared readers of split lists."""
