"""A frozen model behind a small Python API: load, embed, search, predict, export."""
