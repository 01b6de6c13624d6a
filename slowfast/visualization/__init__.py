"""Figures and reports; reads the files of OUTPUT_DIR only."""
