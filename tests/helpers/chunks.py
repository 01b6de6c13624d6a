"""Notes the steps whose gradients are cached (SOLVER.GRAD_CACHE_CHUNK)."""

from slowfast.engine import step


def spy_on_chunks(monkeypatch):
    """Return a list that receives the chunk size of every batch that is taken in chunks."""
    sizes, original = [], step.backward_in_chunks

    def spied(*args, chunk, **kwargs):
        sizes.append(chunk)
        return original(*args, chunk=chunk, **kwargs)

    monkeypatch.setattr(step, "backward_in_chunks", spied)
    return sizes
