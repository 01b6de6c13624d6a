"""Figures, from files in OUTPUT_DIR."""
