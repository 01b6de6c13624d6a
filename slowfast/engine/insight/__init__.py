"""A look into a tested model: ``OUTPUT_DIR/insight``, from which the report makes its pages.

``watch.py`` collects thumbnails and vectors while the features of the test split are extracted;
``build.py`` calls the rest afterward and writes ``insight.json`` with small images next to it.
``board.py`` writes the same to TensorBoard.
"""
