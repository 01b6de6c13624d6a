"""Models of other libraries behind ``slowfast.load``: one function per kind of model."""
