"""Message passing as a flow on features: one equation, one class, named as in the field.

Every flow maps features ``[n, R, d]`` to ``[n, R, d]`` over a symmetric sparse operator ``[n, n]``.
"""
