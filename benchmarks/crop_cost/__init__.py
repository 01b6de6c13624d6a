"""The parts of ``bench_crop_cost.py``: what is compared, how it is measured, how it is shown."""
